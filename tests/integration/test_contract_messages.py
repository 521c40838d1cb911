"""What the language says of messages and templates, from the step to what the provider is handed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from email.utils import parseaddr
from pathlib import Path
from typing import Any

import pytest

from schemas.plan import Act
from schemas.policy import Policy
from store.publishing import publish
from tests.integration.message_desk import MessageDesk, open_message_desk
from tests.integration.step_desk import act


@pytest.fixture
async def desk(database_url: str, tmp_path: Path) -> AsyncIterator[MessageDesk]:
    async with open_message_desk(database_url, tmp_path) as desk:
        yield desk


def mail(step: str = "mail", **parts: Any) -> Act:
    return act("email", step, **{"subject": "Hello", "text": "Hello", **parts})


async def handed_over(desk: MessageDesk, *steps: Act) -> list[Any]:
    """The mails that the server accepted when these steps were carried out."""
    run = await desk.enter(*steps)
    for step in steps:
        await desk.carry_out(run, step.id)
    return [accepted.message for accepted in desk.providers.smtp.accepted]


async def test_a_text_part_is_made_for_every_html_mail_and_html_is_escaped_by_default(
    desk: MessageDesk,
) -> None:
    await desk.steps.identify(business_name="<script>x</script> & Co")
    html = "<h1>Hi {{ customer.business_name }}</h1>"
    [message] = await handed_over(desk, act("email", "mail", subject="Hello", html=html))
    parts = {
        part.get_content_type(): part.get_payload(decode=True).decode().strip()
        for part in message.get_payload()
    }
    assert parts == {
        "text/plain": "Hi <script>x</script> & Co",
        "text/html": "<h1>Hi &lt;script&gt;x&lt;/script&gt; &amp; Co</h1>",
    }


async def test_subjects_and_names_cant_smuggle_headers_encoded_words_included(desk: MessageDesk) -> None:
    await desk.steps.identify(first_name="Ada=?utf-8?q?=0D=0ABcc:_eve@example.com?=\r\nBcc: eve@example.com")
    [message] = await handed_over(desk, mail(subject="For {{ customer.first_name }}"))
    assert message["Bcc"] is None
    [accepted] = desk.providers.smtp.accepted
    assert accepted.recipients == ("ada@example.com",)


async def test_the_sender_is_called_as_the_step_says(desk: MessageDesk) -> None:
    named, usual = await handed_over(desk, mail("named", from_name='Ana, "care"\r\nBcc: x'), mail("usual"))
    assert parseaddr(str(named["From"])) == ('Ana, "care" Bcc: x', parseaddr(str(usual["From"]))[1])
    assert named["Bcc"] is None
    assert parseaddr(str(usual["From"]))[0] != parseaddr(str(named["From"]))[0]


async def test_where_a_value_is_missing_the_parts_default_is_sent(desk: MessageDesk) -> None:
    text = {"text": "Your plan is {{ signals.plan }}", "default": "Dear {{ customer.first_name }}"}
    [message] = await handed_over(desk, mail(text=text))
    assert message.get_payload().strip() == "Dear Ada"


async def test_without_a_default_the_step_is_failed_and_nothing_half_rendered_leaves(
    desk: MessageDesk,
) -> None:
    steps = [mail(part, **{part: "Your plan is {{ signals.plan }}"}) for part in ("subject", "text", "html")]
    run = await desk.enter(*steps)
    assert [(await desk.carry_out(run, step.id)).outcome for step in steps] == ["failed"] * 3
    assert desk.providers.sent() == {}


async def test_customer_signals_run_and_steps_are_there(desk: MessageDesk) -> None:
    text = (
        "{{ customer.first_name }}, {{ signals.timezone }}, {{ run.playbook }}, {{ run.title }}, "
        "{{ run.entered_at.year }}, {{ steps.first.outcome }}"
    )
    [_, message] = await handed_over(desk, mail("first"), mail("second", text=text))
    assert message.get_payload().strip() == "Ada, UTC, helping, Helping, 2026, sent"


async def test_the_policy_is_live_for_those_inside(desk: MessageDesk) -> None:
    run = await desk.enter(mail())
    async with desk.steps.database.transaction() as connection:
        await publish(connection, {}, {}, Policy(), author="test", now=desk.now, gone=())
    assert (await desk.carry_out(run, "mail")).outcome == "no_consent"
    assert desk.providers.sent() == {}


async def test_links_are_there(desk: MessageDesk) -> None:
    await desk.steps.identify(booking_url="https://calendar.example.com/grace")
    text = "{{ links.unsubscribe }} {{ links.preferences }} {{ links.booking }}"
    [message] = await handed_over(desk, mail(text=text))
    unsubscribe, preferences, booking = message.get_payload().split()
    assert unsubscribe.startswith("https://holdfast.example/u/")
    assert preferences.startswith("https://holdfast.example/preferences/")
    assert booking == "https://calendar.example.com/grace"
