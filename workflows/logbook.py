"""What a run tells of itself: its trace, the Temporal UI's details, and the search attribute of its present step."""

from __future__ import annotations

from temporalio import workflow
from temporalio.common import SearchAttributeKey

from schemas.run import RunInput, TraceLine
from workflows.progress import describe

STEP = SearchAttributeKey.for_keyword("PlaybookStep")
OUTCOME = SearchAttributeKey.for_keyword("Outcome")


class Logbook:
    """The lines so far, and the steps that the run is at: several where branches go on together."""

    def __init__(self, start: RunInput, lines: tuple[TraceLine, ...]) -> None:
        self._start = start
        self.lines = list(lines)
        self._at: list[str] = []
        self._shown_step: str | None = None

    @property
    def current(self) -> str | None:
        """The step, or the steps joined by +; None: none."""
        return " + ".join(self._at) or None

    def begin(self, key: str) -> None:
        """The run comes to this step."""
        self._at.append(key)
        self.show()

    def end(self, key: str) -> None:
        """The step is over, or left."""
        self._at.remove(key)

    def note(self, step: str, kind: str, outcome: str, detail: str = "") -> None:
        """Add a line, of now."""
        self.lines.append(
            TraceLine(at=workflow.now(), step=step, kind=kind, outcome=outcome, detail=detail[:200])
        )

    def show(self, *, standing: bool = False) -> None:
        """Keep the details current; the search attribute costs an event, so only where the run stands."""
        workflow.set_current_details(describe(self._start, self.lines, self.current))
        if standing and self.current != self._shown_step:
            self._shown_step = self.current
            workflow.upsert_search_attributes([STEP.value_set(self.current or "goal window")])

    def close(self, outcome: str, reason: str) -> None:
        """The last line, and the outcome for all to find."""
        self._at.clear()
        self.note("run", "ended", outcome, reason)
        workflow.upsert_search_attributes([OUTCOME.value_set(outcome)])
        workflow.set_current_details(describe(self._start, self.lines, None))
