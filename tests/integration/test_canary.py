"""Nothing known of a person, and no secret, gets where it wasn't meant to be: a whole `holdfast dev` is searched.

One customer, whose every field is a string that nothing else holds, goes through a run in which things go wrong. The
strings may then stand in the tables of PostgreSQL that hold them by purpose and in what was sent; nowhere else.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from temporalio.client import Client

from loops.data_directory import DataDirectory
from loops.embedded_temporal import plain_environ
from loops.ports import choose_port
from tests.integration.canary import PERSON, find, find_in_files
from tests.integration.running_engine import eventually
from tests.quick_place import quick_place
from tests.standins.http import respond
from tests.standins.programme import Programme
from tests.standins.receiver import ReceiverStandIn
from tests.standins.smtp import SmtpStandIn
from tests.standins.twilio import TwilioStandIn

SECRETS = {
    "secret_key": "kanarie-secret-key-90ab-of-forty-characters",
    "older_secret_key": "kanarie-older-key-33cd-of-forty-characters",
    "api_key": "kanarie-api-key-27fe",
    "twilio_token": "kanarie-twilio-token-4e5d",
    "webhook_secret": base64.b64encode(b"kanarie-webhook-secret-88aa!").decode(),
}
# Where what is known of a person is kept on purpose.
TABLES = {
    "customers": "who they are",
    "signals": "what is known of them",
    "signal_history": "the same, by day",
    "events": "what they did and wrote",
    "deliveries": "what was sent to them, and what the provider said of it",
    "tasks": "what a colleague was to do for them, and noted",
    "run_steps": "what steps came to, for later steps: a webhook's answer, why one failed",
    "dead_letters": "what could not be stored, as it came",
    "entry_requests": "why somebody entered them by hand",
    "runs": "why the run began",
    "decisions": "the values that were looked at",
}
PLAYBOOK = """\
playbook: care
title: Care
owner: cs
status: live
enter:
  when:
    event: {name: help_wanted}
steps:
  - id: greet
    email:
      subject: "Hello {{ customer.first_name }}"
      text: "{{ customer.first_name }} of {{ customer.business_name }}: {{ customer.email }}. {{ links.unsubscribe }}"
  - id: text
    sms: {text: "Hi {{ customer.first_name }}"}
  - id: tell
    webhook:
      url: "http://RECEIVER/hook?about={{ customer.first_name }}"
      body: {name: "{{ customer.first_name }}", phone: "{{ customer.phone }}"}
  - id: trip
    trip: {what: "{{ customer.first_name }}"}
  - id: ring
    call: {title: "Call {{ customer.first_name }}", assign: grace, due: 1d, give_up: 7d}
  - id: answer
    wait_for:
      event: {name: replied}
      for: 1d
  - id: again
    email: {subject: "Again, {{ customer.first_name }}", text: "Bye {{ customer.first_name }}"}
  - id: rest
    wait: 5m
