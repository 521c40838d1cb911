"""WhatsApp messages through Twilio's own client: templates that WhatsApp approved, with their variables, or any text.

Outside the 24 hours after a customer's own message WhatsApp takes nothing but approved templates. Whoever hands a
message over decides which it is: what names no template is a text.
"""

from __future__ import annotations

import json
import re
from datetime import datetime

from channels.http_client import CONNECT_SECONDS, DEADLINE_SECONDS
from channels.outcome import UNANSWERABLE, ContentError, OutgoingMessage, Receipt, Unanswerable
from channels.twilio_account import TwilioAccount, check_number
from channels.twilio_codes import PROVIDER

PREFIX = "whatsapp:"
TEXT_LIMIT = 1600
_CONTENT = re.compile(r"HX[0-9a-fA-F]{32}")
_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")


class TwilioWhatsappChannel:
    """Sends WhatsApp messages from one number, or from a messaging service (`MG…`) that has one.

    public_url: where Twilio can reach our web process; empty means that no status callbacks are asked for.
    """

    name = "whatsapp"
    provider = PROVIDER

    def __init__(
        self,
        *,
        account_sid: str,
        auth_token: str,
        sender: str,
        base_url: str = "",
        public_url: str = "",
        deadline_seconds: float = DEADLINE_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        self._account = TwilioAccount(
            account_sid, auth_token, base_url=base_url, public_url=public_url,
            deadline_seconds=deadline_seconds, connect_seconds=connect_seconds,
        )  # fmt: skip
        service = _SERVICE.fullmatch(sender)
        self._from = {"messaging_service_sid": sender} if service else {"from_": _address(sender)}

    async def send(self, message: OutgoingMessage) -> Receipt:
        """Post the message once; the receipt's id is Twilio's message sid."""
        check_number(message.recipient)
        fields: dict[str, object] = {"to": _address(message.recipient), **self._from}
        if not message.content_sid and message.text.strip():
            if len(message.text) > TEXT_LIMIT:
                what = f"The WhatsApp message has more than {TEXT_LIMIT} characters."
                raise ContentError(what, provider=PROVIDER, provider_code="21617")
            return await self._account.post(message, {**fields, "body": message.text})
        if not _CONTENT.fullmatch(message.content_sid):
            what = "The template's content_sid must look like HX and 32 hexadecimal digits."
            raise ContentError(what, provider=PROVIDER, provider_code="21654")
        fields["content_sid"] = message.content_sid
        if message.variables:
            fields["content_variables"] = json.dumps(dict(message.variables), ensure_ascii=False)
        return await self._account.post(message, fields)

    async def look_up(self, message: OutgoingMessage, since: datetime) -> Receipt | Unanswerable | None:
        """Find the message among all that Twilio took for this number since then.

        Twilio lists what its template came to, not which template it was. So what holds every variable is it;
        nothing at all since then means that it wasn't taken; anything else leaves the question open. A text is found
        by itself.
        """
        recent, complete = await self._account.list_recent(_address(message.recipient), since)
        if not message.content_sid:
            same = [one for one in recent if (one.body or "").strip() == message.text.strip()]
            if same:
                return Receipt(PROVIDER, same[0].sid)
            return None if complete else UNANSWERABLE
        values = [value for value in message.variables.values() if value.strip()]
        found = [one for one in recent if values and all(value in (one.body or "") for value in values)]
        if found:
            return Receipt(PROVIDER, found[0].sid)
        return None if complete and not recent else UNANSWERABLE

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._account.close()


def _address(number: str) -> str:
    return PREFIX + number.removeprefix(PREFIX)
