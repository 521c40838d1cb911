"""What holds of the style sheets together."""

from __future__ import annotations

import re
from pathlib import Path

STYLES = Path(__file__).parents[2] / "web" / "static"
RULE = re.compile(r"(?m)^\.scroll \{([^}]*)\}")


def test_what_scrolls_holds_what_is_hidden_in_it_on_every_page() -> None:
    # Else labels for screen readers, which are placed absolutely, make a narrow page as wide as the table that scrolls.
    [shared] = RULE.findall((STYLES / "holdfast.css").read_text(encoding="utf-8"))
    assert "position: relative" in shared
    assert "overflow-x: auto" in shared
    for sheet in STYLES.glob("*.css"):
        if sheet.name != "holdfast.css":
            assert RULE.findall(sheet.read_text(encoding="utf-8")) == [], sheet.name
