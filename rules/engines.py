"""The four evaluators by name. Each answers alike; the generated code is the default.

NumPy and durable_rules are imported by the evaluator that needs them, and by nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rules.generated import compile_many
from rules.needs import needs_of
from rules.reference import explain
from schemas.condition import Condition
from schemas.facts import Facts
from schemas.settings import RulesEngine

Matches = tuple[list[str], list[str]]
# Customers at a time: the names of the conditions that hold for each, and of those unknown, both sorted.
MatchAll = Callable[[Sequence[Facts]], list[Matches]]


def match_with(engine: RulesEngine, named: Mapping[str, Condition]) -> MatchAll:
    """Compile the conditions for `engine`. Raises SettingError where the engine isn't installed."""
    match engine:
        case "reference":
            return _one_by_one(_by_reference(named))
        case "generated":
            return _one_by_one(compile_many(named))
        case "columns":
            return _by_columns(named)
        case "durable_rules":
            from rules.durable import compile_durable

            return _one_by_one(compile_durable(named))


def _one_by_one(match: Callable[[Facts], Matches]) -> MatchAll:
    return lambda customers: [match(facts) for facts in customers]


def _by_reference(named: Mapping[str, Condition]) -> Callable[[Facts], Matches]:
    def match(facts: Facts) -> Matches:
        results = {name: explain(condition, facts).result for name, condition in sorted(named.items())}
        return [name for name, result in results.items() if result], [
            name for name, result in results.items() if result is None
        ]

    return match


def _by_columns(named: Mapping[str, Condition]) -> MatchAll:
    from rules.column_building import columns_of
    from rules.columns import match_columns

    needs = needs_of(named.values())

    def match(customers: Sequence[Facts]) -> list[Matches]:
        answers = match_columns(named, columns_of(customers, needs))
        told: list[Matches] = [([], []) for _ in customers]
        for name in sorted(answers):
            for row, truth in enumerate(answers[name].tolist()):
                if truth:
                    told[row][0 if truth > 0 else 1].append(name)
        return told

    return match
