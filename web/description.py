"""The API's description: OpenAPI 3.1, with the tracking API, which FastAPI doesn't see."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from web.problems import MEDIA_TYPE, Problem
from web.segment import KINDS

ABOUT = """Holdfast decides who needs an intervention and carries it out durably.

`/v1` is Segment's HTTP tracking API: point any of its clients here. `/api` is for everything else. Show an
API key as `Authorization: Bearer KEY`, or as the user name of Basic; `/v1` also takes `writeKey` in the body.
Every answer carries
`success`; every error is a problem (RFC 9457)."""

PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem: what happened and what to do.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}
_CALL = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": list(KINDS)},
        "userId": {"type": "string", "maxLength": 200},
        "messageId": {"type": "string", "maxLength": 200, "description": "Makes repetitions harmless."},
        "event": {"type": "string", "maxLength": 200},
        "properties": {"type": "object"},
        "traits": {"type": "object"},
        "timestamp": {"type": "string", "format": "date-time"},
    },
    "required": ["userId"],
}
_TAKEN = {
    "type": "object",
    "properties": {
        "success": {"type": "boolean"},
        "accepted": {"type": "integer"},
        "rejected": {"type": "integer", "description": "How many went to the dead letters."},
    },
    "required": ["success", "accepted", "rejected"],
}


def describe_api(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(title="Holdfast", version=app.version, description=ABOUT, routes=app.routes)
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = _inline(Problem.model_json_schema())
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "basic": {"type": "http", "scheme": "basic", "description": "The key as user name, no password."},
    }
    document["security"] = [{"bearer": []}, {"basic": []}]
    document["paths"]["/healthz"]["get"]["security"] = []
    for name in ("batch", *KINDS):
        body = {
            "type": "object",
            "properties": {"batch": {"type": "array", "items": _CALL}},
            "required": ["batch"],
        }
        document["paths"][f"/v1/{name}"] = {
            "post": _describe_ingest(name, body if name == "batch" else _CALL)
        }
    app.openapi_schema = document
    return document


def _describe_ingest(name: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "tags": ["tracking"],
        "summary": f"Segment's {name}",
        "operationId": f"track_{name}",
        "description": "Answered after the commit. Calls that can't be taken become dead letters; the "
        "others are stored.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {"description": "Stored.", "content": {"application/json": {"schema": _TAKEN}}},
            **PROBLEM_RESPONSES,
        },
    }


def _inline(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without definitions of its own, so that it can stand among the components."""
    definitions = schema.pop("$defs", {})
    schema["properties"]["errors"]["items"] = definitions["FieldProblem"]
    return schema
