"""Pages from templates: what a page may call, and how moments, numbers and amounts are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from rules.zones import zone_or_default
from schemas.access import Permission, Principal
from web import charts
from web.access import csrf_of
from web.condition_words import tell_check, tell_durations, tell_place, tell_rule
from web.forms import LONGEST_TOLD
from web.plain_words import name_browser, name_step, tell_properties, tell_template, tell_value

HERE = Path(__file__).parent
STATIC = HERE / "static"
_UNITS = (("d", 86400), ("h", 3600), ("min", 60))
NOTHING = "–"

# What each word on a badge means for its colour.
TONES: Mapping[str, str] = {
    word: tone
    for tone, words in {
        "good": "on_time healthy success accepted sent live done reached converted seen entered true granted set asked "
        "improving achieved celebrated active low resolved ready paid delivered",
        "warn": "due_soon at_risk starting retrying unknown held_quiet_hours capped paused shadow observed held_out "
        "overdue expired rescheduled no_answer warning medium declining past_due stale waiting_for_worker bounced "
        "abandoned trialing acknowledged",
        "bad": "critical failed lost declined late unreachable suppressed no_consent error high cancelled immediate "
        "urgent blocked call_required email_bounce billing_issue",
        "busy": "running open claimed waiting trial info new_user draft monitor feature_abandonment",
    }.items()
    for word in words.split()
}

# Words of the record that say too little where they stand alone.
_SAID: Mapping[str, str] = {
    "condition": "trigger doesn't hold", "again_rule": "too soon again", "group": "another of its group",
    "entries": "entry limit", "no_match": "no longer matches",
}  # fmt: skip

# Where the navigation leads, by group; and what else belongs to an entry.
NAVIGATION: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("Customers", (("/", "Overview"), ("/customers", "Customers"), ("/churn", "Churn"), ("/onboarding", "Onboarding"))),
    ("Team", (("/tasks", "Work"), ("/team", "Team"))),
    ("Engine", (("/playbooks", "Playbooks"), ("/runs", "Runs"), ("/outbox", "Outbox"))),
    ("System", (("/alerts", "Alerts"), ("/audit", "Audit"), ("/people", "People"))),
)  # fmt: skip
# Not everybody may open these.
_NEEDED: Mapping[str, Permission] = {"/audit": "audit", "/people": "manage"}


def distance(at: datetime, now: datetime) -> str:
    """How far `at` is from `now`, in its largest whole unit: `3 min ago`, `in 2 d`."""
    seconds = (at - now).total_seconds()
    for unit, size in _UNITS:
        if abs(seconds) >= size:
            told = f"{int(abs(seconds) // size)} {unit}"
            return f"in {told}" if seconds > 0 else f"{told} ago"
    return "in a moment" if seconds > 5 else "just now"


def _moment(value: datetime | None) -> Markup | str:
    if value is None:
        return NOTHING
    at = value.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}" data-ago>{}</time>').format(
        at.isoformat(timespec="seconds"), f"{at:%Y-%m-%d %H:%M:%S} UTC", distance(at, datetime.now(UTC))
    )


def _stamp(value: datetime | None, seconds: bool = False) -> Markup | str:
    """Nov 25, 06:04 (UTC, which is told once beside many): where the order of things matters, `seconds` too."""
    if value is None:
        return NOTHING
    at = value.astimezone(UTC)
    year = "" if at.year == datetime.now(UTC).year else f", {at:%Y}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.isoformat(timespec="seconds"),
        f"{at:%Y-%m-%d %H:%M:%S} UTC",
        f"{at:%b} {at.day}{year}, {at:%H:%M:%S}" if seconds else f"{at:%b} {at.day}{year}, {at:%H:%M}",
    )


def _clock(value: datetime | None, zone: str) -> Markup | str:
    """Tue Nov 24, 10:00 Europe/Berlin: an appointment by somebody's own clock."""
    if value is None:
        return NOTHING
    at = value.astimezone(zone_or_default(zone, "UTC"))
    year = "" if at.year == datetime.now(UTC).year else f", {at:%Y}"
    return Markup('<time datetime="{}" title="{}">{}</time> <span class="small">{}</span>').format(
        at.isoformat(timespec="seconds"),
        f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        f"{at:%a %b} {at.day}{year}, {at:%H:%M}",
        str(at.tzinfo).replace("_", " "),
    )


