"""The API's description: OpenAPI 3.1, with who may do what, what goes wrong where, and the tracking API in it."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from schemas.access import GRANTS
from store.reading_changes import ChangeRow
from web.permissions import Declared, endpoints_of
from web.problems import MEDIA_TYPE, PAGES, Problem, title_of
from web.segment import KINDS
from web.stream import KINDS as CHANGES

ABOUT = """Holdfast decides who needs an intervention and carries it out durably.

`/v1` is Segment's HTTP tracking API: point any of its clients here. `/api` is for everything else. Show an
API key as `Authorization: Bearer KEY`, or as the user name of Basic; `/v1` also takes `writeKey` in the body.
Customers and services of yours show a signed token (JWT) as Bearer. `x-permission` says what each operation asks for,
`x-roles` which roles have it; with `x-own-records` customers may do it for themselves.

Every answer carries `success`; every error is a problem (RFC 9457), whose `type` leads to a page about it. Lists take
`limit` and go on with `cursor=<nextCursor>`. Parameters and fields that aren't known, stand twice or are empty, are
answered by 422, and `errors` says which may have been meant. Answers to GET carry an `ETag` and are answered by 304 to
whoever sends it as `If-None-Match`; HEAD is answered as GET, without the body.
That of a playbook is taken as `If-Match` by what changes it: 412 where somebody else was quicker.
`RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` tell what is left of the minute."""

TAGS: Mapping[str, str] = {
    "tracking": "Segment's HTTP tracking API: events in.",
    "customer success": "Health, and who is likely to leave.",
    "interventions": "Starting interventions by hand or by program.",
    "onboarding": "Milestones on the way in.",
    "customers": "One customer as the engine knows it.",
    "consents": "What customers agreed to.",
    "runs": "Playbooks as they run, customer by customer.",
    "tasks": "Calls and tasks of people.",
    "playbooks": "What is live, its versions, and rolling back.",
    "events": "Saying what an event was really like.",
    "records": "What was sent, decided and refused.",
    "providers": "Whom messages are handed to.",
    "push tokens": "Where apps and browsers get notifications.",
    "audit": "Who changed what.",
    "people and keys": "Who works here and with which role, and the keys of programs.",
    "privacy": "Exporting and erasing what is known of a customer.",
    "stream": "Changes as they happen.",
    "system": "How the system itself is, and what somebody must look at.",
    "health": "Whether everything is up.",
}
PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem: what happened and what to do.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}
# Status: its name among the components, what it means, and an example of code, detail and remedy.
_REFUSALS: Mapping[int, tuple[str, str, str, str, str]] = {
    400: ("BadRequest", "The body can't be read, or not in one way only: a field twice, NaN, no UTF-8.", "HF100",
          "The body isn't JSON: Expecting value, in line 1, column 12.", "Send one JSON value in UTF-8."),
    401: ("Unauthorized", "Nobody is known to ask.", "HF150", "An API key is needed.",
          "Send `Authorization: Bearer KEY`, or Basic with the key as user name and no password."),
    403: ("Forbidden", "The role may not do that, or it is about another customer.", "HF161",
          "The role customer has no permission to read.",
          "Use a key or a session of one of the roles csm, ops, service, admin."),
    404: ("NotFound", "There is no such thing.", "HF200", "There is no customer 'supplier-99'.",
          "Ids are the userId of the events."),
    409: ("Conflict", "Its present state doesn't allow it.", "HF300", "The run has ended (success).",
          "Nothing is left to do for it."),
    412: ("PreconditionFailed", "It isn't as If-Match or If-None-Match says; `ETag` is the present one.", "HF331",
          "win-back.yaml isn't as If-Match says any more.",
          "Read it again, take over what is meant, and send the ETag of that answer as If-Match."),
    413: ("TooLarge", "The body is larger than may be: 500 KB under `/v1`, 10 MB for texts of files, else 1 MB.",
          "HF145", "The request's body is larger than 1 MB.", "Send less at once."),
    415: ("UnsupportedMediaType", "The body isn't `application/json` in UTF-8, or it is compressed.", "HF146",
          "This takes JSON, not Content-Type 'text/plain'.", "Send JSON with `Content-Type: application/json`."),
    422: ("Unprocessable", "Something in the request can't be used, or isn't known here; `errors` points at fields.",
          "HF100", "/query/stat: There is no such parameter. Did you mean `state`? There are: state, limit, cursor.",
          "Correct the fields named in errors."),
    429: ("TooMany", "More than one may ask in a minute.", "HF170", "app asks more than 6000 times in a minute.",
          "Wait as long as Retry-After says."),
    503: ("Unavailable", "A part of the system is away; send it again.", "HF400", "The database can't be reached.",
          "Send it again; ids make repetitions harmless."),
}  # fmt: skip
# Besides whatever has an id in its path.
_NOT_FOUND = ("/interventions/trigger", "/push-tokens", "/corrections", "/performance", "/milestone")
_NEVER_CONFLICTS = ("/consents", "/push-tokens", "/push-tokens/forget", "/seen", "/health-score/{userId}")
_INGEST = Declared("ingest")
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
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a signed token (JWT)."},
        "basic": {"type": "http", "scheme": "basic", "description": "The key as user name, no password."},
        "session": {
            "type": "apiKey", "in": "cookie", "name": "holdfast",
            "description": "A person who is signed in; what changes something wants the header X-CSRF, too.",
        },
    }  # fmt: skip
    components["responses"] = {refusal[0]: _refusal(status) for status, refusal in _REFUSALS.items()}
    document["security"] = [{"bearer": []}, {"basic": []}, {"session": []}]
    for one in endpoints_of(app):
        if one.listed:
            _complete(document["paths"][one.path][one.method.lower()], one.method, one.path, one.asked)
    for name in ("batch", *KINDS):
        body = {
            "type": "object",
            "properties": {"batch": {"type": "array", "items": _CALL}},
            "required": ["batch"],
        }
        operation = _describe_ingest(name, body if name == "batch" else _CALL)
        document["paths"][f"/v1/{name}"] = {"post": operation}
        _complete(operation, "POST", f"/v1/{name}", _INGEST)
    _describe_stream(document)
    used = {
        tag for path in document["paths"].values() for one in path.values() for tag in one.get("tags", ())
    }
    names = [name for name in [*TAGS, *sorted(used - set(TAGS))] if name in used]
    document["tags"] = [{"name": name, "description": TAGS.get(name, name)} for name in names]
    app.openapi_schema = document
    return document


def operation_id(method: str, path: str) -> str:
    """The operation's name: getCustomersByUserId, postV1Track."""
    words = (
        re.sub(r"\{(\w+)\}", r"by \1", path.removeprefix("/api")).replace("/", " ").replace("-", " ").split()
    )
    return method.lower() + "".join(word[:1].upper() + word[1:] for word in words)


