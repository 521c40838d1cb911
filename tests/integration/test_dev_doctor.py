"""`holdfast doctor` looks at every part, also when all of it is down, and says what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loops.child import Child, start, stop
from loops.data_directory import DataDirectory
from loops.embedded_temporal import SEARCH_ATTRIBUTES, EmbeddedTemporal
from store.migrating import migrate
from tests.integration.commanding import command
from tests.own_ports import own_port

PARTS = {
    "python", "system", "secrets", "web", "database", "migrations", "temporal", "attributes", "worker", "playbooks",
    "providers",
}  # fmt: skip
Findings = dict[str, dict[str, object]]


def examine(directory: Path, environ: dict[str, str]) -> tuple[int, Findings]:
    """The doctor's exit status and findings by part, asked in this directory with no other variables than these."""
    status, told, complaints = command("doctor", "--format", "json", environ=environ, directory=directory)
    assert complaints == ""
    findings = [json.loads(line) for line in told.splitlines()]
    return status, {finding["part"]: finding for finding in findings}


def test_with_everything_down_each_part_has_its_remedy(tmp_path: Path) -> None:
    dead = own_port()
    environ = {
        "HOLDFAST_DATABASE_URL": f"postgresql://me:hunter2@127.0.0.1:{dead}/holdfast",
        "TEMPORAL_ADDRESS": f"127.0.0.1:{dead}",
        "HOLDFAST_CORS_ORIGINS": "*",
    }
    status, findings = examine(tmp_path, environ)
    assert status == 1
    assert findings["python"]["ok"]
    assert "HOLDFAST_CORS_ORIGINS" in str(findings["web"]["found"])
    for part in ("secrets", "web", "database", "temporal", "playbooks", "providers"):
        assert not findings[part]["ok"], part
        assert findings[part]["remedy"], part
        assert "holdfast doctor" not in str(findings[part]["remedy"]), part
    assert "hunter2" not in json.dumps(findings)


def test_a_bad_setting_is_named(tmp_path: Path) -> None:
    status, findings = examine(tmp_path, {"TEMPORAL_ADDRESS": "nowhere"})
    assert status == 1
    assert "TEMPORAL_ADDRESS" in str(findings["settings"]["found"])


def test_good_parts_are_told_from_bad_ones(
    checkout: Path, tmp_path: Path, postgres_url: str, idle_temporal: str
) -> None:
    environ = {
        "HOLDFAST_DATABASE_URL": postgres_url,
        "TEMPORAL_ADDRESS": idle_temporal,
        "HOLDFAST_SECRET_KEY": "s" * 32,
        "HOLDFAST_API_KEY": "a" * 16,
        "HOLDFAST_PLAYBOOKS": str(checkout / "playbooks"),
        "HOLDFAST_CORS_ORIGINS": "https://app.example.com",
    }
    status, findings = examine(tmp_path, environ)
    assert findings.keys() >= PARTS
    assert "https://app.example.com" in str(findings["web"]["found"])
    assert status == 1
    assert findings["migrations"]["remedy"] == "Run `holdfast migrate`."
    for part in ("secrets", "web", "database", "temporal", "attributes"):
        assert findings[part]["ok"], findings[part]
    assert "holdfast worker" in str(findings["worker"]["remedy"])
    assert not findings["batch worker"]["ok"]
    assert "nobody works on holdfast-batch" in str(findings["batch worker"]["found"])
    assert "holdfast worker --batch" in str(findings["batch worker"]["remedy"])

    migrate(postgres_url)
    _, findings = examine(tmp_path, environ)
    assert findings["migrations"]["ok"]


def test_a_missing_search_attribute_is_named_with_its_command(tmp_path: Path, bare_temporal: str) -> None:
    _, findings = examine(tmp_path, {"TEMPORAL_ADDRESS": bare_temporal})
    assert not findings["attributes"]["ok"]
    for name in SEARCH_ATTRIBUTES:
        assert f"--name {name} --type Keyword" in str(findings["attributes"]["remedy"])
    assert "--retention" in str(findings["temporal"]["remedy"])


def test_the_running_dev_of_the_directory_is_the_one_examined(tmp_path: Path, database_url: str) -> None:
    data = DataDirectory(tmp_path / ".holdfast")
    data.acquire()
    data.write_addresses({"environment": {"HOLDFAST_DATABASE_URL": database_url}})
    _, findings = examine(tmp_path, {})
    assert findings["database"]["ok"]
    assert findings["migrations"]["ok"]

    data.release()
    _, findings = examine(tmp_path, {})
    assert not findings["database"]["ok"]
    assert not findings["system"]["ok"]


@pytest.fixture
def idle_temporal(tmp_path: Path) -> Iterator[str]:
    """A Temporal server with our search attributes that no worker has asked yet."""
    server = EmbeddedTemporal(None, own_port(), None, tmp_path / "idle.log")
    child = server.child()
    process = start(child)
    yield server.address
    stop(child, process)


@pytest.fixture
def bare_temporal(tmp_path: Path) -> Iterator[str]:
    """A Temporal server that nobody prepared for Holdfast."""
    port = own_port()
    binary = str(Path(sys.executable).with_name("temporal"))
    child = Child(
        "temporal",
        (binary, "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port)),
        tmp_path / "bare.log",
        lambda: answers(binary, port),
    )
    process = start(child)
    yield f"127.0.0.1:{port}"
    stop(child, process)


def answers(binary: str, port: int) -> bool:
    asked = [binary, "operator", "namespace", "describe", "-n", "default", "--address", f"127.0.0.1:{port}"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def test_webhooks_that_could_not_be_sent_are_told_before_they_are(tmp_path: Path) -> None:
    playbooks = tmp_path / "playbooks"
    playbooks.mkdir()
    text = "playbook: tells\ntitle: Tells\nowner: cs\nstatus: draft\nsteps:\n"
    text += "  - webhook: https://api.example.com/x\n  - webhook: https://{{ customer.id }}.example.com/x\n"
    (playbooks / "tells.yaml").write_text(text, encoding="utf-8")
    secret = {"HOLDFAST_WEBHOOK_SECRET": "whsec_" + "YWJj" * 8}
    _, findings = examine(tmp_path, {})
    assert not findings["webhooks"]["ok"]
    _, findings = examine(tmp_path, secret)
    assert findings["webhooks"]["found"] == "not among HOLDFAST_WEBHOOK_HOSTS: api.example.com"
    _, findings = examine(tmp_path, {**secret, "HOLDFAST_WEBHOOK_HOSTS": "api.example.com"})
    assert findings["webhooks"]["ok"]
    _, findings = examine(tmp_path, {"HOLDFAST_WEBHOOK_SECRET": "short"})
    assert "HOLDFAST_WEBHOOK_SECRET" in str(findings["webhooks"]["found"])
    (playbooks / "tells.yaml").unlink()
    _, findings = examine(tmp_path, {})
    assert "webhooks" not in findings


@pytest.mark.parametrize(
    ("url", "ok", "found"),
    [
        (None, False, "HOLDFAST_PUBLIC_URL is not set"),
        ("http://care.example.com", False, "by https only"),
        ("https://care.example.com", True, "https://care.example.com"),
        ("http://127.0.0.1:8080", True, "this machine"),
    ],
)
def test_links_that_customers_could_not_follow_are_told(
    tmp_path: Path, url: str | None, ok: bool, found: str
) -> None:
    _, findings = examine(tmp_path, {"HOLDFAST_PUBLIC_URL": url} if url else {})
    assert findings["links"]["ok"] is ok
    assert found in str(findings["links"]["found"])
