"""What `holdfast doctor` says of the workflows at Temporal: are they sealed, can they be opened, do they go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cli.findings import Finding
from loops.stuck_runs import tell
from loops.temporal_health import TemporalHealth
from schemas.sealing import SealingKeys
from schemas.settings import Settings


def examine_workflows(settings: Settings, health: TemporalHealth) -> Iterator[Finding]:
    """Encryption, and where there are any, the workflows that can't go on."""
    # That there is no key is told with the secrets.
    if settings.secret_key:
        yield examine_encryption(settings, health.sealed_with)
    if health.stuck:
        told = tell({one.workflow_id: one.cause for one in health.stuck})
        yield Finding(
            "runs",
            False,
            told,
            "Mend what it says: they go on by themselves, where they stood. See docs/operating.md.",
        )


def examine_encryption(settings: Settings, sealed_with: Mapping[str, int]) -> Finding:
    """What goes to Temporal is sealed, and what lies there can be opened with the keys that are set.

    sealed_with: open workflows by the name of the key that they began with, '' for none.
    """
    ids = SealingKeys(settings.require_secret_key()).ids
    counted = sorted((key, count) for key, count in sealed_with.items() if key and key not in ids)
    if counted:
        lost = ", ".join(f"{count} open workflow(s) with the key {key}" for key, count in counted)
        remedy = "Put that key back behind the others in HOLDFAST_SECRET_KEY of every process."
        return Finding("encryption", False, f"sealed with a key that isn't set: {lost}", remedy)
    old = sum(count for key, count in sealed_with.items() if key and key != ids[0])
    plain = sealed_with.get("", 0)
    notes = [f"{old} open workflow(s) need an older key"] if old else []
    notes += [f"{plain} open workflow(s) began unsealed"] if plain else []
    if not settings.seal_payloads:
        found = "; ".join(["HOLDFAST_SEAL_PAYLOADS is off", *notes])
        return Finding("encryption", False, found, "Unset it once every process runs this version.")
    known = f", {len(ids) - 1} older known" if len(ids) > 1 else ""
    return Finding("encryption", True, "; ".join([f"sealed with the key {ids[0]}{known}", *notes]))
