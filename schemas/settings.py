"""What the environment says: read once at the edge, checked, handed on as a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

from schemas.errors import SettingError

# What evaluates conditions (`rules.engines`); all answer alike.
RulesEngine = Literal["reference", "generated", "columns", "durable_rules"]
RULES_ENGINES: tuple[RulesEngine, ...] = get_args(RulesEngine)

# Where a worker tells metrics: a port is one process's.
METRICS_PORTS = ("HOLDFAST_METRICS_PORT", "HOLDFAST_TEMPORAL_METRICS_PORT")

SHORTEST_SECRET = 32
SHORTEST_API_KEY = 16


@dataclass(frozen=True)
class Settings:
    """Checked settings of one process; provider settings (SMTP_URL, TWILIO_…) pass through in `environ`.

    Secrets don't show in the repr. The `require_…` methods raise SettingError where one is missing.
    """

    database_url: str | None = field(default=None, repr=False)
    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "default"
    temporal_api_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    public_url: str = "http://127.0.0.1:8080"
    booking_url: str | None = None
    playbooks: Path = Path("playbooks")
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    outbox: Path | None = None
    data: Path = Path(".holdfast")
    ready_file: Path | None = None
    settle_seconds: float = 30.0
    drain_seconds: float = 0.0
    rules_engine: RulesEngine = "generated"
    seal_payloads: bool = True
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Settings:
        """Settings from `environ`; an empty variable counts as unset. Raises SettingError naming it."""
        given = {name: value.strip() for name, value in environ.items() if value.strip()}
        database_url = given.get("HOLDFAST_DATABASE_URL")
        if database_url is not None:
            _check_database_url(database_url)
        secret_key = given.get("HOLDFAST_SECRET_KEY")
        # Several are parted by spaces: the first signs, the others are known still.
        shortest = min(map(len, secret_key.split())) if secret_key else SHORTEST_SECRET
        if shortest < SHORTEST_SECRET:
            raise SettingError(
                f"HOLDFAST_SECRET_KEY has {shortest} characters; it needs at least {SHORTEST_SECRET}.",
                remedy="Make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'",
            )
        return cls(
            database_url=database_url,
            temporal_address=_address(
                "TEMPORAL_ADDRESS", given.get("TEMPORAL_ADDRESS", cls.temporal_address)
            ),
            temporal_namespace=given.get("TEMPORAL_NAMESPACE", cls.temporal_namespace),
            temporal_api_key=given.get("TEMPORAL_API_KEY"),
            secret_key=secret_key,
            public_url=_public_url(given.get("HOLDFAST_PUBLIC_URL", cls.public_url)),
            booking_url=_booking_url(given.get("HOLDFAST_BOOKING_URL")),
            playbooks=_directory("HOLDFAST_PLAYBOOKS", given.get("HOLDFAST_PLAYBOOKS")) or cls.playbooks,
            api_keys=_api_keys(given),
            outbox=_directory("HOLDFAST_OUTBOX", given.get("HOLDFAST_OUTBOX")),
            data=_directory("HOLDFAST_DATA", given.get("HOLDFAST_DATA")) or cls.data,
            ready_file=Path(given["HOLDFAST_READY_FILE"]) if "HOLDFAST_READY_FILE" in given else None,
            settle_seconds=_seconds("HOLDFAST_SETTLE_SECONDS", given, cls.settle_seconds),
            drain_seconds=_seconds("HOLDFAST_DRAIN_SECONDS", given, cls.drain_seconds),
            rules_engine=_rules_engine(given.get("HOLDFAST_RULES_ENGINE", cls.rules_engine)),
            seal_payloads=_is_on("HOLDFAST_SEAL_PAYLOADS", given, cls.seal_payloads),
            environ=given,
        )

    def require_database_url(self) -> str:
        """The database's URL, or SettingError."""
        if self.database_url is None:
            raise SettingError(
                "HOLDFAST_DATABASE_URL is not set.",
                remedy="Set it to postgresql://user:password@host:port/name, or start `holdfast dev`, "
                "which brings its own database.",
            )
        return self.database_url

    def require_secret_key(self) -> str:
        """The key that signs links and tokens, or SettingError."""
        if self.secret_key is None:
            raise SettingError(
                "HOLDFAST_SECRET_KEY is not set.",
                remedy="Make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))' "
                "and give every process the same.",
            )
        return self.secret_key

    def require_api_keys(self) -> tuple[str, ...]:
        """The keys that callers of the API may use (at least one), or SettingError."""
        if not self.api_keys:
            raise SettingError(
                "HOLDFAST_API_KEY is not set.",
                remedy="Set HOLDFAST_API_KEY to one key, or HOLDFAST_API_KEYS to several, with commas.",
            )
        return self.api_keys