"""
# A step as a user may write one: what it can't handle it throws, with the value in the message.
TRIP = '''
from schemas.frozen import Frozen
from schemas.message_part import Part
from schemas.step_type import StepType

class TripArguments(Frozen):
    """What it trips over."""
    what: Part

async def carry_out(work):
    try:
        int(work.args["what"])
    except ValueError as error:
        raise RuntimeError(f"{work.customer['email']} isn't {work.args['what']}") from error

STEP = StepType(word="trip", about="Trips.", arguments=TripArguments, carry_out=carry_out)
'''
# Read by every Python that `holdfast dev` starts.
SITE = "import activities\nactivities.__path__.append({place!r})\n"


@dataclass
class Dev:
    """A running `holdfast dev`: its addresses, its files, and what its providers took."""

    addresses: dict[str, Any]
    data: DataDirectory
    terminal: Path
    smtp: SmtpStandIn
    receiver: ReceiverStandIn
    web: httpx.AsyncClient
    # What callers were told of what they did wrong.
    refusals: dict[str, httpx.Response] = field(default_factory=dict)

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(self.addresses["database_url"]) as connection:
            return await (await connection.execute(sql.encode())).fetchall()

    async def until(self, sql: str) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = await eventually(lambda: self.rows(sql), bool, 60)
        return found

    async def tell(self, path: str, **body: Any) -> None:
        answer = await self.web.post(path, json=body)
        assert answer.status_code == 200, answer.text

    async def refuse(self, path: str, status: int, **body: Any) -> None:
        answer = await self.web.post(path, json=body)
        assert answer.status_code == status, answer.text
        self.refusals[path] = answer

    @property
    def logs(self) -> list[Path]:
        return [self.terminal, *self.data.logs.iterdir()]


@contextlib.asynccontextmanager
async def run_dev(directory: Path, checkout: Path) -> AsyncIterator[Dev]:
    """Everything up, with providers whose refusals quote what they were sent."""
    words = PERSON["providers_words"]
    quoting = json.dumps({"error": f"{words}: {PERSON['email']}"}).encode()
    smtp = SmtpStandIn(Programme(["ok", f"rcpt:550 5.1.1 <{PERSON['email']}> {words}"]))
    twilio = TwilioStandIn(Programme(["400/21211"]), token=SECRETS["twilio_token"])
    receiver = ReceiverStandIn([respond(500, quoting), respond(422, quoting)])
    async with smtp, twilio, receiver:
        playbooks, steps = directory / "playbooks", directory / "steps"
        playbooks.mkdir()
        steps.mkdir()
        (playbooks / "care.yaml").write_text(PLAYBOOK.replace("RECEIVER", receiver.host))
        (playbooks / "policy.yaml").write_text("default_zone: UTC\nconsent: {email: assumed, sms: assumed}\n")
        (steps / "trip.py").write_text(TRIP)
        (directory / "sitecustomize.py").write_text(SITE.format(place=str(steps)))
        ours = ("HOLDFAST_", "TWILIO_", "SMTP_")
        environ = {n: v for n, v in plain_environ(os.environ).items() if not n.startswith(ours)} | {
            "PYTHONPATH": f"{directory}{os.pathsep}{checkout}",
            "HOLDFAST_PLAYBOOKS": str(playbooks),
            # As what collects logs gets them; what text leaves out is tested line by line elsewhere.
            "HOLDFAST_LOGS": "json",
            "HOLDFAST_SECRET_KEY": f"{SECRETS['secret_key']} {SECRETS['older_secret_key']}",
            "HOLDFAST_API_KEY": SECRETS["api_key"],
            "HOLDFAST_WEBHOOK_HOSTS": receiver.host,
            "HOLDFAST_WEBHOOK_SECRET": f"whsec_{SECRETS['webhook_secret']}",
            "SMTP_URL": smtp.url,
            "TWILIO_ACCOUNT_SID": twilio.account,
            "TWILIO_AUTH_TOKEN": SECRETS["twilio_token"],
            "TWILIO_FROM": "+15005550006",
            "TWILIO_BASE_URL": twilio.url,
        }
        data, terminal = DataDirectory(directory / "data"), directory / "terminal"
        with terminal.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "cli.main", "dev", "--no-demo", "--data", str(data.path),
                "--port", str(choose_port(0)), env=environ, stdout=output, stderr=output,
            )  # fmt: skip

        async def look() -> Mapping[str, Any] | None:
            assert process.returncode is None, terminal.read_text()
            return data.read_addresses()

        try:
            addresses = dict(await eventually(look, bool, 90))
            async with httpx.AsyncClient(
                base_url=addresses["web"], auth=(SECRETS["api_key"], ""), trust_env=False, timeout=30
            ) as web:
                yield Dev(addresses, data, terminal, smtp, receiver, web)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(60):
                    await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()


async def live_through_it(dev: Dev) -> None:
    """The customer becomes known, enters, is written to, called and refused; what is wrong is said and refused, too."""
    who = PERSON["external_id"]
    traits = {name: PERSON[name] for name in ("email", "phone", "address", "nickname", "note")}
    names = {"firstName": "first_name", "lastName": "last_name", "businessName": "business_name"}
    traits |= {name: PERSON[field] for name, field in names.items()} | {"timezone": "UTC"}
    await dev.tell("/v1/identify", userId=who, traits=traits)
    await dev.tell("/v1/track", userId=who, event="help_wanted", properties={"text": PERSON["note"]})
    [(task,)] = await dev.until("SELECT id::text FROM tasks WHERE state = 'open'")
    # What is wrong.
    wrong = PERSON["wrong_request"]
    await dev.tell("/v1/track", userId=who, event="said", properties={"text": f"{PERSON['dead_letter']}\0"})
    trigger = "/api/customer-success/interventions/trigger"
    await dev.refuse(trigger, 409, userId=who, playbook="care", reason=PERSON["note"])
    complete = f"/api/tasks/{task}/complete"
    await dev.refuse(complete, 422, outcome="sung", by="grace", notes=wrong)
    await dev.refuse(
        "/api/customer-success/interventions/trigger?", 422, userId=[wrong], reason={"said": wrong}
    )
    await dev.refuse("/codec/decode", 400, payloads=[{"metadata": {"encoding": wrong}, "data": f"{wrong}!"}])
    # Somebody says why, to the run itself: that stands in its history, sealed.
    [(run,)] = await dev.rows("SELECT id::text FROM runs")
    await dev.tell(f"/api/runs/{run}/pause", by="grace", reason=PERSON["note"])
    await dev.tell(f"/api/runs/{run}/resume", by="grace", reason=PERSON["note"])
    # And on.
    await dev.tell(complete, outcome="reached", by="grace", notes=PERSON["note"])
    await dev.until("SELECT 1 FROM waits WHERE step = 'answer'")
    await dev.tell("/v1/track", userId=who, event="replied", properties={"text": PERSON["reply"]})
    await dev.until("SELECT 1 FROM run_steps WHERE step = 'again' AND outcome = 'failed'")
    await dev.until("SELECT 1 FROM dead_letters")


@pytest.mark.timeout(360)
async def test_what_is_known_of_a_person_stays_where_it_is_kept_on_purpose(checkout: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="holdfast-tests-", dir=quick_place()) as place:
        directory = Path(place)
        directory.chmod(0o755)
        async with run_dev(directory, checkout) as dev:
            await live_through_it(dev)
            outcomes = dict(await dev.rows("SELECT step, outcome FROM run_steps"))
            assert {step: outcomes.get(step) for step in ("greet", "text", "tell", "trip", "ring", "again")} == {
                "greet": "sent", "text": "failed", "tell": "failed", "trip": "failed", "ring": "reached",
                "again": "failed",
            }  # fmt: skip
            await look_into_tables(dev)
            workflow_ids = await look_into_temporal(dev)
            await read_with_the_codec(dev)
        # What is written as everything ends counts, too.
        await look_into_files(dev, workflow_ids)


async def look_into_tables(dev: Dev) -> None:
    """Each string is somewhere (or the search would prove nothing), and only in tables that are meant to have it."""
    names = [
        name for (name,) in await dev.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ]
    parents = dict(
        await dev.rows("SELECT inhrelid::regclass::text, inhparent::regclass::text FROM pg_inherits")
    )
    found: dict[str, set[str]] = {}
    for name in names:
        rows = await dev.rows(f'SELECT to_jsonb(t)::text FROM "{name}" t')
        held = find("\n".join(row for (row,) in rows).encode(), PERSON | SECRETS)
        if held:
            found.setdefault(parents.get(name, name), set()).update(held)
    assert found.keys() <= TABLES.keys(), {name: found[name] for name in found.keys() - TABLES.keys()}
    everywhere = set().union(*found.values())
    # What was refused is nobody's business any more, and no secret is kept.
    assert everywhere == PERSON.keys() - {"wrong_request"}


async def look_into_temporal(dev: Dev) -> list[str]:
    """All that Temporal tells somebody who has no key: histories, memos, search attributes, ids."""
    client = await Client.connect(dev.addresses["temporal"])
    described: list[bytes] = []
    ids: list[str] = []
    events = 0
    async for one in client.list_workflows():
        handle = client.get_workflow_handle(one.id, run_id=one.run_id)
        history = await handle.fetch_history()
        events += len(history.events)
        description = await handle.describe()
        described += [
            history.to_json().encode(),
            *(event.SerializeToString() for event in history.events),
            one.raw_info.SerializeToString(),
            description.raw_description.SerializeToString(),
        ]
        ids.append(one.id)
        kept = {name: str(value) for name, value in one.search_attributes.items()}
        if one.id.startswith("playbook/"):
            assert set(kept) >= {"PlaybookName", "PlaybookVersion", "CustomerId"}, kept
            assert re.fullmatch(r"\['[0-9a-f-]{36}'\]", kept["CustomerId"])
            assert re.fullmatch(r"playbook/care/[0-9a-f-]{36}", one.id)
    assert events > 30
    assert find(b"\n".join(described), PERSON | SECRETS) == set()
    return ids


async def read_with_the_codec(dev: Dev) -> None:
    """Whoever may see it does so by the codec endpoint: the UI was told of it, the CLI is told of it and of a key."""
    async with httpx.AsyncClient(base_url=dev.addresses["temporal_ui"], trust_env=False) as ui:
        codec = (await ui.get("/api/v1/settings")).json()["Codec"]["Endpoint"]
    assert codec == f"{dev.addresses['web']}/codec"
    [(workflow_id,)] = await dev.rows("SELECT workflow_id FROM runs")

    async def show(*more: str) -> str:
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("temporal")), "workflow", "show", "-w", workflow_id, "-o", "json",
            "--address", dev.addresses["temporal"], "--disable-config-file", *more,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        told, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        return told.decode()

    key = ("--codec-endpoint", codec, "--codec-auth", f"Bearer {SECRETS['api_key']}")
    assert find((await show()).encode(), PERSON) == set()
    assert find((await show(*key)).encode(), PERSON) == {"note"}


async def look_into_files(dev: Dev, workflow_ids: list[str]) -> None:
    """Logs, what the terminal showed, Temporal's database: none of the strings, no link's token, no forged line."""
    database = [*dev.data.path.glob("temporal.db*")]
    # The search does find what stands in that file.
    assert find(b"".join(path.read_bytes() for path in database), {one: one for one in workflow_ids}) == set(
        workflow_ids
    )
    assert find_in_files(database, PERSON | SECRETS) == {}
    # The page that `holdfast dev` prints for the person before it holds the API key.
    told = dev.terminal.read_text().replace(SECRETS["api_key"], "")
    assert find(told.encode(), PERSON | SECRETS) == set()
    assert find_in_files([*dev.data.logs.iterdir()], PERSON | SECRETS) == {}
    # What it tripped over is told, without what it was.
    worker = (dev.data.logs / "worker.log").read_text()
    assert "RuntimeError (message withheld)" in worker
    assert "in carry_out" in worker
    [mail] = dev.smtp.accepted
    [token] = re.findall(r"/u/([\w-]{40,})", str(mail.message.get_payload(decode=True)))
    assert find_in_files([*dev.logs, *database], {"token": token}) == {}
    # The sinks and the mail itself hold what they are for.
    assert {"first_name", "email", "business_name"} <= find(mail.data, PERSON)
    assert "first_name" in find(dev.receiver.requests[0].body, PERSON)
    refused = {path: find(answer.content, PERSON | SECRETS) for path, answer in dev.refusals.items()}
    assert refused == {path: set() for path in dev.refusals}
