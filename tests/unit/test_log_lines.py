"""A log has one line per record that nobody can forge, no secret in it, and no data of a customer's."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.errors import UniqueViolation
from sqlalchemy.exc import IntegrityError
from temporalio.exceptions import ApplicationError

from channels.outcome import RecipientError
from loops.temporal_runtime import make_runtime
from schemas import log_context
from schemas.errors import NotFoundError, SettingError, UnavailableError
from schemas.log_lines import JsonLines, LogLines, choose_lines, quiet_unconfigured, set_up_logging
from schemas.settings import Settings

ENVIRON = {
    "HOLDFAST_SECRET_KEY": "the-first-secret-key another-secret-key",
    "HOLDFAST_API_KEYS": "an-api-key-of-ours,another-api-key",
    "TWILIO_AUTH_TOKEN": "token-of-twilio",
    "HOLDFAST_DATABASE_URL": "postgresql://me:pass-word@db/holdfast",
    "HOLDFAST_MAIL_FROM": "Holdfast care",
    "SHORT_TOKEN": "of",
}


def tell(message: object, *args: object, error: BaseException | None = None, **environ: str) -> str:
    """The record as it would stand in the log."""
    info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("x", logging.ERROR, "f.py", 1, message, args, info)
    return LogLines({**ENVIRON, **environ}, "%(message)s").format(record)


def raised(raise_it: Callable[[], None]) -> BaseException:
    try:
        raise_it()
    except BaseException as error:  # noqa: BLE001
        return error
    raise AssertionError


def test_a_name_with_newlines_and_colours_is_one_escaped_line() -> None:
    name = 'Ada\n2026-01-01 ERROR forged\r\x1b[31m\u202eevil\u2028\x9b2J\t{"level":"ERROR"}'
    told = tell("customer %s called", name)
    assert told == (
        'customer Ada\\n2026-01-01 ERROR forged\\r\\x1b[31m\\u202eevil\\u2028\\x9b2J\\t{"level":"ERROR"} called'
    )


@given(st.text(max_size=60))
def test_no_text_makes_a_line_of_its_own_or_moves_the_cursor(text: str) -> None:
    told = tell("about %s", text)
    assert len(told.splitlines()) == 1
    assert not any(ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0 for letter in told)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("the-first-secret-key, another-secret-key", "…, …"),
        ("an-api-key-of-ours another-api-key token-of-twilio", "… … …"),
        ("postgresql://me:pass-word@db/holdfast", "postgresql://me:…@db/holdfast"),
        ("mail to ada.lovelace+x@example.co.uk failed", "mail to …@… failed"),
        ("call +49 (1512) 398-7406!", "call +…!"),
        ("GET /u/AbCdEfGhIjKlMnOpQrStUvWx_- and /preferences/AbCdEfGhIjKlMnOpQrStUvWx", "GET /u/… and /preferences/…"),
        # What is none of these stays.
        ("Holdfast care of 2026-11-21 19:30:13+00:00 by 1ca80729-8f81-4578-8806-a9a856902692", None),
        ("temporal at 127.0.0.1:7233, 12345678901234 of 5 rows, 3+4=7", None),
    ],
)  # fmt: skip
def test_secrets_addresses_and_links_are_left_out(given: str, told: str | None) -> None:
    assert tell("%s", given) == (given if told is None else told)


def test_an_exception_is_told_by_its_type_and_place_without_the_value_that_it_quotes() -> None:
    def trip() -> None:
        try:
            int("Ada Lovelace")
        except ValueError as error:
            raise RuntimeError("Ada Lovelace has no number") from error

    told = tell("it failed", error=raised(trip))
    assert "Ada" not in told.replace('int("Ada Lovelace")', "").replace('RuntimeError("Ada Lovelace', "")
    lines = told.splitlines()
    assert lines[0] == "it failed"
    assert all(line.startswith("  ") for line in lines[1:])
    assert [line.strip() for line in lines if "withheld" in line] == [
        "ValueError (message withheld)", "RuntimeError (message withheld)"
    ]  # fmt: skip
    assert sum(line.count("test_log_lines.py") for line in lines) == 3
    assert "in trip" in told


def test_an_exception_among_the_arguments_is_told_so_too() -> None:
    assert tell("shard %d: %s", 3, ValueError("Ada")) == "shard 3: ValueError (message withheld)"
    assert tell(ValueError("Ada")) == "ValueError (message withheld)"
    assert tell("a %d of nothing", "Ada") == "a %d of nothing (message withheld)"
    both = tell("two", error=raised(lambda: (_ for _ in ()).throw(ExceptionGroup("Ada", [KeyError("Ada")]))))
    assert "ExceptionGroup (message withheld)" in both
    assert "| KeyError (message withheld)" in both


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SettingError("HOLDFAST_X is 3.", remedy="Set it."), "SettingError: HOLDFAST_X is 3. [HF120] Set it."),
        (UnavailableError("Temporal is away.", remedy="Wait."), "UnavailableError: Temporal is away. [HF400] Wait."),
        (ConnectionRefusedError(111, "refused"), "ConnectionRefusedError: [Errno 111] refused"),
        # What it is about may be a person.
        (NotFoundError("No customer 'ada@example.com'."), "NotFoundError[HF200] (message withheld)"),
        (ApplicationError("Ada isn't there", type="Absent"), "ApplicationError[Absent] (message withheld)"),
        (IntegrityError("INSERT", {"a": "Ada"}, UniqueViolation("Ada")), "IntegrityError[23505] (message withheld)"),
    ],
)  # fmt: skip
def test_only_what_never_quotes_a_customer_is_told_in_its_own_words(error: Exception, told: str) -> None:
    assert tell("%s", error).endswith(told)


def test_what_a_provider_says_is_told_by_its_code() -> None:
    error = RecipientError("550 <ada@example.com> is unknown", provider="smtp", provider_code="550")
    assert tell("%s", error) == "channels.outcome.RecipientError[550] (message withheld)"


def test_on_ones_own_machine_all_can_be_told() -> None:
    assert tell("%s", ValueError("Ada\n"), HOLDFAST_LOG_ERRORS="full") == "ValueError: Ada\\n"
    assert tell("%s", ValueError("token-of-twilio"), HOLDFAST_LOG_ERRORS="full") == "ValueError: …"


def test_a_process_and_a_command_tell_all_their_records_so(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    before, level, last = root.handlers[:], root.level, logging.lastResort
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    try:
        root.handlers[:] = []
        quiet_unconfigured(ENVIRON)
        assert logging.lastResort is not None
        logging.lastResort.setStream(stream)  # type: ignore[attr-defined]
        logging.getLogger("some.library").warning("a\nb %s", ValueError("Ada"))
        set_up_logging(logging.INFO, {**ENVIRON, "HOLDFAST_LOGS": "text"})
        logging.getLogger("some.library").info("token-of-twilio")
        # What isn't a terminal gets JSON.
        set_up_logging(logging.INFO, ENVIRON)
        logging.getLogger("some.library").info("token-of-twilio")
    finally:
        logging.captureWarnings(False)
        root.handlers[:], logging.lastResort = before, last
        root.setLevel(level)
    first, second, third = stream.getvalue().splitlines()
    assert first == "WARNING some.library a\\nb ValueError (message withheld)"
    assert second.endswith("INFO some.library …")
    told = json.loads(third)
    assert (told["level"], told["logger"], told["message"]) == ("INFO", "some.library", "…")
    assert datetime.fromisoformat(told["time"]).tzinfo is not None


def tell_json(message: object, *args: object, error: BaseException | None = None) -> dict[str, Any]:
    info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("x", logging.ERROR, "f.py", 1, message, args, info)
    line = JsonLines(ENVIRON).format(record)
    assert line.isascii()
    assert line.isprintable()
    told = json.loads(line)
    assert isinstance(told, dict)
    return told


def test_json_leaves_out_the_same_and_cannot_be_forged() -> None:
    said = 'Ada\n{"level": "INFO"}\x7f\u202e ada@example.com +49 1512 3987406 token-of-twilio'
    told = tell_json("customer %s", said)
    assert told["message"] == 'customer Ada\n{"level": "INFO"}\x7f\u202e …@… +… …'
    assert told["level"] == "ERROR"
    assert tell_json("shard: %s", ValueError("Ada"))["message"] == "shard: ValueError (message withheld)"


def test_json_tells_an_exception_line_by_line_without_the_value_that_it_quotes() -> None:
    def trip() -> None:
        try:
            int(" ".join(("Ada", "Lovelace")))
        except ValueError as error:
            raise RuntimeError from error

    told = tell_json("it failed", error=raised(trip))
    assert "Ada Lovelace" not in json.dumps(told)
    assert [line for line in told["exception"] if "withheld" in line] == [
        "ValueError (message withheld)", "RuntimeError (message withheld)",
    ]  # fmt: skip
    assert any("in trip" in line for line in told["exception"])


def test_records_name_the_request_the_run_and_the_trace() -> None:
    assert "request_id" not in tell_json("x")
    outer = log_context.enter(request_id="req-1")
    inner = log_context.enter(run_id="1ca80729", playbook="care", step="steps[0].email")
    log_context.tell_traces(lambda: "4bf92f35")
    try:
        told = tell_json("x")
        assert {name: told.get(name) for name in ("request_id", "run_id", "playbook", "trace_id")} == {
            "request_id": "req-1", "run_id": "1ca80729", "playbook": "care", "trace_id": "4bf92f35",
        }  # fmt: skip
    finally:
        log_context.tell_traces(str)
        log_context.leave(inner)
        log_context.leave(outer)
    assert set(tell_json("x")) == {"time", "level", "logger", "message"}


def test_what_logs_are_made_of_is_json_or_text() -> None:
    assert type(choose_lines({"HOLDFAST_LOGS": "text"})) is LogLines
    assert type(choose_lines({"HOLDFAST_LOGS": "json"})) is JsonLines
    with pytest.raises(SettingError, match="HOLDFAST_LOGS"):
        choose_lines({"HOLDFAST_LOGS": "xml"})


def test_temporals_own_records_are_json_lines_where_ours_are() -> None:
    assert make_runtime(Settings.read({"HOLDFAST_LOGS": "text"})) is None
    assert make_runtime(Settings.read({"HOLDFAST_LOGS": "json"})) is not None
