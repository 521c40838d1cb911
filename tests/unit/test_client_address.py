"""Whose address counts: the connection's, or what a proxy that we were told of says."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from schemas.errors import SettingError
from web.client_address import address_of, network_of, read_proxies

PROXIES = {"HOLDFAST_PROXIES": "10.0.0.0/8, ::1/128"}


@pytest.mark.parametrize(
    ("peer", "forwarded", "environ", "address"),
    [
        ("203.0.113.7", "198.51.100.1", {}, "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", PROXIES, "203.0.113.7"),
        ("10.1.1.1", "198.51.100.1", PROXIES, "198.51.100.1"),
        ("10.1.1.1", "192.0.2.66, 198.51.100.1, 10.2.2.2", PROXIES, "198.51.100.1"),
        ("10.1.1.1", "", PROXIES, "10.1.1.1"),
        ("10.1.1.1", "nonsense, 10.2.2.2", PROXIES, "10.2.2.2"),
        ("::1", "2001:db8:1:2:aaaa::1", PROXIES, "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", "", {}, "2001:db8:1:2::/64"),
        (None, "198.51.100.1", PROXIES, ""),
    ],
)
def test_the_nearest_address_that_is_no_proxys_counts(
    peer: str | None, forwarded: str, environ: dict[str, str], address: str
) -> None:
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    request = Request({"type": "http", "headers": headers, "client": (peer, 1) if peer else None})
    assert address_of(request, read_proxies(environ)) == address


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(SettingError, match="HOLDFAST_PROXIES"):
        read_proxies({"HOLDFAST_PROXIES": "everybody"})


@pytest.mark.parametrize(
    ("address", "network"),
    [("203.0.113.7", "203.0.113.0/24"), ("2001:db8:1:2::/64", "2001:db8:1::/48"), ("", "")],
)
def test_what_is_kept_of_an_address_is_too_wide_to_be_anybodys(address: str, network: str) -> None:
    assert network_of(address) == network
