"""What an SMTP conversation that went wrong means for the message, by how far it had come.

The reply codes are RFC 5321's, the enhanced ones (x.y.z) RFC 3463's.
"""

from __future__ import annotations

import re
from enum import IntEnum

from channels.outcome import FAILURES, ChannelError, FailureClass, TransientError, UnknownOutcomeError

_ENHANCED_CODE = re.compile(r"^([245])\.(\d{1,3})\.(\d{1,3})\b")


class Stage(IntEnum):
    """How far the conversation about one message has come."""

    CONNECT = 1
    LOGIN = 2
    MAIL = 3
    RCPT = 4
    DATA = 5
    MESSAGE = 6  # the message is under way: from here until the reply it may be accepted without our knowing


def classify_reply(stage: Stage, code: int, text: str) -> FailureClass:
    """The class of a reply other than the one hoped for."""
    if not 400 <= code <= 599:  # not SMTP at all
        return "unknown" if stage is Stage.MESSAGE else "transient"
    if code < 500:
        return "transient"
    if stage <= Stage.MAIL or code == 530:
        return "account"
    found = _ENHANCED_CODE.match(text)
    subject = f"{found.group(2)}.{found.group(3)}" if found else ""
    if subject.startswith("1.") or subject == "2.1":  # bad address, mailbox disabled
        return "content" if subject in ("1.7", "1.8") else "recipient"  # .7 and .8 are about the sender
    if stage is Stage.RCPT and not subject and code in (550, 551, 553):
        return "recipient"
    # policy (x.7.z), size, a full mailbox: neither the address nor our account is at fault
    return "content"


def refused(stage: Stage, code: int, text: str, *, provider: str) -> ChannelError:
    """The error for a reply."""
    kind = FAILURES[classify_reply(stage, code, text)]
    line = " ".join(text.split())[:300]
    return kind(
        f"The mail server said {code} {line} ({stage.name}).",
        provider=provider,
        provider_code=str(code),
        of_message=stage is Stage.RCPT,  # greylisting and the like: others may pass
    )


def lost(stage: Stage, why: str, *, provider: str) -> ChannelError:
    """The error for a conversation that broke off."""
    kind = UnknownOutcomeError if stage is Stage.MESSAGE else TransientError
    return kind(f"The mail server was lost ({stage.name}): {why}.", provider=provider)
