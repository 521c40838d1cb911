"""The arguments of a step with their texts rendered for one customer."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from channels.header import clean_text
from channels.rendering import render_part
from schemas.argument import find_arguments


def render_arguments(
    model: type[BaseModel], args: Mapping[str, Any], context: Mapping[str, Any]
) -> dict[str, Any]:
    """`args`, as `model` dumped them, with the text of each `Part` in its place. Raises RenderError."""
    rendered: dict[str, Any] = copy.deepcopy(dict(args))
    for found in find_arguments(model, args, as_written=False):
        if found.kind not in ("text", "html"):
            continue
        place: Any = rendered
        for key in found.path[:-1]:
            place = place[key]
        place[found.path[-1]] = clean_text(render_part(found.value, context, html=found.kind == "html"))
    return rendered
