"""What several ask for at once is read once, and nobody is told anything older than their question."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from web.shared_readings import SharedReadings


@dataclass
class Source:
    """Something that is read: each reading takes a few turns of the loop, and tells the clock of its beginning."""

    turns: int = 3
    clock: int = 0
    begun: list[int] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    failing: set[int] = field(default_factory=set)

    async def read(self) -> int:
        self.clock += 1
        number, at = len(self.begun), self.clock
        self.begun.append(at)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            for _ in range(self.turns):
                await asyncio.sleep(0)
            if number in self.failing:
                raise LookupError(number)
            return at
        finally:
            self.running -= 1


async def test_a_hundred_at_once_are_two_readings_at_most() -> None:
    source, shared = Source(), SharedReadings[int]()
    found = await asyncio.gather(*(shared.read("page", source.read) for _ in range(100)))
    assert len(source.begun) == 1
    first = asyncio.create_task(shared.read("page", source.read))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert source.running == 1
    rest = await asyncio.gather(*(shared.read("page", source.read) for _ in range(100)))
    assert len(source.begun) == 3
    assert set(found) == {source.begun[0]}
    assert (await first, set(rest)) == (source.begun[1], {source.begun[2]})


async def test_what_is_asked_for_by_another_key_is_read_for_itself() -> None:
    one, other, shared = Source(), Source(clock=100), SharedReadings[int]()
    assert await asyncio.gather(shared.read("one", one.read), shared.read("other", other.read)) == [1, 101]


async def test_an_error_is_told_to_all_who_wait_and_to_nobody_else() -> None:
    source, shared = Source(failing={0}), SharedReadings[int]()
    told = await asyncio.gather(*(shared.read(1, source.read) for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in told] == [LookupError] * 5
    assert await shared.read(1, source.read) == source.begun[1]


async def test_who_goes_away_takes_nobody_along() -> None:
    source, shared = Source(), SharedReadings[int]()
    leaving, staying = (asyncio.create_task(shared.read(1, source.read)) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == source.begun[0]
    assert leaving.cancelled()
    # Even if all go, the next one isn't kept from reading.
    gone = asyncio.create_task(shared.read(1, source.read))
    await asyncio.sleep(0)
    gone.cancel()
    assert await shared.read(1, source.read) == source.begun[-1]


async def test_closing_ends_what_is_read_and_what_waits() -> None:
    source, shared = Source(turns=10**9), SharedReadings[int]()
    asking = asyncio.create_task(shared.read(1, source.read))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting = asyncio.create_task(shared.read(1, source.read))
    await asyncio.sleep(0)
    await shared.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (source.running, len(source.begun)) == (0, 1)


@settings(max_examples=150, deadline=None)
@given(
    asked=st.lists(
        st.tuples(st.integers(0, 12), st.integers(0, 1), st.one_of(st.none(), st.integers(0, 8))), max_size=30
    ),
    turns=st.integers(0, 5),
    failing=st.sets(st.integers(0, 8)),
)
def test_whatever_comes_when(asked: list[tuple[int, int, int | None]], turns: int, failing: set[int]) -> None:
    """Askers come after so many turns of the loop, ask for one of two keys, and some go away after so many more."""

    async def play() -> None:
        sources = {key: Source(turns, failing=set(failing)) for key in (0, 1)}
        shared = SharedReadings[int]()

        async def ask(after: int, key: int, leaves_after: int | None) -> None:
            for _ in range(after):
                await asyncio.sleep(0)
            source = sources[key]
            source.clock += 1
            asked_at = source.clock
            asking = asyncio.create_task(shared.read(key, source.read))
            if leaves_after is not None:
                for _ in range(leaves_after):
                    await asyncio.sleep(0)
                asking.cancel()
            try:
                began_at = await asking
            except LookupError as error:
                began_at = source.begun[error.args[0]]
            except asyncio.CancelledError:
                assert leaves_after is not None
                return
            assert began_at > asked_at

        await asyncio.gather(*(ask(*one) for one in asked))
        for _ in range(20):
            await asyncio.sleep(0)
        for key, source in sources.items():
            assert source.most_running <= 1
            assert len(source.begun) <= sum(1 for one in asked if one[1] == key)
        # Nothing is kept of what is over.
        assert (shared._under_way, shared._waiting) == ({}, {})

    asyncio.run(play())
