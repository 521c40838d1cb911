"""What passes between the run over the population and its activities: days, places and counts, never customers."""

from __future__ import annotations

from datetime import date

from schemas.frozen import Frozen

POPULATION_WORKFLOW = "PopulationScoring"
BATCH_QUEUE = "holdfast-batch"


def population_id(day: date) -> str:
    """The workflow that scores everybody on this UTC day."""
    return f"scoring/population/{day.isoformat()}"


class PopulationCall(Frozen):
    """Score everybody. `day` None is for the schedule: that of the moment, under the day's own id.

    So many shards are offered to workers `at_once`; after `shards_per_execution` a run hands over to itself, with what
    it planned, its next shard, and what is done. (Some eight events a shard: far below what a history may hold.)
    """

    day: date | None = None
    at_once: int = 4
    shards_per_execution: int = 500
    plan: PopulationPlan | None = None
    next_shard: int = 0
    done: PopulationProgress | None = None


class PlanCall(Frozen):
    """Cut the population into shards."""

    day: date


class PopulationPlan(Frozen):
    """How many customers there are, and how many shards."""

    customers: int
    shards: int


class ShardCall(Frozen):
    """Score one of `shards`, from 0 on."""

    day: date
    shard: int
    shards: int


class ShardResult(Frozen):
    """What came of a shard: `requested` wait for the evaluator. `over`: its day had ended, and nothing was done."""

    scored: int = 0
    failed: int = 0
    requested: int = 0
    seconds: float = 0.0
    read_seconds: float = 0.0
    work_seconds: float = 0.0
    write_seconds: float = 0.0
    over: bool = False


class PopulationProgress(Frozen):
    """How far a run is; `failed_shards` were given up after several attempts. Seconds are of all shards together."""

    day: date
    customers: int = 0
    shards: int = 0
    shards_done: int = 0
    scored: int = 0
    failed: int = 0
    requested: int = 0
    failed_shards: tuple[int, ...] = ()
    read_seconds: float = 0.0
    work_seconds: float = 0.0
    write_seconds: float = 0.0
    over: bool = False

    def after(self, shard: ShardResult) -> PopulationProgress:
        """With one more shard done."""
        return self.model_copy(
            update={
                "shards_done": self.shards_done + 1,
                "scored": self.scored + shard.scored,
                "failed": self.failed + shard.failed,
                "requested": self.requested + shard.requested,
                "read_seconds": self.read_seconds + shard.read_seconds,
                "work_seconds": self.work_seconds + shard.work_seconds,
                "write_seconds": self.write_seconds + shard.write_seconds,
                "over": self.over or shard.over,
            }
        )

    def without(self, shard: int) -> PopulationProgress:
        """With one more shard given up."""
        return self.model_copy(
            update={"shards_done": self.shards_done + 1, "failed_shards": (*self.failed_shards, shard)}
        )


class FinishCall(Frozen):
    """Close the books of a day's run; `shards` of them were given up."""

    day: date
    failed_shards: tuple[int, ...] = ()
