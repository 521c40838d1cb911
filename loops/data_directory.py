"""The directory in which `holdfast dev` keeps everything: one owner at a time, keys, ports, addresses."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from schemas.errors import ConflictError, SettingError, UnavailableError


def write_atomically(path: Path, content: str | bytes, mode: int = 0o600, *, durable: bool = True) -> None:
    """Write `path` so that a reader sees the old or the new content, never a part, whenever we are killed.

    durable: it outlives a power cut, too, for which a busy disk may have to be waited for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    part.replace(path)


@dataclass(frozen=True)
class Keys:
    """Secrets of one data directory, made once; the Twilio pair is for the local SMS sink."""

    api_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    twilio_account_sid: str = field(repr=False)
    twilio_auth_token: str = field(repr=False)


class DataDirectory:
    """Paths and small files under one directory, which only one `holdfast dev` may own at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.logs = self.path / "logs"
        self.outbox = self.path / "outbox"
        self.postgres = self.path / "postgres"
        self.temporal = self.path / "temporal.db"
        self.running = self.path / "run"
        self.push_account = self.path / "push-account.json"
        self.addresses = self.path / "dev.json"
        self._lock: int | None = None

    def acquire(self) -> None:
        """Become the owner, until `release` or this process's end. Raises ConflictError if another one is."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except (FileExistsError, NotADirectoryError, PermissionError) as error:
            raise SettingError(
                f"{self.path} can't be used as data directory: {error.strerror}.",
                remedy="Choose another with --data.",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            web = (self.read_addresses() or {}).get("web")
            raise ConflictError(
                f"holdfast dev already runs on {self.path} (process {owner}, {web or 'still starting'}).",
                remedy=f"Use that one, stop it with `kill {owner}`, or choose another directory with --data.",
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._lock = descriptor
        for directory in (self.logs, self.outbox, self.running):
            directory.mkdir(exist_ok=True, mode=0o700)
        self.addresses.unlink(missing_ok=True)

    def release(self) -> None:
        """Let another one own it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def is_owned(self) -> bool:
        """Whether a `holdfast dev` runs on this directory now."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def keys(self) -> Keys:
        """The keys, made at the first call. Raises UnavailableError if the file is damaged."""
        path = self.path / "keys.json"
        if not path.exists():
            made = Keys(
                api_key=f"hf_{secrets.token_urlsafe(24)}",
                secret_key=secrets.token_urlsafe(32),
                twilio_account_sid=f"AC{secrets.token_hex(16)}",
                twilio_auth_token=secrets.token_hex(16),
            )
            write_atomically(path, json.dumps(asdict(made), indent=2) + "\n")
        try:
            return Keys(**json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise UnavailableError(
                f"{path} is damaged: {error}.",
                remedy=f"Delete {path}; new keys are then made at the next start.",
            ) from error

    def read_ports(self) -> dict[str, int]:
        """The ports of the last start, by name; empty where unknown."""
        with contextlib.suppress(OSError, ValueError):
            noted = json.loads((self.path / "ports.json").read_text())
            return {name: port for name, port in noted.items() if isinstance(port, int) and 0 < port < 65536}
        return {}

    def write_ports(self, ports: dict[str, int]) -> None:
        """Note the ports, so that the next start takes the same where they are free."""
        write_atomically(self.path / "ports.json", json.dumps(ports, indent=2) + "\n")

    def read_addresses(self) -> dict[str, Any] | None:
        """What `dev.json` says, if a start has got as far as writing it."""
        try:
            addresses = json.loads(self.addresses.read_text())
        except (OSError, ValueError):
            return None
        return addresses if isinstance(addresses, dict) else None

    def write_addresses(self, addresses: dict[str, Any]) -> None:
        """Write `dev.json`: its presence says that everything is up."""
        write_atomically(self.addresses, json.dumps(addresses, indent=2) + "\n")
