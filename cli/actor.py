"""Who acts at the command line, as the audit log has it."""

from __future__ import annotations

from cli.orders import who
from schemas.access import Principal


def system_actor() -> Principal:
    """The person at the terminal, by the name that they are logged in with: whoever has the database may do all."""
    # The database's modules are loaded by whatever is done there.
    from store.audit import actor_called

    return actor_called(who())
