"""Whom an identity provider's claims name, whether they may come in here, and in which role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.access import STAFF, Role
from schemas.errors import SettingError
from store.people import LONGEST_NAME
from web.problems import Forbidden

# From the most powerful: whoever is in several groups has the role that may most.
_BY_POWER: tuple[Role, ...] = ("admin", "ops", "csm")


class IdentityError(Forbidden):
    """The identity provider's answer isn't good."""

    code = "HF163"
    remedy = "Sign in again; if it stays, an admin finds more in the log of the web process."
    # Whose account here it is about, where that is known.
    person_id: str | None = None


@dataclass(frozen=True)
class Identity:
    """Whom the provider vouches for; `role` None where its claims name none of ours. `email` is verified."""

    issuer: str
    subject: str
    email: str | None
    name: str
    role: Role | None


@dataclass(frozen=True)
class ClaimRules:
    """Who may come in and as what: `roles` by the words of the claim `role_claim`, or else `default_role`; with
    `domains` only people whose verified address is in one of them.
    """

    roles: Mapping[str, Role]
    role_claim: str | None
    default_role: Role | None
    domains: Sequence[str]

    @property
    def names_roles(self) -> bool:
        """Whether the provider says which role somebody has, so that ours follows it."""
        return self.role_claim is not None

    @classmethod
    def read_settings(cls, given: Mapping[str, str]) -> ClaimRules:
        """From HOLDFAST_OIDC_…. Raises SettingError."""
        default = given.get("HOLDFAST_OIDC_DEFAULT_ROLE")
        claim = given.get("HOLDFAST_OIDC_ROLE_CLAIM")
        if default is None and claim is None:
            raise SettingError(
                "Nothing says which role people have whom HOLDFAST_OIDC_ISSUER vouches for.",
                remedy="Set HOLDFAST_OIDC_ROLE_CLAIM, or HOLDFAST_OIDC_DEFAULT_ROLE where everybody there may come in.",
            )
        domains = given.get("HOLDFAST_OIDC_DOMAINS", "").split(",")
        return cls(
            roles=_read_roles(given.get("HOLDFAST_OIDC_ROLES")),
            role_claim=claim,
            default_role=None if default is None else _staff("HOLDFAST_OIDC_DEFAULT_ROLE", default),
            domains=[part.strip().lower() for part in domains if part.strip()],
        )

    def identify(self, issuer: str, claims: Mapping[str, Any]) -> Identity:
        """Whom the verified claims of an id token name. Raises IdentityError where nobody may come in by them."""
        email = claims.get("email")
        verified = isinstance(email, str) and claims.get("email_verified") is True
        if self.domains and not (verified and str(email).lower().rpartition("@")[2] in self.domains):
            raise IdentityError(
                "Only people of certain mail domains may come in here.", remedy="Ask an admin."
            )
        names = (claims.get("name"), str(email or "").partition("@")[0], claims["sub"])
        return Identity(
            issuer=issuer,
            subject=claims["sub"],
            email=str(email) if verified else None,
            name=next((name for name in map(_read_name, names) if name), "somebody"),
            role=self._role(claims),
        )

    def _role(self, claims: Mapping[str, Any]) -> Role | None:
        if self.role_claim is None:
            return None
        said: Any = claims
        # A dot leads into an object, as in realm_access.roles, unless the claim itself is called so.
        for part in [self.role_claim] if self.role_claim in claims else self.role_claim.split("."):
            said = said.get(part) if isinstance(said, dict) else None
        words = [said] if isinstance(said, str) else said if isinstance(said, list) else []
        roles = {self.roles.get(word) for word in words if isinstance(word, str)}
        return next((role for role in _BY_POWER if role in roles), None)


def _read_name(claimed: object) -> str:
    """What colleagues are shown, of characters that are seen."""
    written = " ".join(claimed.split()) if isinstance(claimed, str) else ""
    return "".join(letter for letter in written if letter.isprintable())[:LONGEST_NAME].strip()


def _read_roles(written: str | None) -> Mapping[str, Role]:
    """`cs-team=csm,cs-ops=ops`; without it, our own words for roles."""
    if written is None:
        return {role: role for role in STAFF}
    pairs = [part.rpartition("=") for part in written.split(",") if part.strip()]
    return {word.strip(): _staff("HOLDFAST_OIDC_ROLES", role.strip()) for word, _, role in pairs}


def _staff(variable: str, role: str) -> Role:
    if role not in STAFF:
        raise SettingError(
            f"{variable} names {role!r}, which is no role of people.",
            remedy=f"Use {', '.join(STAFF)}"
            + ("." if variable.endswith("ROLE") else ", as in cs-team=csm,cs-ops=ops."),
        )
    return role