def _day(value: date | datetime | None) -> Markup | str:
    if value is None:
        return NOTHING
    year = "" if value.year == datetime.now(UTC).year else f", {value:%Y}"
    return Markup('<time datetime="{}">{}</time>').format(
        f"{value:%Y-%m-%d}", f"{value:%b} {value.day}{year}"
    )


def count(value: float | None) -> str:
    """12,345; a number that isn't whole keeps at most one digit after the point; – for None."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:,.1f}"


def money(value: float | None) -> str:
    """$1,234; below 1,000 with cents where there are any; – for None."""
    if value is None:
        return NOTHING
    cents = abs(value) < 1000 and round(value, 2) != round(value)
    sign = "−" if round(value, 2) < 0 else ""
    return f"{sign}${abs(value):,.2f}" if cents else f"{sign}${abs(value):,.0f}"


def dollars(value: float | None) -> str:
    """$750: an amount that is estimated, to the dollar; below ten with cents; – for None."""
    return money(value if value is None or abs(value) < 10 else round(value))


def money_short(value: float | None) -> str:
    """$21.5M, $340k: an amount to be taken in at a glance; below 10,000 in full."""
    if value is None or abs(value) < 10_000:
        return dollars(value)
    sizes = ((1_000_000_000, "B"), (1_000_000, "M"), (1000, "k"))
    size, unit = next(one for one in sizes if abs(value) >= one[0] * 0.9995)
    told = (
        f"{abs(value) / size:,.1f}".removesuffix(".0")
        if abs(value) < 100 * size
        else f"{abs(value) / size:,.0f}"
    )
    return f"{'−' if value < 0 else ''}${told}{unit}"


def percent(value: float | None, digits: int = 0) -> str:
    """A share (0–1) as 73 %; – for None."""
    if value is None:
        return NOTHING
    told = f"{100 * value:,.{digits}f}"
    return f"{told.replace('-', '−')}\N{NO-BREAK SPACE}%"


def signed(value: float | None) -> str:
    """+5, −3, ±0: a change; – for None."""
    if value is None:
        return NOTHING
    told = count(abs(value))
    return f"±{told}" if told == "0" else f"+{told}" if value > 0 else f"−{told}"


def _plain(value: object) -> str:
    """A value as a person would write it."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return ", ".join(_plain(part) for part in value) or NOTHING
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(part)}" for key, part in value.items()) or NOTHING
    return str(value)


def _say(word: str) -> str:
    return _SAID.get(word) or word.replace("_", " ")


def _badge(word: object, tone: str | None = None) -> Markup:
    told = _plain(word)
    return Markup('<span class="badge {}">{}</span>').format(tone or TONES.get(told, "plain"), _say(told))


def _ticked(written: str) -> Markup:
    """What stands between backticks as code."""
    parts = written.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts)
    )


def _breakable(written: str) -> Markup:
    """An address that may go on in the next line before its @."""
    name, at, host = written.partition("@")
    return Markup("{}<wbr>{}").format(name, at + host) if at else Markup.escape(name)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        moment=_moment, ago=_moment, stamp=_stamp, day=_day, plain=_plain, badge=_badge, clock=_clock,
        count=count, money=money, dollars=dollars, money_short=money_short, percent=percent, signed=signed,
        ticked=_ticked, step_name=name_step, rule=tell_rule, template_text=tell_template, properties=tell_properties,
        browser_name=name_browser, worded=tell_value, breakable=_breakable, check_words=tell_check,
        rule_place=tell_place, said=_say, durations=tell_durations,
    )  # fmt: skip
    environment.globals.update(spark=charts.spark, diverging=charts.diverging, percent_of=percent)
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
