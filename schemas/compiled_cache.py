"""Keeps what files were compiled to, by digest, so that what didn't change isn't compiled again.

One small file per entry. An entry is written beside its place and then moved there, so that processes may share a
cache; one that is damaged counts as missing. What was used longest ago is removed when there is too much.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Mapping
from pathlib import Path

MOST_BYTES = 256 * 1024 * 1024
MOST_ENTRIES = 50_000
# After trimming, so that the next load doesn't trim again.
_LEFT = 0.75
_DIGEST_BYTES = 32
_UNFINISHED = ".new"
_ABANDONED_SECONDS = 3600.0
# How exactly the time of an entry's last use is kept.
_USE_SECONDS = 86_400.0


class CompiledCache:
    """Entries by key (hexadecimal digits) in `directory`.

    Nothing here raises for what the disk does: what can't be read is missing, what can't be written isn't kept.
    """

    def __init__(
        self, directory: Path, *, most_bytes: int = MOST_BYTES, most_entries: int = MOST_ENTRIES
    ) -> None:
        self.directory = directory
        self._root = os.fspath(directory)
        self._most_bytes = most_bytes
        self._most_entries = most_entries
        self._written = False
        self._usable = _prepare(directory)

    def read(self, key: str) -> bytes | None:
        """What was written under `key`, if it is there and whole."""
        if not self._usable:
            return None
        path = f"{self._root}/{key}"
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - thousands of these: a Path costs more than the reading
                entry = file.read()
                used = os.fstat(file.fileno()).st_mtime
        except OSError:
            return None
        body = entry[_DIGEST_BYTES:]
        if hashlib.sha256(body).digest() != entry[:_DIGEST_BYTES]:
            return None
        if time.time() - used > _USE_SECONDS:
            with contextlib.suppress(OSError):
                os.utime(path)
        return body

    def write(self, key: str, body: bytes) -> None:
        """Keep `body` under `key`, in place of what was there."""
        if not self._usable:
            return
        unfinished = f"{self._root}/{key}.{secrets.token_hex(4)}{_UNFINISHED}"
        try:
            with open(unfinished, "wb") as file:  # noqa: PTH123
                file.write(hashlib.sha256(body).digest() + body)
            os.replace(unfinished, f"{self._root}/{key}")  # noqa: PTH105
            self._written = True
        except OSError:
            self._usable = False
            with contextlib.suppress(OSError):
                os.unlink(unfinished)  # noqa: PTH108

    def trim(self) -> None:
        """Remove what was used longest ago, where there is more than there may be; call it after writing."""
        if not self._written:
            return
        self._written = False
        entries, now = [], time.time()
        with contextlib.suppress(OSError), os.scandir(self._root) as found:
            for item in found:
                with contextlib.suppress(OSError):
                    state = item.stat(follow_symlinks=False)
                    if not item.name.endswith(_UNFINISHED):
                        entries.append((state.st_mtime, state.st_size, item.path))
                    elif now - state.st_mtime > _ABANDONED_SECONDS:
                        os.unlink(item.path)  # noqa: PTH108
        count, size = len(entries), sum(entry[1] for entry in entries)
        if count <= self._most_entries and size <= self._most_bytes:
            return
        for _, bytes_, path in sorted(entries):
            if count <= _LEFT * self._most_entries and size <= _LEFT * self._most_bytes:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108
            count, size = count - 1, size - bytes_


def open_cache(environment: Mapping[str, str]) -> CompiledCache | None:
    """The cache of this user, under XDG_CACHE_HOME (~/.cache where unset); None where there is no home for it."""
    home = environment.get("XDG_CACHE_HOME") or ""
    if not Path(home).is_absolute():
        if not environment.get("HOME"):
            return None
        home = f"{environment['HOME']}/.cache"
    return CompiledCache(Path(home) / "holdfast" / "compiled")


def _prepare(directory: Path) -> bool:
    """Make the directory where it isn't there; whether it can be trusted: what lies in it is run."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = directory.stat()
    except OSError:
        return False
    if not hasattr(os, "geteuid"):
        return True
    return state.st_uid == os.geteuid() and not state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