def _check_database_url(url: str) -> None:
    remedy = "Write it as postgresql://user:password@host:port/name."
    parts = _split("HOLDFAST_DATABASE_URL", url, remedy)
    if parts.scheme.split("+")[0] not in ("postgresql", "postgres"):
        raise SettingError(
            f"HOLDFAST_DATABASE_URL is no PostgreSQL URL (it starts {parts.scheme!r}).", remedy=remedy
        )
    if not parts.path.strip("/"):
        raise SettingError("HOLDFAST_DATABASE_URL names no database.", remedy=remedy)


def _split(name: str, url: str, remedy: str) -> _Parts:
    try:
        parts = urlsplit(url)
        return _Parts(parts.scheme, parts.hostname or "", parts.port, parts.path)
    except ValueError as error:
        # The value itself may hold a password, so only the parser's reason is told, without what it quotes.
        reason = re.split(r"[:'\"]| as ", str(error))[0].strip()
        raise SettingError(f"{name} can't be read{reason and f': {reason}'}.", remedy=remedy) from None


@dataclass(frozen=True)
class _Parts:
    scheme: str
    host: str
    port: int | None
    path: str


def _address(name: str, value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise SettingError(
            f"{name} is {value!r}, which is no host:port.", remedy="Write it like 127.0.0.1:7233."
        )
    return value


def _public_url(value: str) -> str:
    remedy = "Write it like https://holdfast.example.com, as customers' browsers reach it."
    parts = _split("HOLDFAST_PUBLIC_URL", value, remedy)
    if parts.scheme not in ("http", "https") or not parts.host or not is_web_address(value):
        raise SettingError(f"HOLDFAST_PUBLIC_URL is {value!r}, which is no web address.", remedy=remedy)
    return value.rstrip("/")


def _booking_url(value: str | None) -> str | None:
    if value is not None and not is_web_address(value):
        raise SettingError(
            f"HOLDFAST_BOOKING_URL is {value!r}, which is no web address.",
            remedy="Write it like https://calendar.example.com/customer-success.",
        )
    return value


def without_ports(environ: Mapping[str, str]) -> dict[str, str]:
    """The same environment for a process beside the one that has the ports of metrics."""
    return {name: value for name, value in environ.items() if name not in METRICS_PORTS}


def is_web_address(value: str) -> bool:
    """Whether `value` is one http(s) address and nothing else: it may stand in a message as it is."""
    if not re.fullmatch(r"https?://[!-~]{1,900}", value, re.IGNORECASE) or re.search(r'[<>"\\]', value):
        return False
    try:
        return bool(urlsplit(value).hostname)
    except ValueError:
        return False


def _api_keys(given: Mapping[str, str]) -> tuple[str, ...]:
    keys: list[str] = []
    for name in ("HOLDFAST_API_KEY", "HOLDFAST_API_KEYS"):
        for key in (part.strip() for part in given.get(name, "").split(",")):
            if not key or key in keys:
                continue
            if len(key) < SHORTEST_API_KEY:
                raise SettingError(
                    f"{name} holds a key of {len(key)} characters; a key needs at least {SHORTEST_API_KEY}.",
                    remedy="Make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(24))'",
                )
            keys.append(key)
    return tuple(keys)


def _directory(name: str, value: str | None) -> Path | None:
    if value is None:
        return None
    path = Path(value)
    if path.exists() and not path.is_dir():
        raise SettingError(f"{name} is {value!r}, which is a file.", remedy=f"Set {name} to a directory.")
    return path


def _seconds(name: str, given: Mapping[str, str], default: float) -> float:
    try:
        seconds = float(given.get(name, default))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86400:
        raise SettingError(
            f"{name} is no number of seconds.", remedy="Write a number from 0 to 86400, such as 30."
        )
    return seconds


def _is_on(name: str, given: Mapping[str, str], default: bool) -> bool:
    value = given.get(name)
    if value not in (None, "on", "off"):
        raise SettingError(f"{name} is {value!r}.", remedy=f"Set {name} to on or off, or leave it out.")
    return default if value is None else value == "on"


def _rules_engine(value: str) -> RulesEngine:
    if value not in RULES_ENGINES:
        raise SettingError(
            f"HOLDFAST_RULES_ENGINE is {value!r}, which is no engine.",
            remedy=f"Write one of {', '.join(RULES_ENGINES)}, or leave it out for generated.",
        )
    return value
