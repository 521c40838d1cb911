"""What may stand in a log, decided in one place: one escaped line per record, no secrets, nobody's data.

For people it is text, for what collects logs JSON lines (HOLDFAST_LOGS); the same is left out of both.

An exception is told by its type and where it came from. Its message only where its type is known to quote no data: what
another library says of a value that it couldn't take holds the value, and a log is read, copied and kept by many. In
Temporal's histories the whole message stands, sealed. HOLDFAST_LOG_ERRORS=full tells messages here, too.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

from schemas.errors import PlaybookError, SettingError, UnavailableError
from schemas.log_context import read_context

FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
WITHHELD = "(message withheld)"
HIDDEN = "…"

# Their messages speak of code, settings, files, addresses and numbers, never of customers.
PLAIN: tuple[type[BaseException], ...] = (
    ArithmeticError, AttributeError, ImportError, NameError, NotImplementedError, OSError, RecursionError,
    PlaybookError, SettingError, UnavailableError,
)  # fmt: skip

_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|CREDENTIAL|(^|_)(KEY|KEYS|AUTH)$")
_SHORTEST_SECRET = 8
# Defence in depth, for texts that are no exceptions: mail addresses, numbers that can be called, the links' tokens.
# Words are taken whole, with or without what makes an address of them: so that each letter is looked at once.
_MAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]++(@[\w-]+(?:\.[\w-]+)+)?")
_PHONE = re.compile(r"(?<![\w+])\+\d(?:[ ().-]{0,2}\d){7,14}(?!\w)")
_LINK = re.compile(r"(/(?:u|preferences|book|calendar|welcome)/)[\w-]{20,}")
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,40}")
# Whatever moves the cursor, begins a line, changes colours or turns the direction of reading.
_CONTROL = {
    code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
} | {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}  # fmt: skip


class LogLines(logging.Formatter):
    """Formats records so; `environ` says which texts are secrets."""

    def __init__(self, environ: Mapping[str, str], form: str = FORMAT) -> None:
        super().__init__(form)
        self._secrets = _find_secrets(environ)
        self._full = environ.get("HOLDFAST_LOG_ERRORS") == "full"

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the indented lines of its traceback, where it has one."""
        line = logging.makeLogRecord(record.__dict__)
        line.msg, line.args = escape(self._message_of(record)), None
        line.exc_info = line.exc_text = line.stack_info = None
        told = super().format(line)
        if record.exc_info and record.exc_info[1] is not None:
            told += "\n" + "\n".join(self.describe(record.exc_info[1]))
        return self.hide(told)

    def describe(self, error: BaseException) -> list[str]:
        """The traceback: frames with their lines of code, each exception by its type."""
        whole = traceback.TracebackException.from_exception(error)
        return [f"  {line}" for line in self._describe(whole, error, set())]

    def name(self, error: BaseException) -> str:
        """An exception in one line: its type, and its message where that may be told."""
        kind = type(error)
        named = (
            kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        )
        if not (self._full or isinstance(error, PLAIN)):
            return f"{named}{_code_of(error)} {WITHHELD}"
        message = escape(str(error))
        return self.hide(f"{named}: {message}" if message else named)

    def hide(self, text: str) -> str:
        """`text` without secrets, mail addresses, numbers to call, and tokens of links."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        if "@" in text:
            text = _MAIL.sub(lambda word: f"{HIDDEN}@{HIDDEN}" if word[1] else word[0], text)
        return _LINK.sub(rf"\1{HIDDEN}", _PHONE.sub(f"+{HIDDEN}", text))

    def _message_of(self, record: logging.LogRecord) -> str:
        """The record's text; exceptions among its arguments are told like all others."""
        args = record.args
        if isinstance(args, tuple):
            args = tuple(self.name(arg) if isinstance(arg, BaseException) else arg for arg in args)
        message = self.name(record.msg) if isinstance(record.msg, BaseException) else str(record.msg)
        try:
            return message % args if args else message
        except (TypeError, ValueError):
            return f"{message} {WITHHELD}"

    def _describe(
        self, whole: traceback.TracebackException, error: BaseException, seen: set[int]
    ) -> list[str]:
        seen.add(id(error))
        lines: list[str] = []
        for inner, says in (
            (error.__cause__, "which caused:"),
            (None if error.__suppress_context__ else error.__context__, "while that was handled:"),
        ):
            if inner is not None and id(inner) not in seen:
                before = traceback.TracebackException.from_exception(inner)
                lines += [*self._describe(before, inner, seen), says]
        lines += [
            escape(f"{frame.filename}:{frame.lineno} in {frame.name}: {frame.line or ''}")
            for frame in whole.stack
        ]
        lines.append(self.name(error))
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions:
                if id(one) not in seen:
                    told = self._describe(traceback.TracebackException.from_exception(one), one, seen)
                    lines += [f"| {line}" for line in told]
        return lines


