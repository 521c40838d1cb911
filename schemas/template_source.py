"""A template's source before it is parsed: what its words alone forbid, and in which column a word stands."""

from __future__ import annotations

import re
from dataclasses import dataclass

from schemas.template_environment import TemplateEnvironment

TAG_LIMIT = 1000  # 1000 tags of 20 words each compile in well under a second on one slow core
WORD_LIMIT = 10_000
TAG_WORD_LIMIT = 200
PARENTHESIS_LIMIT = 20
BLOCK_LIMIT = 20
DIGIT_LIMIT = 15
_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_OPENING = frozenset({"if", "for", "filter", "with", "macro", "call", "block", "autoescape"})


@dataclass(frozen=True)
class TemplateFault:
    """One thing wrong with a part; line and column count from 1, within the part's own text."""

    line: int
    column: int
    message: str
    hint: str = ""


def scan(environment: TemplateEnvironment, text: str) -> TemplateFault | None:
    """Refuse from the words alone what would exhaust the parser's stack or its time."""
    tags = words = in_tag = parentheses = depth = 0
    tag_name = ""
    for line, kind, value in environment.lexer.tokeniter(text, None):
        if kind in ("block_begin", "variable_begin"):
            tags, in_tag, parentheses, tag_name = tags + 1, 0, 0, ""
        elif kind in ("name", "operator", "string", "integer", "float"):
            words, in_tag = words + 1, in_tag + 1
            if in_tag == 1 and kind == "name":
                tag_name = value
            parentheses += (value in "([{") - (value in ")]}") if kind == "operator" else 0
            if kind == "integer" and len(value) > DIGIT_LIMIT:
                return TemplateFault(line, 1, f"a number has more than {DIGIT_LIMIT} digits")
        elif kind == "block_end":
            depth += (tag_name in _OPENING) - tag_name.startswith("end")
        for count, limit, what in (
            (tags, TAG_LIMIT, "tags"),
            (words, WORD_LIMIT, "words in its tags"),
            (in_tag, TAG_WORD_LIMIT, "words in one tag"),
            (parentheses, PARENTHESIS_LIMIT, "parentheses inside each other"),
            (depth, BLOCK_LIMIT, "blocks inside each other"),
        ):
            if count > limit:
                return TemplateFault(line, 1, f"it has more than {limit} {what}", "make it simpler")
    return None


class Places:
    """Columns of words: Jinja's nodes know their line only."""

    def __init__(self, text: str) -> None:
        masked = list(re.sub(r"[^\n]", " ", text))
        for tag in _TAG.finditer(text):
            masked[tag.start() : tag.end()] = tag.group()
        self._lines = "".join(masked).split("\n")
        self._seen: dict[tuple[int, str], int] = {}

    def find(self, line: int, pattern: str = r"\{[{%]") -> int:
        """The column of the next occurrence of a pattern in the tags of a line; else of its first tag."""
        if not 0 < line <= len(self._lines):
            return 1
        source = self._lines[line - 1]
        found = re.compile(pattern).search(source, self._seen.get((line, pattern), 0))
        if found is None:
            return next((i + 1 for i, letter in enumerate(source) if letter != " "), 1)
        self._seen[line, pattern] = found.end()
        return found.start() + 1
