"""Reading playbooks: thousands of files anew and unchanged, and `holdfast validate` as a whole command.

The rival is what one would write first: PyYAML with libyaml and jsonschema, the same files, the same schema. It does
less: it knows no line of any value, reads no condition and no template, and compiles nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench.files import write_files

if TYPE_CHECKING:
    # This module is a process of its own, too, whose start is not to load a whole system.
    from bench.system import Say

ROOT = Path(__file__).parent.parent
COLD_LIMIT_SECONDS = 20.0
CACHED_LIMIT_SECONDS = 3.0
VALIDATE_LIMIT_SECONDS = 2.0


@dataclass(frozen=True)
class Loading:
    """Seconds, each the median of several fresh processes; `validate` is the whole command with its start."""

    files: int
    cold_seconds: float
    cached_seconds: float
    rival_seconds: float
    validated_files: int
    validate_seconds: float
    validate_cached_seconds: float


def measure(say: Say, *, files: int = 2000, validated: int = 200, times: int = 3) -> Loading:
    """Write that many playbooks into a directory of their own and read them in fresh processes."""
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as name:
        home = Path(name)
        write_files(home / "many", files)
        write_files(home / "some", validated)
        say(f"  {files} playbooks, cold")
        cold = median(_run(home / "many", "load") for _ in range(times))
        say(f"  {files} playbooks, unchanged")
        _run(home / "many", "load", home / "cache")
        cached = median(_run(home / "many", "load", home / "cache") for _ in range(times))
        say("  the rival: PyYAML and jsonschema")
        rival = median(_run(home / "many", "rival") for _ in range(times))
        say(f"  holdfast validate of {validated} playbooks")
        anew = median(_validate(home / "some", home / "user", "--no-cache") for _ in range(times))
        _validate(home / "some", home / "user")
        again = median(_validate(home / "some", home / "user") for _ in range(times))
    return Loading(files, cold, cached, rival, validated, anew, again)


def _run(directory: Path, what: str, *cache: Path) -> float:
    command = [sys.executable, "-m", "bench.loading", what, str(directory), *map(str, cache)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    if found["good"] != len(list(directory.glob("*.yaml"))) - 1:
        raise RuntimeError(f"{what} accepts {found['good']} of the playbooks")
    return float(found["seconds"])


def _validate(directory: Path, user: Path, *options: str) -> float:
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "cli.main", "validate", *options, str(directory)],
        cwd=ROOT, env={**os.environ, "XDG_CACHE_HOME": str(user)}, capture_output=True, check=True,
    )  # fmt: skip
    return time.perf_counter() - begun


def load(directory: Path, cache: Path | None) -> tuple[float, int]:
    """Seconds, and the number of good playbooks."""
    from activities.registry import find_step_types
    from schemas.catalogue import load_catalogue
    from schemas.compiled_cache import CompiledCache
    from schemas.loader import load_playbooks

    catalogue, step_types = load_catalogue(), find_step_types()
    begun = time.perf_counter()
    loaded = load_playbooks(directory, catalogue, step_types, CompiledCache(cache) if cache else None)
    return time.perf_counter() - begun, len(loaded.playbooks)


def load_as_rival(directory: Path) -> tuple[float, int]:
    """As `load`, by PyYAML and jsonschema."""
    import yaml
    from jsonschema import Draft202012Validator

    schema = json.loads((ROOT / "schemas" / "playbook.schema.json").read_text(encoding="utf-8"))
    begun = time.perf_counter()
    validator = Draft202012Validator(schema)
    good = 0
    for path in sorted(directory.glob("*.yaml")):
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        if path.name != "policy.yaml":
            good += next(validator.iter_errors(data), None) is None
    return time.perf_counter() - begun, good


def main() -> None:
    """One measurement in this process, as JSON on standard output."""
    what, directory, *cache = sys.argv[1:]
    if what == "rival":
        seconds, good = load_as_rival(Path(directory))
    else:
        seconds, good = load(Path(directory), Path(cache[0]) if cache else None)
    print(json.dumps({"seconds": seconds, "good": good}))


if __name__ == "__main__":
    main()
