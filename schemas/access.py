"""Who may do what: roles, what each is granted, and whoever stands behind one request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

# customer: sees only itself. csm: works with customers. ops: also with what is declared. admin: also with people and
# keys. service: programs of the product.
Role = Literal["customer", "csm", "ops", "admin", "service"]
ROLES: tuple[Role, ...] = get_args(Role)
# The roles that a person who signs in may have.
STAFF: tuple[Role, ...] = ("csm", "ops", "admin")

# self: one's own records. read: everybody's. act: start, stop, trigger, complete, book, note consent. ingest: send
# events. edit: playbooks, policy, models, suppressions, corrections. audit: read who did what. manage: people and keys.
Permission = Literal["self", "read", "act", "ingest", "edit", "audit", "manage"]
PERMISSIONS: tuple[Permission, ...] = get_args(Permission)

GRANTS: Mapping[Role, frozenset[Permission]] = {
    "customer": frozenset({"self"}),
    "csm": frozenset({"self", "read", "act"}),
    "ops": frozenset({"self", "read", "act", "edit", "audit"}),
    "service": frozenset({"self", "read", "act", "ingest"}),
    "admin": frozenset(PERMISSIONS),
}


@dataclass(frozen=True)
class Principal:
    """Whoever stands behind a request.

    `kind` says how they are known: a person by a session, a key, a token of a customer's or a person's, or `open`
    where pages are open to this machine, `system` is whoever uses the command line. `id` is ours (a key's is its name),
    `name` is what people are shown.
    `customer` is the customer's own id where a customer asks; nobody else's records are told to such a one.
    """

    kind: Literal["person", "key", "token", "open", "system"]
    id: str
    name: str
    role: Role
    customer: str | None = None

    def may(self, permission: Permission) -> bool:
        """Whether the role is granted this."""
        return permission in GRANTS[self.role]
