"""What the YAML parser complains of, in words that say what to write instead."""

from __future__ import annotations

import re

import yaml

from schemas.errors import Problem

# All but tab, line breaks and what YAML counts as printable; surrogates can't be encoded at all.
_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")

# The parser's words (libyaml's and PyYAML's own), what we say, the way out; the first that matches is taken.
_TRANSLATIONS: tuple[tuple[str, str, str], ...] = (
    ("mapping values are not allowed", "A second `: ` on this line, or this line is indented too far.",
     "Put text that contains `: ` in quotes; keys of one mapping begin in the same column."),
    ("comment or (a )?line break|chomping or indentation|indentation indicator",
     "Unquoted text can't begin with > or |.", 'Put it in quotes: ">= 60".'),
    ("unexpected end of stream", "This quote is never closed.", "Close it at the end of the text."),
    (r"expected ',' or '[\]}]'", "This bracket is never closed, or a comma is missing.",
     "Close it, and separate what is inside by commas; text with brackets, as {{ name }}, needs quotes."),
    ("expected '-' indicator|block sequence entries are not allowed|block end.*'-'|but found '-'",
     "This line doesn't fit into the list or mapping around it.",
     "Items of one list all begin with `- ` in the same column."),
    ("could not find expected ':'|expected key|expected <block end>|'<block end>'",
     "This line isn't `key: value` in line with the others.",
     "Keys of one mapping begin in the same column, each followed by `: `."),
    ("alphabetic or numeric", "Unquoted text can't begin with * or &.", "Put it in quotes."),
    ("unknown escape character", "Unknown escape after a backslash in double quotes.",
     "Write \\\\ for a backslash, or use single quotes."),
    ("undefined alias", "There is no anchor of this name before.", "Text that begins with * needs quotes."),
    ("tag", "This is read as a YAML tag, and tags are not supported.",
     'A value that begins with ! needs quotes: "!= free".'),
    ("directive|document start", "A line that begins with % is read as a directive.",
     "Put text that begins with % in quotes."),
    ("document", "A second document begins here, or text follows the end.", "One file holds one document."),
)  # fmt: skip


def find_unreadable(text: str, file: str) -> Problem | None:
    """The first character that no text file should hold, as a problem at its place."""
    if text.startswith("\ufeff"):
        what = "The file begins with a byte order mark."
        return Problem(file, 1, 1, "PB004", "", what, "Save it as UTF-8 without a byte order mark (BOM).")
    found = _UNREADABLE.search(text)
    if found is None:
        return None
    line, column = _position(text, found.start())
    what = f"The character U+{ord(found.group()):04X} can't stand in a text file."
    return Problem(file, line, column, "PB004", "", what, "Remove it; is this a text file?")


def explain_syntax_error(error: yaml.YAMLError, text: str, file: str) -> Problem:
    """The parser's error as a problem at the word at fault."""
    mark = getattr(error, "problem_mark", None)
    said = f"{getattr(error, 'context', None) or ''} {getattr(error, 'problem', None) or error}"
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    lines = text.splitlines()
    at = lines[line - 1] if line <= len(lines) else ""
    if "\t" in at[: max(column, 1)] and not at[: max(column - 1, 0)].strip():
        tab = at.index("\t") + 1
        return Problem(
            file,
            line,
            tab,
            "PB005",
            "",
            "This line is indented with a tab.",
            "Use spaces: two for each level.",
        )
    if "cannot start any token" in said:
        what = f"Unquoted text can't begin with {at[column - 1 : column] or 'this'}."
        return Problem(file, line, column, "PB001", "", what, "Put it in quotes.")
    opened = getattr(error, "context_mark", None)
    for words, message, hint in _TRANSLATIONS:
        if re.search(words, said):
            if "> or |" in message and "#" not in at:
                hint = (
                    f'Put it in quotes: "{at[at.index(": ") + 2 :].strip() if ": " in at else at.strip()}".'
                )
            if opened and ("quote" in message or "bracket" in message):
                line, column = opened.line + 1, opened.column + 1
            return Problem(file, min(line, max(len(lines), 1)), column, "PB001", "", message, hint)
    problem = str(getattr(error, "problem", None) or "the text is not YAML")
    return Problem(
        file,
        line,
        column,
        "PB001",
        "",
        f"This isn't YAML: {problem}.",
        "Look at indentation, quotes and brackets.",
    )


def _position(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - (text.rfind("\n", 0, index) + 1) + 1
