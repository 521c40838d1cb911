"""How often one key, person or token may ask: a moving window of a minute, in the memory of this process; and how
many streams they may have open.

Each web process counts for itself, so that whoever is spread over several of them may ask that many times as often. The
window is our own, not that of `limits`: that one starts a thread or a task at every call (55 to 900 µs each).
"""

from __future__ import annotations

import functools
import math
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.access import Principal
from schemas.errors import SettingError
from schemas.settings import Settings
from web.access import principal_of
from web.keys import Key
from web.problems import TooManyError, TooManyStreamsError

WINDOW_SECONDS = 60.0
PREFIX = "/api/"
# When somebody whose streams are too many may look again: by then one may have ended.
STREAM_RETRY_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Taken:
    """What is left of a limit. `reset_seconds`: until there is room again where there is none, else until all is."""

    allowed: bool
    limit: int
    remaining: int
    reset_seconds: int

    @property
    def headers(self) -> dict[str, str]:
        """As HTTP tells it."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_seconds),
        }

    def refuse(self, message: str) -> TooManyError:
        """The refusal of what wasn't allowed, with when to come back."""
        return TooManyError(message, {"Retry-After": str(self.reset_seconds), **self.headers})


@dataclass(slots=True)
class _Taker:
    """What one has taken in the last minute: (when, how much), and how much in all."""

    times: deque[tuple[float, int]] = field(default_factory=deque)
    total: int = 0


class MovingWindow:
    """Counts what each subject takes, in a minute that moves; what is refused doesn't count."""

    def __init__(self) -> None:
        self._takers: dict[str, _Taker] = {}
        self._swept_at = 0.0

    def take(self, subject: str, limit: int, now: float, amount: int = 1) -> Taken:
        """Take `amount` at `now` (seconds of any clock that doesn't go back).

        More than the limit at once is let through where nothing else was taken: it could never be sent otherwise.
        """
        self._sweep(now)
        taker = self._takers.get(subject)
        if taker is None:
            taker = self._takers[subject] = _Taker()
        times = taker.times
        while times and times[0][0] <= now - WINDOW_SECONDS:
            taker.total -= times.popleft()[1]
        if taker.total and taker.total + amount > limit:
            return Taken(False, limit, max(0, limit - taker.total), self._until(taker, limit, amount, now))
        times.append((now, amount))
        taker.total += amount
        reset = math.ceil(times[0][0] + WINDOW_SECONDS - now)
        return Taken(True, limit, max(0, limit - taker.total), max(1, reset))

    def _until(self, taker: _Taker, limit: int, amount: int, now: float) -> int:
        left = taker.total
        for at, taken in taker.times:
            left -= taken
            if left <= 0 or left + amount <= limit:
                return max(1, math.ceil(at + WINDOW_SECONDS - now))
        return math.ceil(WINDOW_SECONDS)

    def _sweep(self, now: float) -> None:
        """Forget whoever took nothing for a minute, once in a minute."""
        if now - self._swept_at < WINDOW_SECONDS:
            return
        self._swept_at = now
        gone = [
            subject
            for subject, taker in self._takers.items()
            if not taker.times or taker.times[-1][0] <= now - WINDOW_SECONDS
        ]
        for subject in gone:
            del self._takers[subject]


