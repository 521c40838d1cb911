"""Text messages through Twilio's own client."""

from __future__ import annotations

from datetime import datetime

from twilio.rest.api.v2010.account.message import MessageInstance  # type: ignore[import-untyped]

from channels.http_client import CONNECT_SECONDS, DEADLINE_SECONDS
from channels.outcome import UNANSWERABLE, ContentError, OutgoingMessage, Receipt, Unanswerable
from channels.twilio_account import TwilioAccount, check_number
from channels.twilio_codes import PROVIDER

TEXT_LIMIT = 1600
TRIAL_PREFIX = "Sent from your Twilio trial account - "


class TwilioSmsChannel:
    """Sends text messages from one number or messaging service.

    public_url: where Twilio can reach our web process; empty means that no status callbacks are asked for.
    """

    name = "sms"
    provider = PROVIDER

    def __init__(
        self,
        *,
        account_sid: str,
        auth_token: str,
        sender: str = "",
        messaging_service_sid: str = "",
        base_url: str = "",
        public_url: str = "",
        deadline_seconds: float = DEADLINE_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        self._account = TwilioAccount(
            account_sid, auth_token, base_url=base_url, public_url=public_url,
            deadline_seconds=deadline_seconds, connect_seconds=connect_seconds,
        )  # fmt: skip
        self._from = (
            {"messaging_service_sid": messaging_service_sid} if messaging_service_sid else {"from_": sender}
        )

    async def send(self, message: OutgoingMessage) -> Receipt:
        """Post the message once; the receipt's id is Twilio's message sid."""
        check_number(message.recipient)
        if not message.text.strip():
            raise ContentError("The text message is empty.", provider=PROVIDER, provider_code="21602")
        if len(message.text) > TEXT_LIMIT:
            raise ContentError(
                f"The text message has more than {TEXT_LIMIT} characters.",
                provider=PROVIDER,
                provider_code="21617",
            )
        return await self._account.post(
            message, {"to": message.recipient, "body": message.text, **self._from}
        )

    async def look_up(self, message: OutgoingMessage, since: datetime) -> Receipt | Unanswerable | None:
        """Find the message among all that Twilio took for this number since then, by its text.

        Twilio lists no callback URLs, so the text has to tell.
        """
        recent, complete = await self._account.list_recent(message.recipient, since)
        found = [one for one in recent if _text_of(one) == message.text.strip()]
        if found:
            return Receipt(PROVIDER, found[0].sid)
        return None if complete else UNANSWERABLE

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._account.close()


def _text_of(instance: MessageInstance) -> str:
    text: str = instance.body or ""
    return text.removeprefix(TRIAL_PREFIX).strip()
