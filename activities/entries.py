"""Asking for a customer's entry into another playbook; the evaluator decides, as on every entry."""

from __future__ import annotations

import uuid

from temporalio import activity

from activities.steps import StepOpening, note
from schemas.run import StepCall, StepResult
from store.entry_requests import EntryRequest, is_published, put_request
from store.runs import NAMESPACE


class EntryAsking:
    """Asks for entries on behalf of runs."""

    def __init__(self, opening: StepOpening) -> None:
        self._opening = opening
        self._database = opening.database

    @activity.defn(name="Entry.ask")
    async def ask(self, call: StepCall) -> StepResult:
        """Ask once: outcome `asked`; the answer stands with the decisions of that playbook."""
        async with self._database.transaction() as connection:
            begun = await self._opening.open_act(connection, call)
            if isinstance(begun, StepResult):
                return begun
            opened, step = begun
            playbook = str(step.args["playbook"])
            if opened.run.arm == "shadow":
                return await note(connection, call, step.word, "shadow", opened.now, playbook)
            if not await is_published(connection, playbook):
                told = f"there is no playbook {playbook}"
                return await note(connection, call, step.word, "failed", opened.now, told)
            request = str(uuid.uuid5(NAMESPACE, f"start/{call.run_id}/{call.step}/{call.occurrence}"))
            reason = f"started by {opened.run.playbook}"
            await put_request(
                connection, EntryRequest(request, opened.run.customer_id, playbook, reason), opened.now
            )
            result = await note(connection, call, step.word, "asked", opened.now, playbook)
        self._opening.evaluation.ring()
        return result
