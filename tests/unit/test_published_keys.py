"""What issuers publish is read from where it can be trusted, also when somebody leads elsewhere on the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from urllib.request import Request

import pytest

from web.published_keys import _SafeRedirects, read_json


@contextmanager
def leading_to(target: str) -> Iterator[str]:
    """The address of a server whose `/there` says {"here": 1}, and which leads to `target` from everywhere else."""

    class Leading(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/there"
            self.send_response(200 if found else 302)
            if not found:
                self.send_header("Location", target)
            self.end_headers()
            self.wfile.write(b'{"here": 1}' if found else b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Leading) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/keys"
        server.shutdown()
        serving.join()


def test_an_address_on_the_same_machine_may_lead_to_another_one_there() -> None:
    with leading_to("/there") as url:
        assert read_json(url) == {"here": 1}


@pytest.mark.parametrize(
    "target", ["http://keys.invalid/jwks", "http://169.254.169.254/latest", "ftp://127.0.0.1/x"]
)
def test_nobody_leads_us_to_where_nothing_can_be_trusted(target: str) -> None:
    with leading_to(target) as url, pytest.raises(ValueError, match="redirected"):
        read_json(url)


@pytest.mark.parametrize("target", ["http://127.0.0.1:8233/", "http://localhost/jwks", "file:///etc/passwd"])
def test_nobody_leads_us_away_from_https(target: str) -> None:
    with pytest.raises(ValueError, match="redirected"):
        _SafeRedirects().redirect_request(
            Request("https://id.example.com/jwks"), BytesIO(), 302, "", {}, target
        )
