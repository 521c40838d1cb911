"""Where a request comes from: what the connection says, or a proxy of ours that we were told of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.requests import Request

from schemas.errors import SettingError

# What proxies add, besides X-Forwarded-….
_FORWARDED = ("forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip")
Network = IPv4Network | IPv6Network


def read_proxies(environ: Mapping[str, str]) -> tuple[Network, ...]:
    """The networks of HOLDFAST_PROXIES, between commas. Raises SettingError."""
    written = environ.get("HOLDFAST_PROXIES", "")
    try:
        return tuple(ip_network(part.strip(), strict=False) for part in written.split(",") if part.strip())
    except ValueError as error:
        raise SettingError(
            f"HOLDFAST_PROXIES is {written!r}, which are no networks.",
            remedy="Write them like 10.0.0.0/8,127.0.0.1: only those whose X-Forwarded-For can be believed.",
        ) from error


def network_of(address: str) -> str:
    """The network of an address that `address_of` gave, too wide to be anybody's: /24, of IPv6 /48."""
    if not address:
        return ""
    network = ip_network(address)
    return str(network.supernet(new_prefix=24 if network.version == 4 else 48))


def is_forwarded(request: Request) -> bool:
    """Whether a proxy says that somebody else asks: then it isn't this machine, wherever the connection comes from."""
    return any(name in _FORWARDED or name.startswith("x-forwarded-") for name in request.headers)


def address_of(request: Request, proxies: Sequence[Network]) -> str:
    """The address nearest to us that isn't a proxy's; of IPv6 the /64 that one subscriber has."""
    hops = [request.client.host if request.client else ""]
    hops += reversed([part.strip() for part in request.headers.get("x-forwarded-for", "").split(",")])
    nearest = ""
    for hop in hops:
        try:
            at = ip_address(hop)
        except ValueError:
            break
        nearest = str(ip_network((at, 64), strict=False)) if isinstance(at, IPv6Address) else str(at)
        if not any(at in network for network in proxies):
            break
    return nearest
