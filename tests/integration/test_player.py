"""`holdfast dev --fast`: the coming days on virtual time, with the production code, and the three stories in them."""

from __future__ import annotations

import os

import pytest
from sqlalchemy import text

from loops.player import play
from store.database import Database
from tests.standins.smtp import SmtpStandIn
from tests.standins.twilio import TwilioStandIn


async def test_the_three_stories_can_be_watched(database_url: str) -> None:
    lines: list[str] = []
    async with SmtpStandIn() as smtp, TwilioStandIn() as twilio:
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")},
            "HOLDFAST_DATABASE_URL": database_url,
            "SMTP_URL": smtp.url,
            "HOLDFAST_MAIL_FROM": "Holdfast <care@holdfast.example>",
            "TWILIO_ACCOUNT_SID": twilio.account,
            "TWILIO_AUTH_TOKEN": twilio.token,
            "TWILIO_FROM": "+15005550006",
            "TWILIO_BASE_URL": twilio.url,
        }
        await play(environ, lines.append, days=11, customers=40)
        mails = [mail.message for mail in smtp.accepted]
    told = "\n".join(lines)

    # 1. A mail that names the facts, she imports, the goal is met, and nothing further is sent.
    maya = [line for line in lines if "Maya (" in line]
    assert "enters first-steps" in maya[0]
    assert "is sent the e-mail" in maya[1]
    assert "leaves first-steps: success" in maya[-1]
    to_maya = [mail for mail in mails if "Maya" in str(mail["Subject"])]
    assert len(to_maya) == 1
    assert "5" in str(to_maya[0]["Subject"])

    # 2. A success call, her own best templates, premium for a week though she converts to annual billing before.
    elena = "\n".join(line for line in lines if "Elena (" in line)
    assert "enters rescue-declining-supplier" in elena
    assert "is put on the call list" in elena
    assert "invitation" in elena
    told_of_premium = [line for line in elena.splitlines() if "premium" in line and "is shown" not in line]
    assert [line.split("Light) ")[1] for line in told_of_premium] == [
        "has premium unlocked for 7 days", "has premium locked again",
    ]  # fmt: skip
    assert "leaves rescue-declining-supplier: success (goal back-on-track: plan_changed)" in elena

    # 3. A personal mail, and the run stops the moment he is back.
    jonas = "\n".join(line for line in lines if "Jonas (" in line)
    assert "enters come-back" in jonas
    assert "is sent the e-mail" in jonas
    assert "leaves come-back: success" in jonas

    assert "What playbooks achieved" in told
    database = Database(database_url, connections=1)
    async with database.transaction() as connection:
        rows = await connection.execute(
            text(
                "SELECT playbook, outcome, cost_to_execute, success_achieved FROM intervention_executions e "
                "JOIN customers c ON c.id = e.customer_id WHERE c.external_id = 'demo-story-2'"
            )
        )
        [rescue] = rows.all()
    await database.close()
    assert (rescue.playbook, rescue.outcome, rescue.success_achieved) == (
        "rescue-declining-supplier",
        "success",
        True,
    )
    # One call of a quarter of an hour at the policy's price, and what the mails cost.
    assert float(rescue.cost_to_execute) == pytest.approx(12.0, abs=0.1)
