"""`/problems/{code}`: what a problem's `type` leads to: what its code says, and what to do."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response
from markupsafe import Markup, escape

from schemas.errors import NotFoundError
from web.problems import PAGES
from web.rendering import render

# Open to everybody, as the codes say nothing of anybody.
router = APIRouter(include_in_schema=False)
EXPLAINED = Path(__file__).parents[1] / "docs" / "problems" / "errors.md"
_ROW = re.compile(r"^\| (HF[0-9]{3}) \| (.+) \| (.+) \|$", re.M)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Explanation:
    """What a code says and what to do, as docs/problems/errors.md has it."""

    code: str
    says: Markup
    remedy: Markup


@router.get(PAGES)
async def problems(request: Request) -> Response:
    """Every code."""
    return render(request, "problem_codes.html", codes=list(explanations().values()), one=False)


@router.get(f"{PAGES}/{{code}}")
async def problem(request: Request, code: str) -> Response:
    """One code."""
    found = explanations().get(code.upper())
    if found is None:
        raise NotFoundError(f"There is no code {code[:20]!r}.", remedy=f"{PAGES} lists them all.")
    return render(request, "problem_codes.html", codes=[found], one=True)


@functools.cache
def explanations() -> Mapping[str, Explanation]:
    """By code; none where this was installed without its docs."""
    written = EXPLAINED.read_text(encoding="utf-8") if EXPLAINED.exists() else ""
    return {
        code: Explanation(code, _plain(says), _plain(remedy)) for code, says, remedy in _ROW.findall(written)
    }


def _plain(markdown: str) -> Markup:
    """A cell as HTML: its code as code, its links by their words, as they lead within docs/."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(_LINK.sub(r"\1", markdown)))))  # noqa: S704 - escaped
