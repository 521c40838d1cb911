"""Asking the provider, on somebody's word, what became of a message of which nobody knows."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from channels.outcome import Channel
from channels.twilio import TwilioSmsChannel
from loops.looking_up import look_up_delivery
from schemas.access import Principal
from schemas.errors import ConflictError, NotFoundError, UnavailableError
from store.addresses import hash_address
from tests.integration.web_edge import RunningWeb, furnish, run_web
from tests.standins.twilio import TwilioStandIn

NUMBER, SAID = "+4915123456789", "Your trial ends on Friday."
GRACE = Principal(kind="person", id="p1", name="Grace", role="csm")


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url) as running:
        yield running


def make_channels(server: TwilioStandIn) -> dict[str, Channel]:
    return {
        "sms": TwilioSmsChannel(
            account_sid=server.account, auth_token=server.token, sender="+15005550006", base_url=server.url
        )
    }


async def unknown(web: RunningWeb, provider: str = "twilio", step: str | None = "unknown") -> str:
    """A message that may have left; its run went on with `step`, or waits for it where that is None."""
    ids = await furnish(web)
    await web.change("UPDATE customers SET phone = :phone", phone=NUMBER)
    await web.change(
        "UPDATE deliveries SET channel = 'sms', state = 'unknown', provider = :provider, address_hash = :hash, "
        "content = jsonb_build_object('text', CAST(:said AS text)), provider_id = NULL WHERE id = CAST(:id AS uuid)",
        id=ids["email"], provider=provider, hash=hash_address("sms", NUMBER), said=SAID,
    )  # fmt: skip
    await web.change("DELETE FROM run_steps")
    if step:
        await web.change(
            "INSERT INTO run_steps (run_id, step, occurrence, word, outcome, at) "
            "SELECT run_id, step, occurrence, 'sms', :outcome, now() FROM deliveries WHERE id = CAST(:id AS uuid)",
            id=ids["email"],
            outcome=step,
        )
    return ids["email"]


async def state_of(web: RunningWeb, delivery: str) -> tuple[str, str | None]:
    [row] = await web.rows(
        "SELECT state, provider_id FROM deliveries WHERE id = CAST(:id AS uuid)", id=delivery
    )
    return row["state"], row["provider_id"]


async def test_what_the_provider_took_is_accepted_and_on_record_as_found_by_somebody(web: RunningWeb) -> None:
    delivery = await unknown(web)
    async with TwilioStandIn() as server:
        channels = make_channels(server)
        taken = server.accept({"To": NUMBER, "Body": SAID, "From": "+15005550006"})
        found = await look_up_delivery(web.other, channels, delivery, GRACE)
        await channels["sms"].close()
    assert found.answer == "taken"
    assert await state_of(web, delivery) == ("accepted", taken.sid)
    [change] = await web.rows(
        "SELECT actor_name, action, before, after FROM audit_log WHERE object_id = :id", id=delivery
    )
    assert change == {
        "actor_name": "Grace", "action": "message.looked_up", "before": {"state": "unknown"},
        "after": {"state": "accepted"},
    }  # fmt: skip


@pytest.mark.parametrize(("step", "state"), [("unknown", "failed"), (None, "unknown")])
async def test_what_it_never_got_failed_unless_its_run_still_sees_to_it(
    web: RunningWeb, step: str | None, state: str
) -> None:
    delivery = await unknown(web, step=step)
    async with TwilioStandIn() as server:
        channels = make_channels(server)
        found = await look_up_delivery(web.other, channels, delivery, GRACE)
        await channels["sms"].close()
    assert found.answer == "absent"
    assert (await state_of(web, delivery))[0] == state


async def test_whoever_cannot_be_asked_settles_nothing(web: RunningWeb) -> None:
    delivery = await unknown(web, provider="other")
    async with TwilioStandIn() as server:
        channels = make_channels(server)
        assert "no settings for other" in (await look_up_delivery(web.other, channels, delivery, GRACE)).told
        await web.change("UPDATE deliveries SET provider = 'twilio'")
        await web.change("UPDATE customers SET phone = '+4915000000000'")
        assert "no longer" in (await look_up_delivery(web.other, channels, delivery, GRACE)).told
    await web.change("UPDATE customers SET phone = :phone", phone=NUMBER)
    with pytest.raises(UnavailableError):
        await look_up_delivery(web.other, channels, delivery, GRACE)
    await channels["sms"].close()
    assert (await state_of(web, delivery))[0] == "unknown"
    await web.change("UPDATE deliveries SET state = 'accepted'")
    with pytest.raises(ConflictError):
        await look_up_delivery(web.other, channels, delivery, GRACE)
    with pytest.raises(NotFoundError):
        await look_up_delivery(web.other, channels, "00000000-0000-0000-0000-000000000000", GRACE)
