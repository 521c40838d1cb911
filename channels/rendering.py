"""Messages made from a template's parts and one customer's data; nothing half-rendered ever leaves.

A part is text, or `{text, default}`: the default is sent where the text needs a value that isn't there.

Rendering runs in this process. That is enough because `compile_part`, the only way to a template here,
refuses whatever could make work out of nothing; what is left takes time in proportion to its source (32 KB)
and its data, and each of the two ways in which it can add up is counted: output, cut at 1 MB while it
streams, and rounds of loops, of which there are 10,000. The clock is looked at between pieces of output and
between rounds; between two looks at most one loop body is run, over values of at most 100,000 characters.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2.exceptions import TemplateRuntimeError, UndefinedError

from channels.header import clean_line, clean_text
from channels.plain_text import html_to_text
from schemas.errors import HoldfastError
from schemas.template import ROOTS, TemplateError, compile_part
from schemas.template_environment import NamedMapping, TemplateLimitError, before_each_round

TIME_LIMIT_SECONDS = 2.0
OUTPUT_LIMIT = 1_000_000
ROUND_LIMIT = 10_000
LINE_LIMIT = 900  # a header line has at most 998 bytes


class RenderError(HoldfastError):
    """A message can't be made from its template and this customer's data."""

    code = "HF141"
    remedy = "Give the part a `default`, or correct the template; `holdfast validate` checks it."


class MissingValueError(RenderError):
    """The template needs a value that this customer doesn't have."""

    code = "HF142"
    remedy = "Give the part a `default`, or write `| default(…)` behind the value."


@dataclass(frozen=True)
class EmailContent:
    """A rendered e-mail: one line of subject, a text part always, an HTML part where the template has one."""

    subject: str
    text: str
    html: str | None = None


def render_part(part: Any, context: Mapping[str, Any], *, html: bool) -> str:
    """The text of one part for one customer.

    part: text, or a mapping of `text` and `default` (a template as well).
    context: the five roots `customer`, `signals`, `run`, `steps`, `links`; None anywhere means no value.
    html: whether values are escaped.
    Raises MissingValueError where a value is missing and there is no default, else RenderError.
    """
    text, default = _take_apart(part)
    try:
        return _render(text, context, html=html)
    except MissingValueError:
        if default is None:
            raise
        return _render(default, context, html=html)


def render_line(text: Any, context: Mapping[str, Any]) -> str:
    """One clean line, for titles and subjects; raises RenderError where nothing is left of it."""
    line = clean_line(render_part(text, context, html=False))
    if not line:
        raise RenderError("The line is empty.")
    if len(line.encode()) > LINE_LIMIT:
        raise RenderError(f"The line has more than {LINE_LIMIT} bytes.")
    return line


def render_email(parts: Mapping[str, Any], context: Mapping[str, Any]) -> EmailContent:
    """Subject, text and HTML of an e-mail; the text is made from the HTML where there is none."""
    subject = render_line(_get(parts, "subject", "e-mail"), context)
    html = render_part(parts["html"], context, html=True) if parts.get("html") is not None else None
    if parts.get("text") is not None:
        text = render_part(parts["text"], context, html=False)
    elif html is not None:
        text = html_to_text(html)
    else:
        raise RenderError("The e-mail has neither `text` nor `html`.")
    if not (text.strip() or (html or "").strip()):
        raise RenderError("The e-mail is empty.")
    return EmailContent(subject, clean_text(text), clean_text(html) if html is not None else None)


def render_sms(parts: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    """The text of a text message."""
    text = clean_text(render_part(_get(parts, "text", "SMS"), context, html=False)).strip()
    if not text:
        raise RenderError("The SMS is empty.")
    return text


def render_voice(parts: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    """What is read out in a call."""
    text = clean_text(render_part(_get(parts, "text", "call"), context, html=False)).strip()
    if not text:
        raise RenderError("There is nothing to be read out.")
    return text


def render_push(parts: Mapping[str, Any], context: Mapping[str, Any]) -> tuple[str, str]:
    """Title and text of a push notification."""
    title = render_line(_get(parts, "title", "push notification"), context)
    text = clean_text(render_part(_get(parts, "text", "push notification"), context, html=False)).strip()
    if not text:
        raise RenderError("The push notification is empty.")
    return title, text


def render_whatsapp(parts: Mapping[str, Any], context: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The sid of the provider's template, and its variables: one line each, as WhatsApp allows no more."""
    variables = parts.get("variables") or {}
    return str(_get(parts, "content_sid", "WhatsApp message")), {
        str(name): render_line(part, context) for name, part in variables.items()
    }


def render_free_whatsapp(parts: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    """What is written within 24 hours of the customer's own message, in place of the template."""
    text = clean_text(render_part(_get(parts, "text", "WhatsApp message"), context, html=False)).strip()
    if not text:
        raise RenderError("The WhatsApp message is empty.")
    return text


def render_in_app(parts: Mapping[str, Any], context: Mapping[str, Any]) -> tuple[str, str]:
    """Title and text of a message inside the product; plain text, to be escaped by whoever shows it."""
    title = render_line(_get(parts, "title", "in-app message"), context)
    return title, clean_text(render_part(_get(parts, "text", "in-app message"), context, html=False)).strip()


def _take_apart(part: Any) -> tuple[str, str | None]:
    if isinstance(part, str):
        return part, None
    if isinstance(part, Mapping) and isinstance(part.get("text"), str):
        default = part.get("default")
        if default is None or isinstance(default, str):
            return part["text"], default
    raise RenderError("A part must be text, or `text` and `default`.")


def _get(parts: Mapping[str, Any], name: str, kind: str) -> Any:
    if parts.get(name) is None:
        raise RenderError(f"The {kind} has no `{name}`.")
    return parts[name]


def _render(source: str, context: Mapping[str, Any], *, html: bool) -> str:
    try:
        template = compile_part(source, html)
    except TemplateError as error:
        raise RenderError(error.message) from error
    roots = {
        name: NamedMapping(value, name) for name in ROOTS if isinstance(value := context.get(name), Mapping)
    }
    limits = _Limits()
    token = before_each_round.set(limits.count_round)
    pieces: list[str] = []
    try:
        for piece in template.generate(roots):
            limits.count_output(piece)
            pieces.append(piece)
    except UndefinedError as error:
        raise MissingValueError(f"{error.message}.") from None
    except TemplateLimitError as error:
        raise RenderError(f"The template is refused: {error.message}.") from None
    except TemplateRuntimeError as error:
        raise RenderError(f"{error.message}.") from None
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # what filters and comparisons say about values of the wrong type
        raise RenderError(f"A value doesn't fit its place: {error}.") from None
    finally:
        before_each_round.reset(token)
    return "".join(pieces)


class _Limits:
    def __init__(self) -> None:
        self._ends_at = time.monotonic() + TIME_LIMIT_SECONDS
        self._rounds = 0
        self._characters = 0

    def count_round(self) -> None:
        self._rounds += 1
        if self._rounds > ROUND_LIMIT:
            raise TemplateLimitError(f"its loops go round more than {ROUND_LIMIT} times")
        self._check_clock()

    def count_output(self, piece: str) -> None:
        self._characters += len(piece)
        if self._characters > OUTPUT_LIMIT:
            raise TemplateLimitError(f"it makes more than {OUTPUT_LIMIT} characters")
        self._check_clock()

    def _check_clock(self) -> None:
        if time.monotonic() > self._ends_at:
            raise TemplateLimitError(f"it takes more than {TIME_LIMIT_SECONDS:g} s")
