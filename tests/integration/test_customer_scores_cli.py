"""`holdfast score --customer` and `holdfast churn predict --customer`: what the running system says of one customer."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest

from cli.main import run
from tests.integration.evaluation_desk import START, open_desk


@pytest.fixture
async def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Ada never logged in and refers others; another has cancelled."""
    async with open_desk(database_url) as desk:
        for name, status in (("ada", "active"), ("gone", "cancelled")):
            await desk.send(
                name, "identify", at=START - timedelta(days=300), subscription_status=status, monthly_price=100,
                signed_up_at=(START - timedelta(days=300)).isoformat(), referrals=2,
            )  # fmt: skip
        await desk.send("ada", "referral_made")
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)
    return database_url


class Asking:
    """The command line, in a thread: commands have a loop of their own."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    async def __call__(self, *arguments: str) -> tuple[int, str]:
        """Exit status, and what was printed."""
        self._capsys.readouterr()
        status = await asyncio.to_thread(run, arguments)
        printed = self._capsys.readouterr()
        return status, printed.out + printed.err


@pytest.fixture
def ask(database: str, capsys: pytest.CaptureFixture[str]) -> Asking:
    return Asking(capsys)


async def test_health_in_words_and_as_json(ask: Asking) -> None:
    told = json.loads((await ask("score", "--customer", "ada", "--format", "json"))[1])
    assert (told["customer"], told["model"], told["score"], told["risk_level"]) == (
        "ada", "segment-weighted", 30, "critical",
    )  # fmt: skip
    assert told["enhanced_score"] >= 33
    assert told["factors"]["billing_health"] == 100
    assert told["recommendations"][0]["points"] == 25.0
    words = (await ask("score", "--customer", "ada"))[1]
    assert "ada: health 30 of 100, critical (segment-weighted, established)" in words
    assert "Show them a core feature that they don't use yet. (25 points)" in words


async def test_a_prediction_in_words_and_as_json(ask: Asking) -> None:
    told = json.loads((await ask("churn", "predict", "--customer", "ada", "--format", "json"))[1])
    assert (told["probability"], told["source"], told["risk_level"]) == (0.6, "rule_of_thumb", "high")
    assert told["base"] + sum(one["effect"] for one in told["reasons"]) == pytest.approx(told["score"])
    assert told["ltv_at_risk"] == pytest.approx(1080)
    words = (await ask("churn", "predict", "--customer", "ada"))[1]
    assert words.startswith("ada: 60.0% likely to leave, high risk, urgent (rule of thumb")
    assert "+0.300  days_since_last_login" in words
    assert "1,080.00 at risk; preventing it may cost 108.00" in words


async def test_of_whom_nothing_is_predicted(ask: Asking) -> None:
    assert (await ask("churn", "predict", "--customer", "gone"))[1] == "gone: no prediction, cancelled\n"
    told = json.loads((await ask("churn", "predict", "--customer", "gone", "--format", "json"))[1])
    assert told == {"customer": "gone", "probability": None, "not_predicted": "cancelled"}


@pytest.mark.parametrize("command", [("score",), ("churn", "predict")])
async def test_an_unknown_customer_is_told_plainly(ask: Asking, command: tuple[str, ...]) -> None:
    status, told = await ask(*command, "--customer", "nobody")
    assert status == 1
    assert "There is no customer 'nobody'." in told


async def test_a_customer_and_a_file_are_two_things(ask: Asking) -> None:
    status, told = await ask("churn", "predict", "--customer", "ada", "--data", __file__)
    assert status == 2
    assert "--data is about a file: leave --customer out." in told
    assert "Missing option '--data' (or --customer)." in (await ask("churn", "predict"))[1]
    assert "Give one of '--facts', '--customer'" in (await ask("score"))[1]
