"""Mail to one's own people: that work is due soon. It is no message to a customer, and stands in no ledger."""

from __future__ import annotations

import logging
import re
import uuid
from datetime import datetime

from channels.outcome import Channel, ChannelError, OutgoingMessage
from store.runs import NAMESPACE
from store.tasks import Task

log = logging.getLogger(__name__)
_ADDRESS = re.compile(r"[^\s<>\"@,;:]+@[^\s<>\"@,;:]+")


class StaffMail:
    """Tells whoever has work of it, where they are named by an address; `public_url` is where the pages are."""

    def __init__(self, channel: Channel, public_url: str) -> None:
        self._channel = channel
        self._public_url = public_url

    async def remind(self, task: Task) -> bool:
        """One attempt; whether it was handed over. What can't be sent is on the list all the same."""
        if not _ADDRESS.fullmatch(task.holder):
            return False
        what = f"begins {_written(task.starts_at)}" if task.starts_at else f"is due {_written(task.due_at)}"
        message = OutgoingMessage(
            delivery_id=str(uuid.uuid5(NAMESPACE, f"reminder/{task.id}/{task.due_at.isoformat()}")),
            recipient=task.holder,
            # Who it is about stands on the page, behind its key.
            subject=f"A {task.kind} {what}",
            text=f"A {task.kind} on your list {what}.\n\n{self._public_url}/tasks?mine={task.holder}\n",
        )
        try:
            await self._channel.send(message)
        except ChannelError as error:
            log.warning(
                "somebody could not be reminded by mail of task %s: %s", task.id, type(error).__name__
            )
            return False
        return True


def _written(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
