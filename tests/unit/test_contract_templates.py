"""The language's section Templates: what is made of a template's parts for one customer, and what never is."""

from __future__ import annotations

from email.message import EmailMessage
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

import channels.rendering
from channels.header import clean_line
from channels.rendering import (
    MissingValueError,
    RenderError,
    render_email,
    render_in_app,
    render_part,
    render_push,
    render_sms,
    render_whatsapp,
)
from schemas.template import TemplateError, compile_part

CONTEXT: dict[str, Any] = {
    "customer": {"first_name": "Zoë", "business_name": "<b>Sun & Co</b>"},
    "signals": {"plan": "pro", "health_score": 35},
    "run": {"playbook": "rescue", "title": "Rescue", "reason": "called", "variant": "warm"},
    "steps": {"ring": {"outcome": "reached"}, "crm": {"outcome": "done", "body": {"ticket": "T-1"}}},
    "links": {"unsubscribe": "https://example.com/u", "preferences": "https://example.com/p"},
}
GONE = "{{ customer.nickname }}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{{ customer.first_name }}", "Zoë"), ("{{ signals.health_score }}", "35"), ("{{ run.playbook }}", "rescue"),
        ("{{ run.variant }}", "warm"), ("{{ steps.ring.outcome }}", "reached"),
        ("{{ steps.crm.body.ticket }}", "T-1"), ("{{ steps['ring'].outcome }}", "reached"),
        ("{{ links.unsubscribe }}", "https://example.com/u"),
    ],
)  # fmt: skip
def test_customer_signals_run_steps_and_links_are_there(text: str, told: str) -> None:
    assert render_part(text, CONTEXT, html=False) == told


WHOLE: list[tuple[Any, dict[str, Any]]] = [
    (render_email, {"subject": "S", "text": "T", "html": "<p>H</p>"}),
    (render_sms, {"text": "T"}),
    (render_push, {"title": "S", "text": "T"}),
    (render_in_app, {"title": "S", "text": "T"}),
]
PARTS = [(render, parts, name) for render, parts in WHOLE for name in parts]
NAMES = [f"{render.__name__.removeprefix('render_')}-{name}" for render, _, name in PARTS]


@pytest.mark.parametrize(("render", "parts", "name"), PARTS, ids=NAMES)
def test_where_a_value_is_missing_the_parts_default_is_sent_and_without_one_nothing(
    render: Any, parts: dict[str, Any], name: str
) -> None:
    whole = render(parts, CONTEXT)
    with pytest.raises(MissingValueError):
        render({**parts, name: f"{parts[name]} {GONE}"}, CONTEXT)
    with pytest.raises(MissingValueError):
        render({**parts, name: {"text": GONE, "default": f"As {GONE}"}}, CONTEXT)
    assert render({**parts, name: {"text": f"Dear {GONE}", "default": parts[name]}}, CONTEXT) == whole


def test_one_variable_without_its_value_keeps_a_whatsapp_message_back() -> None:
    parts = {"content_sid": "HX1", "variables": {"1": "{{ customer.first_name }}", "2": GONE}}
    with pytest.raises(MissingValueError):
        render_whatsapp(parts, CONTEXT)
    parts["variables"] = {"1": "{{ customer.first_name }}", "2": {"text": GONE, "default": "you"}}
    assert render_whatsapp(parts, CONTEXT) == ("HX1", {"1": "Zoë", "2": "you"})


@pytest.mark.parametrize("subject", ["", " ", "\n", "{{ '' }}", "{{ ' ' }}", None])
def test_an_email_has_a_subject(subject: str | None) -> None:
    with pytest.raises(RenderError):
        render_email({"subject": subject, "text": "T"}, CONTEXT)


def test_a_text_part_is_made_for_every_html_mail() -> None:
    html = "<style>p {}</style><h1>Hi {{ customer.first_name }}</h1><p>See <a href='https://x.example/?a=1&amp;b=2'>this</a></p>"
    made = render_email({"subject": "S", "html": html}, CONTEXT)
    assert made.text == "Hi Zoë\n\nSee this (https://x.example/?a=1&b=2)\n"
    written = render_email({"subject": "S", "html": html, "text": "Mine"}, CONTEXT)
    assert (written.text, written.html) == ("Mine", made.html)


def test_html_is_escaped_by_default_and_what_is_no_html_isnt() -> None:
    parts = {"subject": "{{ customer.business_name }}", "html": "<i>{{ customer.business_name }}</i>"}
    mail = render_email(parts, CONTEXT)
    assert mail.html == "<i>&lt;b&gt;Sun &amp; Co&lt;/b&gt;</i>"
    assert mail.subject == "<b>Sun & Co</b>"
    assert mail.text == "<b>Sun & Co</b>\n"


