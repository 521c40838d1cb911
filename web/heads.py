"""HEAD of whatever GET answers: the same, without its body."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What GET begins here has no end, or is good but once: whoever only looks must not use it up.
NOT_HERE = ("/api/stream", "/changes", "/sign-in/oidc")


def has_head(path: str) -> bool:
    """Whether HEAD of this path is answered, where GET is."""
    return not path.startswith(NOT_HERE)


class Heads:
    """Asks for what is behind it by GET, and passes on all but the body; 405 of streams is theirs to say."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or not has_head(scope["path"]):
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        # A copy: the server reads its own, to know that no body follows.
        await self._app({**scope, "method": "GET"}, receive, without_body)
