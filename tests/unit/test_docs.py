"""What the documents show works: their playbooks validate, their commands exist, their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from activities.registry import find_step_types
from cli.main import COMMANDS
from schemas.catalogue import load_catalogue
from schemas.loader import load_playbooks

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


# The tutorial's playbooks say a word that it adds, and one is wrong on purpose: it has a test of its own.
PLAYBOOKS = [
    (page, text)
    for page in PAGES
    for text in blocks(page, "yaml")
    if text.startswith("playbook:") and page.stem != "tutorial-step"
]


def test_there_is_a_playbook_in_the_readme() -> None:
    assert any(page.name == "README.md" for page, _ in PLAYBOOKS)


@pytest.mark.parametrize(("page", "text"), PLAYBOOKS, ids=[page.stem for page, _ in PLAYBOOKS])
def test_every_playbook_in_the_documents_validates(page: Path, text: str, tmp_path: Path) -> None:
    name = text.split()[1]
    (tmp_path / f"{name}.yaml").write_text(text)
    assert load_playbooks(tmp_path, load_catalogue(), find_step_types()).problems == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_in_the_documents_exists(page: Path) -> None:
    for command in re.findall(r"`?(?:\.venv/bin/)?holdfast ([a-z-]+)", page.read_text()):
        assert command in COMMANDS or command in ("web", "is"), f"{page.name}: holdfast {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_target_that_the_readme_names_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z]+)", (ROOT / "README.md").read_text())) <= targets
