"""What the web process wants to know of the environment, beyond the settings that all processes share."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from schemas.errors import SettingError
from schemas.settings import Settings
from web.client_address import Network, read_proxies
from web.cross_origin import read_origins


@dataclass(frozen=True)
class WebSettings:
    """Checked settings of the HTTP edge.

    `pages_open`: the pages ask for no key (HOLDFAST_PAGES=open, for one's own machine); then they answer only
    under a name of this machine. `temporal_ui` is where the Temporal UI is, without a slash at the end.
    """

    api_keys: tuple[str, ...] = field(default=(), repr=False)
    pages_open: bool = False
    # Whether Temporal's UI on this machine may have payloads opened without a session (HOLDFAST_CODEC).
    codec_open: bool = False
    public_url: str = "http://127.0.0.1:8080"
    temporal_ui: str | None = None
    temporal_namespace: str = "default"
    # Where the sinks of `holdfast dev` are told to play a provider.
    sinks_url: str | None = None
    # Whose X-Forwarded-For is believed (HOLDFAST_PROXIES).
    proxies: tuple[Network, ...] = ()
    # Whose pages may call the API from a browser (HOLDFAST_CORS_ORIGINS).
    cors_origins: frozenset[str] = frozenset()
    # Signs what this process alone reads, where no HOLDFAST_SECRET_KEY is shared by all.
    process_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @classmethod
    def read(cls, settings: Settings) -> WebSettings:
        """From the shared settings. Raises SettingError naming the variable."""
        pages = settings.environ.get("HOLDFAST_PAGES", "locked")
        if pages not in ("open", "locked"):
            raise SettingError(
                f"HOLDFAST_PAGES is {pages!r}.",
                remedy="Set it to open (no key needed, only on one's own machine) or locked.",
            )
        codec = settings.environ.get("HOLDFAST_CODEC", pages)
        if codec not in ("open", "locked"):
            raise SettingError(
                f"HOLDFAST_CODEC is {codec!r}.",
                remedy="Set it to open (only on one's own machine) or locked; without it, it is as HOLDFAST_PAGES.",
            )
        interface = settings.environ.get("HOLDFAST_TEMPORAL_UI")
        if interface is not None and urlsplit(interface).scheme not in ("http", "https"):
            raise SettingError(
                f"HOLDFAST_TEMPORAL_UI is {interface!r}, which is no web address.",
                remedy="Write it like http://127.0.0.1:8233.",
            )
        sinks = settings.environ.get("HOLDFAST_SINKS_URL", "").rstrip("/") or None
        if sinks is not None and (urlsplit(sinks).scheme, urlsplit(sinks).hostname) != ("http", "127.0.0.1"):
            raise SettingError(
                f"HOLDFAST_SINKS_URL is {sinks!r}, but sinks are on this machine alone.",
                remedy="Write it like http://127.0.0.1:2526, or leave it out.",
            )
        return cls(
            api_keys=settings.api_keys,
            pages_open=pages == "open",
            codec_open=codec == "open",
            public_url=settings.public_url,
            temporal_ui=interface.rstrip("/") if interface else None,
            temporal_namespace=settings.temporal_namespace,
            sinks_url=sinks,
            proxies=read_proxies(settings.environ),
            cors_origins=read_origins(settings.environ),
        )

    def link_workflow(self, workflow_id: str, execution_id: str | None = None) -> str | None:
        """Where the Temporal UI shows this workflow, if there is one."""
        if self.temporal_ui is None:
            return None
        where = f"{self.temporal_ui}/namespaces/{quote(self.temporal_namespace, safe='')}/workflows"
        path = f"{where}/{quote(workflow_id, safe='')}"
        return f"{path}/{quote(execution_id, safe='')}" if execution_id else path
