"""The language as it stands: catalogue and step types, and the validators that follow from them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from jsonschema import Draft202012Validator

from schemas.catalogue import Catalogue
from schemas.health_schema import build_health_schema
from schemas.milestones_schema import build_milestones_schema
from schemas.playbook_schema import build_playbook_schema
from schemas.policy_schema import build_policy_schema
from schemas.shape_check import make_validator
from schemas.step_type import StepTypes
from schemas.template_schema import build_template_schema

# What a template finds under each name; see `activities.messages`.
CUSTOMER_NAMES = (
    "id", "first_name", "last_name", "business_name", "email", "phone", "timezone", "locale", "country",
    "csm", "vendor_type", "plan", "monthly_price", "subscription_status", "signed_up_at",
)  # fmt: skip
RUN_NAMES = (
    "playbook", "title", "entered_at", "reason", "variant",
    # What whoever asked for the run by hand wants said.
    "priority", "message", "timeline", "special_offers",
)  # fmt: skip
LINK_NAMES = ("unsubscribe", "preferences", "booking")


@dataclass(frozen=True, eq=False)
class Language:
    """What a file may say. Build one for many files: its validators are made once."""

    catalogue: Catalogue
    step_types: StepTypes

    @cached_property
    def playbook_validator(self) -> Draft202012Validator:
        """Checks the shape of a playbook."""
        return make_validator(build_playbook_schema(self.catalogue, self.step_types))

    @cached_property
    def policy_validator(self) -> Draft202012Validator:
        """Checks the shape of `policy.yaml`."""
        return make_validator(build_policy_schema())

    @cached_property
    def template_validator(self) -> Draft202012Validator:
        """Checks the shape of a template."""
        return make_validator(build_template_schema())

    @cached_property
    def health_validator(self) -> Draft202012Validator:
        """Checks the shape of a health model."""
        return make_validator(build_health_schema(self.catalogue))

    @cached_property
    def milestones_validator(self) -> Draft202012Validator:
        """Checks the shape of `milestones.yaml`."""
        return make_validator(build_milestones_schema(self.catalogue))

    @cached_property
    def template_names(self) -> dict[str, Collection[str]]:
        """The names that the text of a message may use, by root; an empty collection means any."""
        traits = {
            name
            for signal in self.catalogue.signals.values()
            for form in signal.derive
            for name in form.trait or ()
        }
        return {
            "customer": sorted({*CUSTOMER_NAMES, *traits}),
            "signals": sorted(self.catalogue.signals),
            "run": RUN_NAMES,
            "links": LINK_NAMES,
            "steps": (),
        }
