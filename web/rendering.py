"""Pages from templates, and what a template may call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from schemas.access import Permission, Principal
from web import charts, formats
from web.access import csrf_of
from web.condition_words import tell_check, tell_durations, tell_place, tell_rule
from web.forms import LONGEST_TOLD
from web.plain_words import name_browser, name_step, tell_properties, tell_template, tell_value

HERE = Path(__file__).parent
STATIC = HERE / "static"

# Where the navigation leads, by group; and what else belongs to an entry.
NAVIGATION: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("Customers", (("/", "Overview"), ("/customers", "Customers"), ("/churn", "Churn"), ("/onboarding", "Onboarding"))),
    ("Team", (("/tasks", "Work"), ("/team", "Team"))),
    ("Engine", (("/playbooks", "Playbooks"), ("/runs", "Runs"), ("/outbox", "Outbox"))),
    ("System", (("/alerts", "Alerts"), ("/audit", "Audit"), ("/people", "People"))),
)  # fmt: skip
# Not everybody may open these.
_NEEDED: Mapping[str, Permission] = {"/audit": "audit", "/people": "manage"}


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        formats.FILTERS, step_name=name_step, rule=tell_rule, template_text=tell_template, properties=tell_properties,
        browser_name=name_browser, worded=tell_value, check_words=tell_check, rule_place=tell_place,
        durations=tell_durations,
    )  # fmt: skip
    environment.globals.update(spark=charts.spark, diverging=charts.diverging, percent_of=formats.percent)
    return environment


_templates = _environment()


def compile_templates() -> None:
    """Compile every template; they are kept as long as the process lives."""
    for name in _templates.list_templates():
        _templates.get_template(name)


def linker(path: str, query: Mapping[str, Any]) -> Callable[..., str]:
    """A function that gives this page's address with some of its query changed; what is None or empty falls away.

    What a page was told and where in its list it stood don't come along.
    """

    def link(**changes: Any) -> str:
        wanted = {
            key: value for key, value in query.items() if key not in ("told", "refused", "cursor")
        } | changes
        pairs = urlencode(
            {key: value for key, value in wanted.items() if value not in (None, "", [])}, doseq=True
        )
        return f"{path}?{pairs}" if pairs else path

    return link


def _navigation(path: str, me: Principal | None) -> list[tuple[str, list[tuple[str, str, bool]]]]:
    # Many customers at once are still customers.
    if path == "/bulk" or path.startswith("/bulk/"):
        path = "/customers"

    def current(where: str) -> bool:
        return path == where or (where != "/" and path.startswith(f"{where}/"))

    return [
        (group, [(where, name, current(where)) for where, name in entries
                 if me is None or where not in _NEEDED or me.may(_NEEDED[where])])
        for group, entries in NAVIGATION
    ]  # fmt: skip


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """One page for whoever asks; see `write_page`."""
    me: Principal | None = getattr(request.state, "principal", None)
    return HTMLResponse(write_page(request, template, values, me=me, csrf=csrf_of(request)), status)


def write_page(
    request: Request, template: str, values: Mapping[str, Any], *, me: Principal | None, csrf: str
) -> str:
    """The text of one page. Everything in `values` is escaped.

    Every template also has `me` (who looks, or None), `may(permission)`, `csrf` for its forms, `link(**changes)` to
    itself with another query, `now`, and what the last action told (`flash`) or why it was refused.
    """
    query = {key: request.query_params.getlist(key) for key in request.query_params}
    # A link in a mail says nothing in our name: only our own forms lead to where something is told.
    is_ours = request.headers.get("sec-fetch-site", "same-origin") == "same-origin"
    query_told: Mapping[str, str] = request.query_params if is_ours else {}
    given: dict[str, Any] = {
        "path": request.url.path,
        "me": me,
        "csrf": csrf,
        "may": lambda permission: me is not None and me.may(permission),
        # Of the path as it was meant: customers' ids may hold ?, # and %.
        "link": linker(quote(request.scope["path"]), query),
        "navigation": _navigation(request.url.path, me),
        "now": datetime.now(UTC),
        "flash": query_told.get("told", "")[:LONGEST_TOLD],
        "flash_refused": query_told.get("refused", "")[:LONGEST_TOLD],
    }
    return _templates.get_template(template).render({**given, **values})
