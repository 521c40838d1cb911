"""What is looked for where it mustn't be: a string for each thing that is known of a person, in every writing of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

# Each field holds its own, so that what is found says where it came from.
PERSON: Mapping[str, str] = {
    "external_id": "kanarie-id-4b1f",
    "first_name": "Kanarienvogel7f3a",
    "last_name": "Zeisig9c2e",
    "email": "kanarie.mail.51d8@example.com",
    "phone": "+4915123987406",
    "business_name": "Vogelhaus81ac GmbH",
    "address": "Nistkasten4d77 3",
    "nickname": "Hanfsamen3e90",
    "note": "Zwitschert2b6d am Morgen",
    "reply": "Piepst5fe1 zurueck",
    "providers_words": "Schnabel60c3",
    "dead_letter": "Feder72ab",
    "wrong_request": "Kralle18dd",
}


def writings(text: str) -> set[bytes]:
    """`text` as it may stand in a file: plain, in JSON, in a URL, in UTF-16, and in base64 wherever it begins."""
    plain = text.encode()
    found = {plain, json.dumps(text)[1:-1].encode(), quote(text, safe="").encode(), text.encode("utf-16-le")}
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + plain)
        # Without the letters that depend on what stands before and after.
        found.add(coded[4 if before else 0 : len(coded) - 4])
    return found


def find(data: bytes, sought: Mapping[str, str]) -> set[str]:
    """The names of those of `sought` that stand in `data`, in whatever case."""
    low = data.lower()
    return {
        name
        for name, text in sought.items()
        if any(one in data or one.lower() in low for one in writings(text))
    }


def find_in_files(paths: Iterable[Path], sought: Mapping[str, str]) -> dict[str, set[str]]:
    """What was found, by the name of the file."""
    found = {path.name: find(path.read_bytes(), sought) for path in paths if path.is_file()}
    return {name: names for name, names in found.items() if names}