class OpenStreams:
    """How many streams each has open."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def begin(self, subject: str, limit: int) -> bool:
        """Count one more, unless there are `limit` (0: any number)."""
        if limit and self._open[subject] >= limit:
            return False
        self._open[subject] += 1
        return True

    def end(self, subject: str) -> None:
        """One that was counted is over."""
        self._open[subject] -= 1
        if not self._open[subject]:
            del self._open[subject]

    def __len__(self) -> int:
        """How many are open."""
        return self._open.total()


@dataclass(frozen=True)
class Limits:
    """The limits of one process: requests per minute, of which a key may have a number of its own, and streams that are
    open at once. 0 is none.
    """

    keys: int = 6000
    people: int = 600
    customers: int = 120
    events: int = 0
    streams_of_keys: int = 10
    streams_of_people: int = 20
    window: MovingWindow = field(default_factory=MovingWindow)
    streams: OpenStreams = field(default_factory=OpenStreams)

    @classmethod
    def read(cls, settings: Settings) -> Limits:
        """From HOLDFAST_RATE_PER_MINUTE (of keys), with _PEOPLE, with _CUSTOMERS, HOLDFAST_EVENTS_PER_MINUTE, and
        HOLDFAST_STREAMS_PER_KEY and _PER_PERSON.

        Raises SettingError.
        """

        def whole(name: str, default: int) -> int:
            written = settings.environ.get(name, "").strip()
            if not written:
                return default
            if not written.isascii() or not written.isdigit() or len(written) > 9:
                raise SettingError(
                    f"{name} is {written[:40]!r}.", remedy="Write a whole number, 0 for no limit."
                )
            return int(written)

        return cls(
            keys=whole("HOLDFAST_RATE_PER_MINUTE", cls.keys),
            people=whole("HOLDFAST_RATE_PER_MINUTE_PEOPLE", cls.people),
            customers=whole("HOLDFAST_RATE_PER_MINUTE_CUSTOMERS", cls.customers),
            events=whole("HOLDFAST_EVENTS_PER_MINUTE", cls.events),
            streams_of_keys=whole("HOLDFAST_STREAMS_PER_KEY", cls.streams_of_keys),
            streams_of_people=whole("HOLDFAST_STREAMS_PER_PERSON", cls.streams_of_people),
        )

    def of(self, principal: Principal, key: Key | None) -> int:
        """What this one may ask in a minute; 0: as often as they like."""
        if principal.kind == "open":
            return 0
        if key is not None and key.per_minute is not None:
            return key.per_minute
        if principal.role == "customer":
            return self.customers
        return self.people if principal.kind == "person" else self.keys

    def begin_stream(self, principal: Principal) -> Callable[[], None]:
        """Count one more stream of this one's; what is returned is to be called when it is over.

        Raises TooManyStreamsError.
        """
        person = principal.kind == "person" or principal.role == "customer"
        limit = self.streams_of_people if person else self.streams_of_keys
        subject = f"{principal.kind}/{principal.id}"
        # Where pages are open they are this machine's own.
        if not self.streams.begin(subject, 0 if principal.kind == "open" else limit):
            raise TooManyStreamsError(
                f"{principal.name} has {limit} streams open already.",
                {"Retry-After": str(STREAM_RETRY_SECONDS)},
            )
        return functools.partial(self.streams.end, subject)

    def take_events(self, source: str, count: int) -> None:
        """Count events that a key sends. Raises TooManyError."""
        if self.events and count:
            taken = self.window.take(f"events/{source}", self.events, time.monotonic(), count)
            if not taken.allowed:
                raise taken.refuse(f"{source} sends more than {self.events} events in a minute.")


async def limit_rate(request: Request) -> None:
    """A dependency: counts a request to the API. Raises NoKeyError, TooManyError."""
    if not request.url.path.startswith(PREFIX):
        return
    limits: Limits = request.app.state.limits
    principal = await principal_of(request)
    limit = limits.of(principal, getattr(request.state, "key", None))
    if not limit:
        return
    taken = limits.window.take(f"{principal.kind}/{principal.id}", limit, time.monotonic())
    if not taken.allowed:
        raise taken.refuse(f"{principal.name} asks more than {limit} times in a minute.")
    request.state.rate = taken


class RateHeaders:
    """Tells on every answer that was counted what is left."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with headers."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return

        async def add(message: Message) -> None:
            taken = scope.get("state", {}).get("rate")
            if message["type"] == "http.response.start" and isinstance(taken, Taken):
                more = [(name.lower().encode(), value.encode()) for name, value in taken.headers.items()]
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        await self._app(scope, receive, add)
