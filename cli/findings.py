"""What `holdfast doctor` found of one part."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One part: is it `ok`, what was found, and what to do where it isn't."""

    part: str
    ok: bool
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{'OK   ' if self.ok else 'WRONG'}  {self.part:<15} {self.found}"
        return line if self.ok or not self.remedy else f"{line}\n{'':24}do: {self.remedy}"
