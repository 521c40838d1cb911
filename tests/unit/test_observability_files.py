"""The dashboard, the rules and the documents name metrics that exist, and Prometheus could read their expressions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.routing import APIRoute

from schemas.metrics import DESCRIBED, write_table
from store.metrics import SEVERITIES
from store.system_health import QUEUES
from web import api_health as health
from web import metrics

ROOT = Path(__file__).parent.parent.parent
DASHBOARD = json.loads((ROOT / "deploy/grafana/holdfast.json").read_text())
RULES = yaml.safe_load((ROOT / "deploy/holdfast-rules.yml").read_text())
PROMETHEUS = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())
# Of Prometheus itself and of every process.
FOREIGN = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}
FUNCTIONS = {
    "histogram_quantile", "sum", "max", "min", "rate", "increase", "topk", "vector", "count", "avg",
}  # fmt: skip
WORDS = {"by", "without", "and", "or", "unless", "on", "ignoring", "bool"}


def expressions() -> Iterator[tuple[str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for group in RULES["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def exported() -> dict[str, set[str]]:
    """Every name that Prometheus knows, with its labels."""
    known: dict[str, set[str]] = {}
    for one in DESCRIBED:
        ends = ("_bucket", "_sum", "_count") if one.kind == "histogram" else ("",)
        for end in ends:
            known[one.name + end] = {*one.labels, *({"le"} if end == "_bucket" else ())}
    return known


def names_in(expression: str) -> list[str]:
    """The metrics of an expression: words outside braces and label lists that aren't functions."""
    plain = re.sub(r"\{[^}]*\}|\[[^]]*\]|\"[^\"]*\"", " ", expression)
    plain = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", " ", plain)
    found = re.findall(r"(?<![\w.])([a-zA-Z_:][\w:]*)", plain)
    return [name for name in found if name not in FUNCTIONS | WORDS]


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_every_expression_names_metrics_and_labels_that_exist(where: str, expression: str) -> None:
    known = exported()
    names = names_in(expression)
    assert names, where
    assert [name for name in names if name not in known and name not in FOREIGN] == []
    for opening, closing in ("()", "[]", "{}"):
        assert expression.count(opening) == expression.count(closing), where
    ours = set().union(*(known.get(name, set()) for name in names)) | {"job", "instance"}
    labels = set(re.findall(r"[{,]\s*(\w+)\s*(?:=~|!~|!=|=)", expression))
    for listed in re.findall(r"\b(?:by|without)\s*\(([^)]*)\)", expression):
        labels |= {label.strip() for label in listed.split(",")}
    assert labels <= ours, where


# What the labels that expressions ask by can be; `route` and `status` are asked by patterns.
VALUES: dict[str, set[str]] = {
    "severity": set(SEVERITIES),
    "queue": set(QUEUES),
    "state": {"accepted", "failed", "retrying", "unknown"},
    "result": {"accepted", "taken", "failed"},
    "route": {route.path for own in (health, metrics) for route in own.router.routes if isinstance(route, APIRoute)},
}  # fmt: skip


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_every_expression_asks_for_values_that_labels_can_have(where: str, expression: str) -> None:
    for label, how, value in re.findall(r'[{,]\s*(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', expression):
        if label == "job":
            jobs = {job["job_name"] for job in PROMETHEUS["scrape_configs"]}
            assert any(re.fullmatch(value, job) for job in jobs), where
        elif label == "status":
            assert re.fullmatch(value, "503"), where
        else:
            asked = set(value.split("|")) if "~" in how else {value}
            assert asked <= VALUES[label], where


def test_an_alert_fires_where_nobody_tells_what_it_is_about() -> None:
    """`x == 0` of a series that is gone is nothing: whoever asks whether nothing is done asks by `unless`."""
    for group in RULES["groups"]:
        for rule in group["rules"]:
            # A comment in a folded text would hide the rest of it.
            assert "#" not in rule["expr"], rule["alert"]
            assert not re.search(r"\brate\([^)]*\)+\s*==\s*0", rule["expr"]), rule["alert"]


def test_shares_of_answers_leave_out_what_asks_for_health_all_the_time() -> None:
    for where, expression in expressions():
        if where in ("HoldfastApiErrors", "HoldfastApiSlow"):
            named = re.findall(r'route!~"([^"]*)"', expression)
            assert len(named) == expression.count("holdfast_http_request_duration_seconds"), where
            assert {frozenset(one.split("|")) for one in named} == {frozenset(VALUES["route"])}, where


def test_the_check_finds_what_does_not_exist() -> None:
    assert names_in('sum by (le) (rate(holdfast_nothing_bucket{a="b"}[5m])) > 0.2') == [
        "holdfast_nothing_bucket"
    ]


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 20
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_metric_is_on_the_dashboard_or_has_a_reason_not_to_be() -> None:
    elsewhere = {
        "holdfast_figures_timestamp_seconds", "holdfast_marketing_parked", "holdfast_dead_letters_recent",
        "holdfast_interventions_measured", "holdfast_model_status", "holdfast_alert_webhook_requests_total",
    }  # fmt: skip
    shown = {name for _, expression in expressions() for name in names_in(expression)}
    missing = {
        one.name for one in DESCRIBED if not any(name.startswith(one.name) for name in shown)
    } - elsewhere
    assert missing == set()


def test_metrics_are_named_as_prometheus_asks() -> None:
    for one in DESCRIBED:
        assert re.fullmatch(r"holdfast_[a-z_]+", one.name)
        assert one.name.endswith("_total") == (one.kind == "counter"), one.name
        assert one.kind != "histogram" or one.name.endswith("_seconds"), one.name
        assert not set(one.labels) & {"customer", "customer_id", "user_id", "path", "run_id"}


def test_the_document_has_the_table_of_all_metrics() -> None:
    page = (ROOT / "docs/observability.md").read_text()
    found = re.search(r"<!-- metrics -->\n(.*?)<!-- end -->", page, re.DOTALL)
    assert found is not None
    assert found[1] == write_table(), "write it anew: python -m schemas.metrics"


def test_the_example_for_prometheus_loads_the_rules_that_are_there() -> None:
    assert [(ROOT / "deploy" / name).exists() for name in PROMETHEUS["rule_files"]] == [True]
    assert {job["job_name"] for job in PROMETHEUS["scrape_configs"]} >= {"holdfast-web", "holdfast-worker"}
