"""What a step `set` says of a customer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def traits_of(args: Mapping[str, Any], signals: Mapping[str, Any]) -> dict[str, Any]:
    """The traits of an identify call: attributes as written, and the tags with one more or one less."""
    found = dict(args.get("attributes") or {})
    tags = [tag for tag in signals.get("tags") or () if tag != args.get("untag")]
    if args.get("tag") and args["tag"] not in tags:
        tags.append(args["tag"])
    if args.get("tag") or args.get("untag"):
        found["tags"] = tags
    return found
