"""What `holdfast doctor` says of what the environment sets."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from cli.findings import Finding
from cli.surroundings import NAMING
from schemas.settings import Settings

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def examine_system(settings: Settings) -> Finding:
    """Which system is looked at."""
    named = [name for name in NAMING if settings.environ.get(name)]
    if "HOLDFAST_DATABASE_URL" not in named:
        return Finding(
            "system", False, "no system is named, and no `holdfast dev` runs in this directory",
            "Start `holdfast dev`, or set HOLDFAST_DATABASE_URL and TEMPORAL_ADDRESS.",
        )  # fmt: skip
    return Finding("system", True, f"named by {' and '.join(named)}")


def examine_secrets(settings: Settings) -> Iterator[Finding]:
    """Whether there are a secret key and API keys."""
    settings.require_secret_key()
    yield Finding("secrets", True, f"secret key and {len(settings.require_api_keys())} API key(s) are set")


def examine_links(settings: Settings) -> Finding:
    """Whether customers can follow the links in messages: from anywhere, and with one click only by https."""
    url = settings.public_url
    remedy = "Set HOLDFAST_PUBLIC_URL to the https address at which customers reach `holdfast web`."
    if "HOLDFAST_PUBLIC_URL" not in settings.environ:
        return Finding("links", False, f"HOLDFAST_PUBLIC_URL is not set: links lead to {url}", remedy)
    if urlsplit(url).hostname in LOOPBACK:
        return Finding("links", True, f"links in messages lead to {url}, which is this machine")
    if urlsplit(url).scheme != "https":
        return Finding(
            "links", False, f"links lead to {url}: mail programs unsubscribe by https only", remedy
        )
    return Finding("links", True, f"links in messages lead to {url}")


def examine_web(settings: Settings) -> Iterator[Finding]:
    """What `holdfast web` reads of the environment before it starts, and refuses to start for."""
    from channels.hook_sources import make_sources
    from web.limits import Limits
    from web.metrics import read_access
    from web.oidc import OidcProvider
    from web.settings import WebSettings
    from web.user_tokens import UserTokens

    chosen = WebSettings.read(settings)
    Limits.read(settings)
    read_access(settings)
    make_sources(settings.environ, settings.public_url)
    tokens, oidc = UserTokens.read_settings(settings), OidcProvider.read_settings(settings, "")
    found = "pages are open on this machine" if chosen.pages_open else "pages ask people to sign in"
    if oidc is not None:
        found += ", also by an identity provider"
    if tokens is not None:
        found += "; signed tokens are let in"
    if chosen.cors_origins:
        found += f"; pages of {', '.join(sorted(chosen.cors_origins))} may call the API"
    yield Finding("web", True, found)


def examine_rules(settings: Settings) -> Iterator[Finding]:
    """Which evaluator decides, and whether it can be had."""
    if settings.rules_engine == "durable_rules":
        from rules.durable import load_library

        load_library()
    yield Finding("rules", True, f"conditions are evaluated by {settings.rules_engine}")


def examine_ports(settings: Settings) -> Iterator[Finding]:
    """Where nothing runs: what the next `holdfast dev` will find; it steps around busy ones."""
    from loops.development import DEFAULT_PORTS
    from loops.ports import is_free

    if settings.database_url is not None:
        return
    busy = [f"{port} ({name})" for name, port in DEFAULT_PORTS.items() if not is_free(port)]
    found = (
        f"busy, so `holdfast dev` will take others: {', '.join(busy)}"
        if busy
        else "those of `holdfast dev` are free"
    )
    yield Finding("ports", True, found)
