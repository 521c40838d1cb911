"""What the audit page says of signing in and out, for people who know nothing of our words for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# All of them begin alike, so that one filter shows them all.
PREFIX = "session."
_ACTIONS = {
    "session.started": "signed in",
    "session.ended": "signed out",
    "session.refused": "wasn't let in",
}
_NAMES = {
    "way": "by",
    "network": "from the network",
    "address_hash": "address, known again as",
    "has_to_wait": "has to wait from now on",
    "failures": "failures so far",
    "sessions": "browsers",
    "more_in_this_hour": "more in this hour",
}
_VALUES = {
    "way": {"link": "a one-time link", "password": "password", "identity_provider": "the identity provider"},
    "why": {
        "signed_out": "signed out there",
        "signed_in_anew": "signed in anew in the same browser",
        "ended_elsewhere": "ended from another browser",
        "ended_by_admin": "ended by somebody who manages people",
        "new_password": "another password",
        "new_role": "another role",
        "account_closed": "the account was closed",
    },
}
_OBJECTS = {
    "password": "a name that nobody has",
    "link": "a link that nobody has",
    "identity_provider": "the identity provider's answer",
}


def tell_action(action: str) -> str:
    """`signed in`, from `session.started`; what isn't about signing in as it is."""
    return _ACTIONS.get(action, action)


def tell_session(action: str, after: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What is noted with an action, in words where it is about signing in."""
    if after is None or not action.startswith(PREFIX):
        return after
    return {
        _NAMES.get(name, name): _VALUES.get(name, {}).get(value, value) if isinstance(value, str) else value
        for name, value in after.items()
        if value not in ("", False)
    }


def tell_object(object_kind: str, object_id: str, after: Mapping[str, Any] | None) -> str:
    """Of whom or of what, where that isn't an object with a name of its own; empty for those."""
    if object_kind != "sign_in":
        return ""
    said = _OBJECTS.get(str((after or {}).get("way")), "sign-in")
    return said if object_id in _OBJECTS else f"{said} ({object_id[:8]})"
