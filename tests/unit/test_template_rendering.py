"""Messages rendered for a customer: nothing blank, nothing half, nothing without end."""

from __future__ import annotations

from typing import Any

import pytest

from channels.plain_text import html_to_text
from channels.rendering import (
    EmailContent,
    MissingValueError,
    RenderError,
    render_email,
    render_in_app,
    render_line,
    render_part,
    render_sms,
)

CONTEXT: dict[str, Any] = {
    "customer": {"first_name": "Zoë", "business_name": "Sun & <Co>", "phone": None},
    "signals": {
        "health_score": 35.0, "usage_drop_percent": 41.5, "recent_features": ["forms", "journeys"],
        "gaps": ["a", None], "renewed": True, "plan": "pro", "empty": [],
    },
    "run": {"id": "r-1"},
    "steps": {"call_1": {"outcome": "reached"}},
    "links": {"unsubscribe": "https://example.com/u/1?a=1&b=2"},
}  # fmt: skip


def render(text: str, *, html: bool = False) -> str:
    return render_part(text, CONTEXT, html=html)


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("Hi {{ customer.first_name }}, {{ signals.usage_drop_percent }} % down", "Hi Zoë, 41.5 % down"),
        ("{{ signals.health_score }}", "35"),
        ("{{ signals.recent_features }}", "forms, journeys"),
        ("{{ signals.recent_features | join(' and ') }}", "forms and journeys"),
        ("{% for f in signals.recent_features %}{{ loop.index }}{{ f }}{{ ';' if loop.first }}{% endfor %}",
         "1forms;2journeys"),
        ("{% for f in signals.recent_features if f != 'forms' %}{{ f }}{% endfor %}", "journeys"),
        ("{{ customer.phone | default('no phone') }}", "no phone"),
        ("{{ steps.call_9.outcome | default('not called') }}", "not called"),
        ("{% if customer.phone is defined %}yes{% else %}no{% endif %}", "no"),
        ("{{ steps.call_1.outcome }}", "reached"),
        ("{{ signals.recent_features[0] ~ '!' }}", "forms!"),
        ("{{ 'x' if signals.health_score < 40 else 'y' }}", "x"),
        ("{{ (signals.usage_drop_percent * 2) | round | int }}", "83"),
        ("{{ 'a' if signals.plan == 'free' }}", ""),
        ("{% set n = customer.first_name %}{{ n | upper }}", "ZOË"),
        ("{{ 'long words here' | truncate(11) }}", "long words…"),
    ],
)  # fmt: skip
def test_values_read_as_a_person_would_write_them(text: str, rendered: str) -> None:
    assert render(text) == rendered


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{{ customer.phone }}", "customer.phone"),
        ("{{ customer.nickname }}", "customer.nickname"),
        ("{{ customer.nickname | upper }}", "customer.nickname"),
        ("{{ 'Hi ' ~ customer.phone }}", "customer.phone"),
        ("{{ steps.call_9.outcome }}", "steps.call_9"),
        ("{{ signals.empty | first }}", "missing"),
        ("{{ signals.gaps | join }}", "missing"),
        ("{{ signals.gaps }}", "missing"),
        ("{% for gap in signals.gaps %}{{ gap }}{% endfor %}", "no value"),
        ("{% for item in customer.phone %}{% endfor %}", "customer.phone"),
        ("{{ signals.recent_features[7] }}", "7"),
        ("{{ signals.nothing + 1 }}", "signals.nothing"),
        ("{{ customer.items }}", "customer.items"),
    ],
)
def test_a_missing_value_never_prints_and_is_named(text: str, named: str) -> None:
    with pytest.raises(MissingValueError, match=named) as raised:
        render(text)
    assert raised.value.code == "HF142"
    assert render_part({"text": text, "default": "as {{ signals.plan }}"}, CONTEXT, html=False) == "as pro"


def test_a_part_without_a_usable_default_fails() -> None:
    with pytest.raises(MissingValueError):
        render_part({"text": "{{ customer.phone }}"}, CONTEXT, html=False)
    with pytest.raises(MissingValueError):
        render_part({"text": "{{ customer.phone }}", "default": "{{ customer.fax }}"}, CONTEXT, html=False)


@pytest.mark.parametrize(
    "text",
    [
        "{{ signals }}", "{{ signals.plan * 3 }}", "{{ signals.plan % 3 }}",
        "{{ signals.recent_features * 3 }}",
        "{{ signals.plan | round }}", "{{ signals.health_score / 0 }}", "{{ signals.plan < 3 }}",
        "{% for c in signals.plan %}{{ c }}{% endfor %}", "{{ 1 | round(999999999) }}", "{{ steps.call_1 }}",
        "{{ range(3) }}", "{{ 'a' ",
    ],
)  # fmt: skip
def test_what_cannot_be_rendered_says_so_and_takes_no_default(text: str) -> None:
    with pytest.raises(RenderError) as raised:
        render_part({"text": text, "default": "x"}, CONTEXT, html=False)
    assert not isinstance(raised.value, MissingValueError)


