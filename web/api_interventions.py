"""`/api/customer-success/interventions/trigger`: somebody asks for a customer's entry, by playbook or by type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import AliasChoices, ConfigDict, Field, model_validator

from schemas.policy import InterventionType
from store.audit import record_change
from store.database import Connection
from store.entry_requests import EntryRequest, request_entry
from store.playbooks import load_policy
from web.answers import Triggered
from web.api_runs import Text
from web.asked import Asked
from web.edge import Actor, EdgeHere

router = APIRouter(prefix="/api/customer-success", tags=["interventions"])
# Control characters have no place in what is written to a customer; line breaks have.
_PLAIN = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
LONGEST_MESSAGE = 1000
MOST_OFFERS = 10
NAME = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class Customization(Asked):
    """What is to be said, for the templates of the run: `run.message`, `run.timeline`, `run.special_offers`.

    They are values, never templates, and are escaped where they are shown as HTML.
    """

    message: Annotated[str, Field(max_length=LONGEST_MESSAGE, pattern=_PLAIN)] = ""
    timeline: Annotated[str, Field(max_length=200, pattern=_PLAIN)] = ""
    special_offers: Annotated[
        Sequence[Annotated[str, Field(min_length=1, max_length=200, pattern=_PLAIN)]],
        Field(max_length=MOST_OFFERS),
    ] = ()


class Trigger(Asked):
    """Who, into which playbook (by its name, or by a type of intervention, which the policy maps to one), and why."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "userId": "supplier-1", "interventionType": "email_sequence", "reason": "she asked for help",
                    "priority": "high",
                    "customization": {"message": "Your 2024 client list can be in by tonight.", "timeline": "this week",
                                      "specialOffers": ["a free set-up session"]},
                }
            ]
        }
    )  # fmt: skip

    user_id: Annotated[NAME, Field(validation_alias=AliasChoices("userId", "customerId", "supplierId"))]
    intervention_type: InterventionType | None = None
    playbook: NAME | None = None
    reason: Text = ""
    priority: Literal["low", "medium", "high", "critical"] = "medium"
    customization: Customization | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Trigger:
        if (self.playbook is None) == (self.intervention_type is None):
            raise ValueError("give either `interventionType` or `playbook`")
        return self

    @property
    def wishes(self) -> dict[str, object]:
        """What is to be said, without what was left out."""
        asked = self.customization.model_dump(by_alias=False) if self.customization else {}
        return {name: value for name, value in asked.items() if value}


@router.post("/interventions/trigger", summary="Start an intervention for a customer")
async def trigger(edge: EdgeHere, caller: Actor, asked: Trigger) -> Triggered:
    """The trigger of the playbook isn't asked, its entry rules are: 409 says which one stands in the way.

    404 for an unknown customer, and where the policy maps the type to a playbook that isn't published. 503 where no
    worker decided in time; the request stays and is decided later.
    """
    playbook = asked.playbook
    if playbook is None:
        assert asked.intervention_type is not None
        async with edge.database.transaction() as connection:
            playbook = (await load_policy(connection)).playbook_for(asked.intervention_type)

    async def note(connection: Connection, request: EntryRequest) -> None:
        await record_change(
            connection, caller, "intervention.triggered", object_kind="customer", object_id=request.customer_id,
            after={
                "request_id": request.id,
                "playbook": playbook,
                "intervention_type": asked.intervention_type,
                "priority": asked.priority,
                "reason_length": len(asked.reason),
                "customized": sorted(asked.wishes),
            },
        )  # fmt: skip

    run_id = await request_entry(
        edge.database, playbook, asked.user_id, asked.reason or f"asked for by {caller.name}", priority=asked.priority,
        customization=asked.wishes, asked_by=caller.name, note=note,
    )  # fmt: skip
    return Triggered(run_id=run_id, playbook=playbook)