class JsonLines(LogLines):
    """The same as one JSON object per record: time, level, logger, message, what `log_context` knows, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of ASCII, whatever anybody's name is made of."""
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": self.hide(self._message_of(record)),
        }
        told |= {name: self.hide(value) for name, value in read_context().items()}
        if record.exc_info and record.exc_info[1] is not None:
            told["exception"] = [self.hide(line.strip()) for line in self.describe(record.exc_info[1])]
        return json.dumps(told).replace("\x7f", "\\u007f")


def choose_lines(environ: Mapping[str, str]) -> LogLines:
    """As HOLDFAST_LOGS says, json or text; without it text for a terminal, JSON for whatever else reads it.

    Raises SettingError.
    """
    chosen = environ.get("HOLDFAST_LOGS") or ("text" if sys.stderr.isatty() else "json")
    if chosen not in ("json", "text"):
        raise SettingError(f"HOLDFAST_LOGS is {chosen!r}.", remedy="Set it to json or text, or leave it out.")
    return LogLines(environ) if chosen == "text" else JsonLines(environ)


def set_up_logging(level: int, environ: Mapping[str, str] = os.environ) -> None:
    """Have this process's records, warnings and uncaught exceptions told to stderr so; again replaces the first.

    Raises SettingError where HOLDFAST_LOGS is neither json nor text.
    """
    lines = choose_lines(environ)
    handler = logging.StreamHandler()
    handler.setFormatter(lines)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)


def quiet_unconfigured(environ: Mapping[str, str] = os.environ) -> None:
    """Have what is logged where nobody set up logging (warnings, as commands meet them) told so, too."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(LogLines(environ, "%(levelname)s %(name)s %(message)s"))
    logging.lastResort = handler


def escape(text: str) -> str:
    r"""`text` in one line, with `\n`, `\x1b` and their kin written out."""
    return text.translate(_CONTROL)


def _code_of(error: BaseException) -> str:
    """The code that an error of PostgreSQL's, ours or Temporal's has: what happened, without what it happened to."""
    codes = [getattr(getattr(error, "orig", None), "sqlstate", None)]
    codes += [getattr(error, name, None) for name in ("sqlstate", "provider_code", "code", "type")]
    return next((f"[{code}]" for code in codes if isinstance(code, str) and _CODE.fullmatch(code)), "")


def _find_secrets(environ: Mapping[str, str]) -> list[str]:
    found: set[str] = set()
    for name, value in environ.items():
        if _SECRET_NAME.search(name.upper()):
            # Several keys stand with spaces or commas between them.
            found.update(re.split(r"[\s,]+", value))
        elif "://" in value:
            found.update(_password_of(value))
    # Longer ones first: one may begin with another. What is short would black out words.
    return sorted((one for one in found if len(one) >= _SHORTEST_SECRET), key=len, reverse=True)


def _password_of(url: str) -> set[str]:
    try:
        password = urlsplit(url).password
    except ValueError:
        return {url}
    # What connects writes it as it is meant, not as it stands in an address.
    return {password, unquote(password)} if password else set()
