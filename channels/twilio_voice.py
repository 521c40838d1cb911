"""Calls through Twilio's own client: a text that is read out to whoever picks up.

The text goes along as TwiML that Twilio's own VoiceResponse writes, so that nothing in it can become an instruction.
"""

from __future__ import annotations

from datetime import datetime

from twilio.twiml.voice_response import VoiceResponse  # type: ignore[import-untyped]

from channels.header import clean_text
from channels.http_client import CONNECT_SECONDS, DEADLINE_SECONDS
from channels.outcome import UNANSWERABLE, ContentError, OutgoingMessage, Receipt, Unanswerable
from channels.twilio_account import TwilioAccount, check_number
from channels.twilio_codes import PROVIDER

TWIML_LIMIT = 4000
RING_SECONDS = 30


class TwilioVoiceChannel:
    """Calls from one number.

    language: that of the voice, as in en-GB; empty leaves it to Twilio.
    public_url: where Twilio can reach our web process; empty means that no status callbacks are asked for.
    """

    name = "voice"
    provider = PROVIDER

    def __init__(
        self,
        *,
        account_sid: str,
        auth_token: str,
        sender: str,
        language: str = "",
        base_url: str = "",
        public_url: str = "",
        deadline_seconds: float = DEADLINE_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        self._account = TwilioAccount(
            account_sid, auth_token, base_url=base_url, public_url=public_url,
            deadline_seconds=deadline_seconds, connect_seconds=connect_seconds,
        )  # fmt: skip
        self._sender = sender
        self._voice = {"language": language} if language else {}

    async def send(self, message: OutgoingMessage) -> Receipt:
        """Place the call once; the receipt's id is Twilio's call sid."""
        check_number(message.recipient)
        text = clean_text(message.text).strip()
        if not text:
            raise ContentError("There is nothing to be read out.", provider=PROVIDER)
        spoken = VoiceResponse()
        spoken.say(text, **self._voice)
        twiml = spoken.to_xml(xml_declaration=False)
        if len(twiml) > TWIML_LIMIT:
            raise ContentError(
                f"What is to be read out has more than {TWIML_LIMIT} characters as TwiML.", provider=PROVIDER
            )
        return await self._account.call(
            message, {"to": message.recipient, "from_": self._sender, "twiml": twiml, "timeout": RING_SECONDS}
        )

    async def look_up(self, message: OutgoingMessage, since: datetime) -> Receipt | Unanswerable | None:
        """Find the call among all that Twilio placed to this number since then.

        Twilio lists no texts: one call since then is it, none means that it wasn't taken, several leave it open.
        """
        recent, complete = await self._account.list_calls(message.recipient, since)
        if len(recent) == 1:
            return Receipt(PROVIDER, recent[0].sid)
        return None if complete and not recent else UNANSWERABLE

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._account.close()
