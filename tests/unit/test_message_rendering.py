"""Push notifications and WhatsApp variables, made of a template's parts and one customer's data."""

from __future__ import annotations

from typing import Any

import pytest

from channels.rendering import MissingValueError, RenderError, render_push, render_whatsapp

CONTEXT: dict[str, Any] = {"customer": {"first_name": "Zoë\r\nX", "id": "c1"}, "signals": {}}
SID = "HX" + "1" * 32


def test_a_push_has_one_line_of_title_and_its_text() -> None:
    parts = {"title": "Hi {{ customer.first_name }}", "text": " Two days\x07 left \n"}
    assert render_push(parts, CONTEXT) == ("Hi Zoë X", "Two days left")


@pytest.mark.parametrize("parts", [{"title": "Hi", "text": " "}, {"title": " ", "text": "x"}, {"text": "x"}])
def test_a_push_without_title_or_text_is_not_made(parts: dict[str, str]) -> None:
    with pytest.raises(RenderError):
        render_push(parts, CONTEXT)


def test_whatsapp_variables_are_single_lines_under_their_names() -> None:
    variables = {
        "1": "{{ customer.first_name }}",
        "2": {"text": "{{ signals.plan }}", "default": "your plan"},
    }
    assert render_whatsapp({"content_sid": SID, "variables": variables}, CONTEXT) == (
        SID, {"1": "Zoë X", "2": "your plan"},
    )  # fmt: skip
    assert render_whatsapp({"content_sid": SID}, CONTEXT) == (SID, {})


def test_a_variable_that_is_missing_or_empty_keeps_the_message_back() -> None:
    with pytest.raises(MissingValueError):
        render_whatsapp({"content_sid": SID, "variables": {"1": "{{ signals.plan }}"}}, CONTEXT)
    # WhatsApp refuses empty variables.
    with pytest.raises(RenderError):
        render_whatsapp({"content_sid": SID, "variables": {"1": "{{ signals.plan | default('') }}"}}, CONTEXT)
    with pytest.raises(RenderError):
        render_whatsapp({"variables": {"1": "x"}}, CONTEXT)
