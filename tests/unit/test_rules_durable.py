"""durable_rules behind its guard rails: where it is wrong, hangs or gives up by itself, it isn't here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.util import find_spec

import pytest
from click.testing import CliRunner

from cli.match import command as match
from rules.durable import INSTALL, DurableMatcher, fnv1a, load_library, names_apart
from rules.generated import compile_many
from schemas.condition import AllOf, AnyOf, Between, Compare, Condition, NoneOf, OneOf, Presence, Value
from schemas.errors import SettingError
from schemas.facts import Facts

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def known(**signals: Value) -> Facts:
    return Facts("c1", NOW, signals)


def test_without_it_its_absence_is_told_with_the_way_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "durable_rules_engine", None)
    with pytest.raises(SettingError) as missing:
        load_library()
    assert INSTALL in missing.value.remedy
    assert "3.13" in missing.value.remedy
    result = CliRunner().invoke(match, ["--facts", "-", "--engine", "durable_rules"], input="")
    assert result.exit_code == 2
    assert INSTALL in result.stderr


def test_names_never_share_the_hash_by_which_alone_it_tells_them_apart() -> None:
    # Two words that collide, as published with the algorithm.
    assert fnv1a("costarring") == fnv1a("liquid")
    names = names_apart(500)
    assert len({fnv1a(name) for name in (*names, "sid", "id", "$s", "canary")}) == 504


# On later versions of Python it can't be installed, so there is nothing to leave out.
if sys.version_info < (3, 13):
    needs_it = pytest.mark.skipif(
        find_spec("durable_rules_engine") is None, reason="durable_rules is not installed"
    )

    @needs_it
    @pytest.mark.parametrize(
        ("condition", "signals", "holds"),
        [
            (Compare(signal="plan", op="eq", value="5"), {"plan": 5}, None),
            (Compare(signal="score", op="eq", value=0), {"score": ""}, None),
            (Compare(signal="vip", op="eq", value="true"), {"vip": True}, None),
            (Compare(signal="vip", op="eq", value=1), {"vip": True}, None),
            (Compare(signal="score", op="ne", value=5), {}, None),
            (NoneOf(items=(Compare(signal="score", op="lt", value=5),)), {}, None),
            (Compare(signal="score", op="lt", value=1e-05), {"score": 5e-06}, True),
            (Compare(signal="score", op="gt", value=1e-05), {"score": 5e-324}, False),
            (Compare(signal="score", op="lt", value=1e300), {"score": 2**53}, True),
            (Compare(signal="score", op="eq", value=40), {"score": 40.0}, True),
            (Compare(signal="plan", op="eq", value="a"), {"plan": "a" * 65_537}, False),
            (Compare(signal="plan", op="eq", value=""), {"plan": "a" * 65_536}, False),
            (OneOf(signal="plan", values=("\ud800", 'q"uote\\', "zäh\u0000")), {"plan": "zäh\u0000"}, True),
            (Compare(signal="id", op="eq", value=7), {"id": 7}, True),
            (Compare(signal="sid", op="eq", value="1"), {"sid": "2"}, False),
            (Presence(signal="score", present=False), {}, True),
            (Compare(signal="costarring", op="lt", value=40), {"liquid": 1}, None),
            (AllOf(items=()), {}, True),
            (AnyOf(items=()), {}, False),
        ],
    )  # fmt: skip
    def test_what_it_gets_wrong_by_itself_is_right(
        condition: Condition, signals: Mapping[str, Value], holds: bool | None
    ) -> None:
        answer = (["p"] if holds else [], ["p"] if holds is None else [])
        assert DurableMatcher({"p": condition})(known(**signals)) == answer

    @needs_it
    def test_where_it_gives_up_generated_code_answers_and_the_next_customer_isnt_told_of_the_last() -> None:
        named = {
            f"p{number:02}": AllOf(
                items=(
                    Compare(signal="score", op="lt", value=100 + number),
                    Compare(signal="rate", op="ge", value=number),
                )
            )
            for number in range(80)
        }
        matcher, generated = DurableMatcher(named), compile_many(named)
        for score, rate, given_up in ((50, 40, 1), (500, 40, 1), (170, 1000, 1), (50, -1, 2), (500, 1, 2)):
            customer = known(score=score, rate=rate)
            assert matcher(customer) == generated(customer)
            assert matcher.fallbacks["too many pending"] == given_up

    @needs_it
    def test_rules_too_large_for_it_are_answered_by_generated_code_and_counted() -> None:
        wide = AnyOf(items=tuple(Between(signal="score", low=n, high=n) for n in range(600)))
        deep: Condition = Compare(signal="score", op="eq", value=1)
        for number in range(40):
            deep = (AnyOf if number % 2 else AllOf)(
                items=(deep, Compare(signal="rate", op="eq", value=number))
            )
        matcher = DurableMatcher(
            {"deep": deep, "small": Presence(signal="score", present=True), "wide": wide}
        )
        assert matcher(known(score=599, rate=38)) == (["small", "wide"], [])
        assert matcher.fallbacks == {"too large": 2}

    @needs_it
    def test_thousands_of_rules_that_end_alike_are_shared_out() -> None:
        named = {
            f"p{number:04}": AllOf(
                items=(
                    Compare(signal=f"signal-{number}", op="eq", value=1),
                    Compare(signal="plan", op="eq", value="pro"),
                )
            )
            for number in range(1100)
        }
        matcher = DurableMatcher(named)
        true, unknown = matcher(known(plan="pro", **{"signal-1": 1, "signal-1099": 1}))
        assert (true, len(unknown)) == (["p0001", "p1099"], 1098)
        assert matcher(known(plan="free")) == ([], [])

    @needs_it
    def test_threads_may_share_it() -> None:
        named = {f"p{n}": Compare(signal="score", op="ge", value=n) for n in range(50)}
        matcher, generated = DurableMatcher(named), compile_many(named)
        customers = [known(score=score % 60) for score in range(2000)]
        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(matcher, customers)) == [generated(one) for one in customers]