@pytest.mark.parametrize(
    "filter_", ["safe", "e | safe", "striptags | safe", "replace('&lt;', '<')", "forceescape | safe"]
)
def test_nothing_written_in_a_template_undoes_the_escaping(filter_: str) -> None:
    text = f"{{{{ customer.business_name | {filter_} }}}}"
    try:
        told = render_part(text, CONTEXT, html=True)
    except RenderError:
        return
    assert "<b>" not in told


def encode(text: str) -> str:
    """As an encoded word, in which nothing looks like a header."""
    return "=?utf-8?q?" + "".join(f"={byte:02X}" for byte in text.encode()) + "?="


SMUGGLED = "x\r\nBcc: eve@example.com"


@pytest.mark.parametrize(
    "name",
    [
        SMUGGLED, "x\nBcc: eve@example.com", "x\rBcc: eve@example.com", "x\u2028Bcc: eve@example.com",
        "x\x0bBcc: eve@example.com", "x\x85Bcc: eve@example.com", encode(SMUGGLED), encode(encode(SMUGGLED)),
        encode(encode(encode(encode(encode(encode(encode(SMUGGLED))))))),
        "=?utf-8?b?eA0KQmNjOiBldmVAZXhhbXBsZS5jb20=?=",
        f"{encode(SMUGGLED)} {encode(SMUGGLED)}", "=?utf-8?q?" + encode(SMUGGLED) + "?=",
    ],
)  # fmt: skip
def test_subjects_and_names_cant_smuggle_headers_encoded_words_included(name: str) -> None:
    subject = render_email(
        {"subject": "For {{ customer.first_name }}", "text": "T"}, {"customer": {"first_name": name}}
    ).subject
    mail = EmailMessage()
    mail["Subject"] = subject
    mail["To"] = f'"{clean_line(name)}" <ann@example.com>'.replace('"', "")
    assert mail["Bcc"] is None
    assert "Bcc" not in [line.split(":")[0] for line in mail.as_string().splitlines()]
    assert len(subject.splitlines()) == 1
    assert "=?" not in subject


# What is refused


@pytest.mark.parametrize(
    "text",
    [
        "{{ 2 ** 64 }}", "{{ 9 ** 9 ** 9 }}", "{{ signals.health_score ** 99 }}", "{{ 'a' * 10 ** 9 }}",
        "{% for i in range(999999999) %}{% endfor %}", "{{ range(9) | list }}", "{{ ''.__class__ }}",
        "{{ customer.__class__ }}", "{{ ''['__class__'] }}", "{{ customer | attr('items') }}", "{{ customer.items() }}",
        "{{ 'a'.upper() }}", "{{ self }}", "{{ lipsum() }}", "{% include 'x' %}", "{% import 'x' as y %}",
        "{% macro m() %}{% endmacro %}", "{{ config }}", "{{ request }}",
    ],
)  # fmt: skip
def test_powers_huge_ranges_and_attribute_tricks_dont_get_that_far(text: str) -> None:
    with pytest.raises(RenderError):
        render_part(text, CONTEXT, html=False)


def test_what_makes_more_than_a_megabyte_is_refused_and_what_makes_less_isnt() -> None:
    text = "{% for row in signals.rows %}{{ signals.line }}{% endfor %}"
    line = "x" * 1000
    fits = {"signals": {"rows": list(range(1000)), "line": line}}
    assert len(render_part(text, fits, html=False)) == 1_000_000
    too_much = {"signals": {"rows": list(range(1001)), "line": line}}
    with pytest.raises(RenderError, match="1000000 characters"):
        render_part({"text": text, "default": "x"}, too_much, html=False)


@pytest.mark.parametrize(("look_seconds", "refused"), [(0.05, False), (0.3, True)])
def test_what_takes_more_than_two_seconds_is_refused(
    monkeypatch: pytest.MonkeyPatch, look_seconds: float, refused: bool
) -> None:
    """From one look at the clock to the next it takes so long."""
    looks = count()
    clock = SimpleNamespace(monotonic=lambda: next(looks) * look_seconds)
    monkeypatch.setattr(channels.rendering, "time", clock)
    text, context = (
        "{% for row in signals.rows %}{{ row }}{% endfor %}",
        {"signals": {"rows": list(range(10))}},
    )
    if not refused:
        assert render_part(text, context, html=False) == "0123456789"
        return
    with pytest.raises(RenderError, match="more than 2 s"):
        render_part({"text": text, "default": "x"}, context, html=False)


def test_what_cannot_be_compiled_within_a_second_is_refused_before_it_is_compiled() -> None:
    """By its size: more tags, words, blocks or brackets than take a second on one slow core."""
    for text in (
        "{{ customer.first_name }}" * 1001, "x" * 33 * 1024, "{{ " + "(" * 21 + "1" + ")" * 21 + " }}",
        "{% if customer.first_name %}" * 21 + "{% endif %}" * 21, "{{ 1" + " + 1" * 200 + " }}",
        "{{ " + "9" * 16 + " }}",
    ):  # fmt: skip
        with pytest.raises(TemplateError):
            compile_part(text, False)
