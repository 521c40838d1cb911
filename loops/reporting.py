"""What playbooks achieved, told in lines and as data: goals reached by the treated against the held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from scoring.effect import compare_arms
from store.database import Database
from store.executions import load_arms


async def report_playbooks(database: Database) -> list[dict[str, Any]]:
    """Per playbook: ended runs by arm, goals reached, effect against the holdout with its interval, costs."""
    async with database.transaction() as connection:
        rows = await load_arms(connection)
    by_playbook: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        by_playbook.setdefault(row["playbook"], {})[row["arm"]] = row
    reports = []
    for name, arms in sorted(by_playbook.items()):
        treated, held_out = arms.get("treated", {}), arms.get("held_out", {})
        effect = compare_arms(
            int(treated.get("successes") or 0), int(treated.get("n") or 0),
            int(held_out.get("successes") or 0), int(held_out.get("n") or 0),
        )  # fmt: skip
        reports.append(
            {
                "playbook": name,
                "treated": _arm(treated),
                "held_out": _arm(held_out),
                "effect": asdict(effect),
                "cost": float(treated.get("cost") or 0),
                "estimated_retention_value": float(treated.get("value") or 0),
                "health_change": treated.get("health_change"),
            }
        )
    return reports


async def summarise(database: Database) -> list[str]:
    """The report as a table to read."""
    lines = ["", "What playbooks achieved (ended runs; effect = treated less held out, 95 % interval)"]
    for one in await report_playbooks(database):
        treated, held_out, effect = one["treated"], one["held_out"], one["effect"]
        lines.append(
            f"  {one['playbook']:28} goal reached {_share(treated)} treated, {_share(held_out)} held out; "
            f"{_interval(effect)}; cost {one['cost']:.2f}"
        )
    return lines


def _arm(row: Mapping[str, Any]) -> dict[str, int]:
    return {key: int(row.get(key) or 0) for key in ("n", "successes", "churned")}


def _share(arm: Mapping[str, int]) -> str:
    return f"{arm['successes']} of {arm['n']}"


def _interval(effect: Mapping[str, Any]) -> str:
    if effect["difference"] is None:
        return "effect not estimable yet"
    return f"effect {effect['difference']:+.0%} ({effect['low']:+.0%} to {effect['high']:+.0%}), {effect['verdict']}"
