"""Twilio's scheme: HMAC over the URL that it called and the sorted fields of the form.

It has no time, so a replay always fits: what it says must be harmless to hear again. Nothing parts names from values:
`a=bc` and `ab=c` sign alike: fields are checked for their form before they are believed.
Source: twilio.com/docs/usage/webhooks/webhooks-security.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, parse_qsl, urlsplit, urlunsplit

from channels.signatures.refusal import SignatureError, WrongSignatureError

FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 500
_HASHES = {"HMAC_SHA1": hashlib.sha1, "HMAC_SHA256": hashlib.sha256}


def verify(body: bytes, headers: Mapping[str, str], url: str, tokens: Sequence[str]) -> None:
    """Refuse what none of `tokens` signed; `url` is the address that Twilio called, query included."""
    given = headers.get("x-twilio-signature", "").strip()
    if not given:
        raise SignatureError("The request isn't signed: X-Twilio-Signature is needed.")
    digest = _HASHES.get(_algorithm(headers.get("x-twilio-webhooks-signature-settings", "")))
    if digest is None:
        raise SignatureError("The signature's algorithm isn't known.")
    signed = _list_fields(body, headers.get("content-type", ""), url)
    found = False
    for address in _spellings(url):
        for token in tokens:
            made = hmac.new(
                token.encode(), (address + signed).encode("utf-8", "surrogateescape"), digest
            ).digest()
            found |= hmac.compare_digest(base64.b64encode(made), given.encode())
    if not found:
        raise WrongSignatureError("The signature doesn't fit the address and the fields.")


def read_form(body: bytes) -> list[tuple[str, str]]:
    """The fields of a posted form in their order; raises SignatureError for what is none."""
    try:
        return parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"
        )
    except ValueError:
        raise SignatureError("The form can't be read.") from None


def _list_fields(body: bytes, content_type: str, url: str) -> str:
    if content_type.partition(";")[0].strip().lower() in (FORM, ""):
        pairs = sorted(set(read_form(body)))
        return "".join(name + value for name, value in pairs)
    # Of other bodies the address holds the hash, and the address is signed.
    claimed = parse_qs(urlsplit(url).query).get("bodySHA256", [""])[0].lower()
    if not hmac.compare_digest(hashlib.sha256(body).hexdigest().encode(), claimed.encode("utf-8", "replace")):
        raise WrongSignatureError("The body isn't the one that was signed.")
    return ""


def _algorithm(settings: str) -> str:
    for part in settings.split(","):
        name, _, value = part.partition("=")
        if name.strip() == "algorithm" and value.strip():
            return value.strip().upper()
    return "HMAC_SHA1"


def _spellings(url: str) -> tuple[str, ...]:
    """Twilio signs some requests with the port and some without."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return url, urlunsplit(parts._replace(netloc=host)), urlunsplit(parts._replace(netloc=f"{host}:{port}"))
