"""Which methods there are for a path: several routes may share one, and a router knows only of the first."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI

from web.heads import has_head
from web.permissions import Endpoint, endpoints_of


def methods_of(app: FastAPI, path: str) -> list[str]:
    """The methods of the path that is meant: of those that fit the one that is written out, else the first."""
    known: Sequence[Endpoint] | None = getattr(app.state, "endpoints", None)
    if known is None:
        known = app.state.endpoints = list(endpoints_of(app))
    fitting = [one for one in known if one.regex is not None and one.regex.match(path)]
    meant = next((one.path for one in fitting if one.path == path), fitting[0].path if fitting else None)
    methods = {one.method for one in fitting if one.path == meant}
    if "GET" in methods and has_head(path):
        methods.add("HEAD")
    return sorted(methods)