def _complete(operation: dict[str, Any], method: str, path: str, asked: Declared | None) -> None:
    """What the route itself doesn't say: its name, who may call it, what goes wrong, examples."""
    operation["operationId"] = operation_id(method, path)
    responses = operation["responses"]
    refusals = {400, 503} if path.startswith("/v1/") else {422, 503}
    if asked is None:
        operation["security"] = []
    else:
        operation["x-permission"] = asked.permission
        operation["x-roles"] = [role for role, granted in GRANTS.items() if asked.permission in granted]
        if asked.own:
            operation["x-own-records"] = True
        refusals |= {401, 403, 429}
    if ("{" in path or path.endswith(_NOT_FOUND)) and not path.startswith("/v1/"):
        refusals.add(404)
    if method != "GET" and not path.startswith("/v1/") and not path.endswith(_NEVER_CONFLICTS):
        refusals.add(409)
    if "requestBody" in operation:
        refusals |= {413} if path.startswith("/v1/") else {400, 413, 415}
    if any(one["name"] == "if-match" for one in operation.get("parameters", ())):
        refusals.add(412)
    for status in sorted(refusals):
        responses.setdefault(str(status), {"$ref": f"#/components/responses/{_REFUSALS[status][0]}"})
    if method == "GET" and path.startswith("/api/") and path != "/api/stream":
        responses["304"] = {"description": "It is as If-None-Match says."}
    found = _examples().get(operation["operationId"], {})
    if "request" in found and "requestBody" in operation:
        operation["requestBody"]["content"]["application/json"]["example"] = found["request"]
    if "response" in found:
        status = next(one for one in responses if one.startswith("2"))
        responses[status]["content"]["application/json"]["example"] = found["response"]


@functools.cache
def _examples() -> Mapping[str, Mapping[str, Any]]:
    """By operation: a request and what it was answered, as a real one was."""
    found: Mapping[str, Mapping[str, Any]] = json.loads((Path(__file__).parent / "examples.json").read_text())
    return found


def _refusal(status: int) -> dict[str, Any]:
    _, about, code, detail, remedy = _REFUSALS[status]
    example = {
        "success": False, "type": f"{PAGES}/{code}", "title": title_of(status), "status": status, "detail": detail,
        "instance": "urn:holdfast:request:5d0c1f7e9b2a4c63", "code": code, "remedy": remedy,
    }  # fmt: skip
    told: dict[str, Any] = {
        "description": about,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}},
    }
    if status in (429, 503):
        told["headers"] = {
            "Retry-After": {
                "description": "Seconds until it is worth trying again.",
                "schema": {"type": "integer"},
            }
        }
    return told


def _describe_stream(document: dict[str, Any]) -> None:
    """FastAPI doesn't see what is in a stream."""
    operation = document["paths"].get("/api/stream", {}).get("get")
    if operation is None:
        return
    _, schemas = msgspec.json.schema_components([ChangeRow], ref_template="#/components/schemas/{name}")
    document["components"]["schemas"] |= schemas
    item = {
        "type": "object",
        "properties": {
            "id": {
                "type": "string",
                "description": "Send the last one as Last-Event-ID to go on from there.",
            },
            "event": {
                "type": "string",
                "enum": list(CHANGES),
            },
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {"$ref": "#/components/schemas/ChangeRow"},
            },
        },
        "required": ["event", "data"],
    }
    data = {"kind": "run", "id": "7f0c", "runId": "7f0c", "playbook": "come-back", "userId": "supplier-1",
            "state": "running", "at": "2026-03-02T09:00:00Z"}  # fmt: skip
    operation["responses"]["200"] = {
        "description": "Server-sent events, until the connection ends.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "itemSchema": item,
                "example": f"id: 2026-03-02T09:00:00+00:00\nevent: run\ndata: {json.dumps(data)}\n\n",
            }
        },
    }


def _describe_ingest(name: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "tags": ["tracking"],
        "summary": f"Segment's {name}",
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
