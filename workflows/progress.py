"""A run as the Temporal UI shows it: a short table in Markdown. Ids and words only, no personal data."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.run import RunInput, TraceLine

SHOWN = 40


def describe(start: RunInput, trace: Sequence[TraceLine], current: str | None) -> str:
    """The run's course as a table, the present step in bold."""
    lines = [
        f"**{start.playbook}** version `{start.version}`, entered {start.entered_at:%Y-%m-%d %H:%M} UTC",
        "",
        "| when (UTC) | step | does | outcome | |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {line.at:%m-%d %H:%M} | {line.step} | {line.kind} | {line.outcome} | {line.detail.replace('|', '/')} |"
        for line in trace[-SHOWN:]
    ]
    if current:
        lines.append(f"| now | **{current}** | | | |")
    if start.goal_by:
        lines += ["", f"The goal's window closes {start.goal_by:%Y-%m-%d %H:%M} UTC."]
    return "\n".join(lines)