def test_html_escapes_values_and_text_does_not() -> None:
    assert render("<b>{{ customer.business_name }}</b>", html=True) == "<b>Sun &amp; &lt;Co&gt;</b>"
    assert render("<b>{{ customer.business_name }}</b>") == "<b>Sun & <Co></b>"
    escaped = render_part("{{ signals.x }}", {"signals": {"x": ["<i>", "&"]}}, html=True)
    assert escaped == "&lt;i&gt;, &amp;"


BIG = {"text": "x" * 30_000, "items": list(range(900)), "n": 10**60}
BOMBS = {
    "loops": "{% for a in signals.items %}{% for b in signals.items %}{% endfor %}{% endfor %}",
    "silent loops": "{% for a in signals.items if a < 0 %}{% endfor %}" * 15,
    "output": "{% for a in signals.items %}{{ signals.text }}{% endfor %}",
    "replace": "{{ 'a'" + "|replace('a','aaaa')" * 16 + " }}",
    "join": "{{ signals.items | join(signals.text) }}",
    "doubling by truncate": "{% set a = signals.text %}"
    + "{% set a = a|truncate(90000, a) %}" * 40
    + "{{ a + a + a + a }}",
    "doubling by plus": "{% set a = signals.text %}" + "{% set a = a + a %}" * 40 + "{{ a }}",
    "squaring": "{% set a = signals.n %}" + "{% set a = a * a %}" * 40 + "{{ a }}",
    "heavy body": "{% for a in signals.items %}{% for b in signals.items %}"
    + "{% if signals.text|upper|lower|upper == 'x' %}{% endif %}" * 100
    + "{% endfor %}{% endfor %}",
}  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_that_passes_the_check_is_stopped_while_it_renders(text: str) -> None:
    with pytest.raises(RenderError):
        render_part({"text": text, "default": "x"}, {"signals": BIG}, html=True)


def test_an_email_has_one_line_of_subject_and_always_a_text() -> None:
    parts = {
        "subject": {"text": "News for {{ customer.nickname }}", "default": "News\nfor you"},
        "html": "<h1>Hi {{ customer.first_name }}</h1><p>Sun <a href='{{ links.unsubscribe }}'>stop</a></p>",
    }
    mail = render_email(parts, CONTEXT)
    assert mail == EmailContent(
        subject="News for you",
        text="Hi Zoë\n\nSun stop (https://example.com/u/1?a=1&b=2)\n",
        html="<h1>Hi Zoë</h1><p>Sun <a href='https://example.com/u/1?a=1&amp;b=2'>stop</a></p>",
    )
    assert render_email({"subject": "S", "text": "T\r\nU\x00"}, CONTEXT) == EmailContent("S", "T\nU", None)


@pytest.mark.parametrize(
    "parts",
    [
        {"text": "no subject"}, {"subject": " \n", "text": "x"}, {"subject": "no body"},
        {"subject": "s", "text": " "},
        {"subject": "x" * 901, "text": "x"}, {"subject": "s", "text": ["not text"]},
        {"subject": "s", "text": {"default": "x"}},
    ],
)  # fmt: skip
def test_an_incomplete_email_is_not_rendered(parts: dict[str, Any]) -> None:
    with pytest.raises(RenderError):
        render_email(parts, CONTEXT)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("x\r\nBcc: e@x.com", "Hi x Bcc: e@x.com"),
        ("=?utf-8?q?hi=0ABcc:_e@x.com?=", "Hi hi Bcc: e@x.com"),
        ("=?utf-8?q?=3D=3Futf-8=3Fq=3Fhi=3D0ABcc=3A_e=3F=3D?=", "Hi hi Bcc: e"),
        ("=?nope?q?a=0Ab?=", "Hi = ?nope?q?a=0Ab?="),
        ("=?utf-8?q?half", "Hi = ?utf-8?q?half"),
        ("a\x00\x1b[31m\u2028b\u202e", "Hi a [31m b"),
        ("\ud800lone", "Hi \ufffdlone"),
        ("👩‍🚀", "Hi 👩‍🚀"),
    ],
)
def test_a_line_stays_one_line_whatever_a_customer_is_called(name: str, line: str) -> None:
    assert render_line("Hi {{ customer.first_name }}", {"customer": {"first_name": name}}) == line


def test_sms_and_in_app() -> None:
    assert render_sms({"text": " Hi {{ customer.first_name }}\n"}, CONTEXT) == "Hi Zoë"
    assert render_in_app({"title": "A\nB", "text": "{{ customer.business_name }}"}, CONTEXT) == (
        "A B",
        "Sun & <Co>",
    )
    with pytest.raises(RenderError):
        render_sms({"text": "{{ '' }}"}, CONTEXT)
    with pytest.raises(RenderError):
        render_in_app({"text": "no title"}, CONTEXT)


def test_html_becomes_readable_text() -> None:
    html = """<html><head><title>t</title><style>p {}</style></head><body><h1>Hello  there</h1>
      <p>One<br>two &amp; <b>three</b></p><ul><li>a</li><li>b</li></ul>
      <table><tr><td>1</td><td>2</td></tr></table><script>alert(1)</script>
      <a href="https://example.com">https://example.com</a> <a href="javascript:x">x</a>
      <img alt="A cat"></body></html>"""
    assert html_to_text(html) == (
        "Hello there\n\nOne\ntwo & three\n\n- a\n- b\n\n1 2\n\nhttps://example.com x A cat\n"
    )
