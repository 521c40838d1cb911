"""Every form that a signed-in person posts carries their session's token; those for strangers are known by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TEMPLATES = Path(__file__).parents[2] / "web" / "templates"
# Whoever has the link may: customers, and people who aren't signed in yet.
FOR_STRANGERS = {"book.html", "preferences.html", "sign_in.html", "unsubscribe.html", "welcome.html"}
FORM = re.compile(r"<form\b[^>]*>.*?</form>", re.DOTALL)
FIELD = r'name="csrf" value="\{\{ csrf \}\}"'
# Macros that write the field, by whatever name templates gave them.
MACROS = {
    found[1]
    for path in TEMPLATES.glob("*.html")
    for found in re.finditer(
        r"\{% macro (\w+)\([^)]*\) %\}(.*?)\{% endmacro %\}", path.read_text("utf-8"), re.DOTALL
    )
    if re.match(rf"\s*<input type=\"hidden\" {FIELD}", found[2])
}
TOKEN = re.compile(rf"{FIELD}|\{{\{{ (\w+\.)?({'|'.join(sorted(MACROS))})\(")
FORMS = [
    (path.name, form)
    for path in sorted(TEMPLATES.glob("*.html"))
    for form in FORM.findall(path.read_text(encoding="utf-8"))
    if 'method="post"' in form.partition(">")[0]
]


@pytest.mark.parametrize(("name", "form"), FORMS, ids=[f"{name}-{n}" for n, (name, _) in enumerate(FORMS)])
def test_a_posted_form_carries_the_token(name: str, form: str) -> None:
    assert bool(TOKEN.search(form)) != (name in FOR_STRANGERS)


def test_there_are_forms() -> None:
    assert len(FORMS) > 10
    assert {name for name, _ in FORMS} >= FOR_STRANGERS
