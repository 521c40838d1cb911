"""Editing a file of playbooks from afar: what is wrong with a text, and publishing it if nobody was quicker."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from activities.registry import find_step_types
from loops.playbook_files import Files, file_name, read_paths
from loops.publishing import ATTEMPTS, publish_within
from loops.workspace import as_in, check_file, lay_out
from rules.textual import diff_texts
from schemas.access import Principal
from schemas.catalogue import Catalogue
from schemas.compiled_cache import CompiledCache
from schemas.draft import Checked, EditedMeanwhileError, Opened, PublishedDraft
from schemas.errors import ConflictError, InputError, NotFoundError, PlaybookError
from schemas.file_selection import BESIDE_PLAYBOOKS, HEALTH, TEMPLATES
from schemas.loader import load_paths
from store.audit import current_actor, record_change
from store.database import DATABASE_AWAY, Connection, Database
from store.health_versions import PREFIX
from store.playbooks import lock_publishing
from store.publications import list_publications
from store.reading_playbooks import load_source

LONGEST_NOTE = 500


def check_draft(
    directory: Path, catalogue: Catalogue, file: str, text: str, cache: CompiledCache | None = None
) -> Checked:
    """What `holdfast validate` says of `file` if it said `text`, everything else in `directory` being as it is.

    A playbook is looked at by itself; for a template, a health model or the policy also who uses it.
    Raises InputError for what can't be a file's name.
    """
    with lay_out(directory, file, text) as space:
        alone = _is_playbook(file)
        loaded = load_paths([space / file if alone else space], catalogue, find_step_types(), cache)
        problems = [as_in(directory, space, problem) for problem in loaded.problems]
    playbook = loaded.playbooks.get(Path(file).stem) if alone else None
    mine = str(directory / file)
    if not alone:
        # What was wrong elsewhere before isn't this file's doing, but what it breaks is.
        known = (
            set(load_paths([directory], catalogue, find_step_types(), cache).problems)
            if directory.is_dir()
            else ()
        )
        problems = [one for one in problems if one.file == mine or one not in known]
    return Checked(problems, playbook)


async def open_file(database: Database, directory: Path, file: str) -> Opened:
    """The file as it lies in `directory`, else as it was published last. Raises NotFoundError, InputError."""
    async with database.transaction() as connection:
        return await _open(connection, directory, file)


async def publish_draft(
    database: Database,
    directory: Path,
    catalogue: Catalogue,
    file: str,
    text: str,
    *,
    based_on: str,
    note: str,
    actor: Principal,
) -> PublishedDraft:
    """Make `file` say `text` and publish it, as `holdfast apply` does, in one go; `based_on` is that of `open_file`,
    empty for a new file.

    Raises EditedMeanwhileError where the file or what is live is another by now, PlaybookError with every error.
    """
    if len(note) > LONGEST_NOTE:
        raise InputError(f"A note has at most {LONGEST_NOTE} characters.", remedy="Shorten it.")
    check_file(file)
    if not directory.is_dir():
        raise ConflictError(
            f"This process has no directory {directory}, so there is nothing to publish from.",
            remedy="Set HOLDFAST_PLAYBOOKS of the web process, or use `holdfast apply` where the files are.",
        )
    text = await asyncio.to_thread(_with_its_line_ends, directory / file, text)
    with lay_out(directory, file, text) as space:
        [files] = await asyncio.to_thread(read_paths, [space / file], catalogue)
        errors = [as_in(directory, space, one) for one in files.errors if file_name(one.file) == file]
        if not errors and _is_playbook(file) and Path(file).stem not in files.playbooks:
            errors = [as_in(directory, space, one) for one in files.errors]
        if errors:
            raise PlaybookError(errors)
        # What else is wrong, as with playbooks that use a template, was so before.
        files = replace(files, problems=[])
        for attempt in range(ATTEMPTS):
            try:
                return await _publish(database, directory, file, text, files, based_on, note, actor)
            except DATABASE_AWAY:
                if attempt + 1 == ATTEMPTS:
                    raise
                await asyncio.sleep(0.1 * 2**attempt)
    raise AssertionError("unreachable")


async def _publish(
    database: Database,
    directory: Path,
    file: str,
    text: str,
    files: Files,
    based_on: str,
    note: str,
    actor: Principal,
) -> PublishedDraft:
    undo: Callable[[], None] | None = None
    # Whatever is published inside is written down as theirs.
    token = current_actor.set(actor)
    try:
        async with database.transaction() as connection:
            # From here on nobody else publishes: what is compared stays true until the file is written.
            await lock_publishing(connection)
            now = await database.clock.read(connection)
            await refuse_if_edited(connection, directory, file, text, based_on)
            changes = await publish_within(connection, files, now, author=actor.name, note=note)
            if not changes:
                await _note_edit(connection, actor, file, text)
            # Before the commit, so that whoever watches the directory finds live what they read.
            # Not in a thread: nothing may come between writing it and knowing how to undo that.
            written, kept, undo = _write(directory / file, text)
    except BaseException:
        if undo is not None:
            undo()
        raise
    finally:
        current_actor.reset(token)
    told = [(change.name, change.describe()) for change in changes]
    return PublishedDraft(told, str(written) if written else None, kept)


async def refuse_if_edited(
    connection: Connection, directory: Path, file: str, text: str, based_on: str
) -> None:
    """Raises EditedMeanwhileError, with the difference to `text`, unless the file is as `based_on` says."""
    try:
        now = await _open(connection, directory, file)
    except NotFoundError:
        if based_on:
            raise EditedMeanwhileError(f"{file} is gone since you opened it.", [], "") from None
        return
    if now.based_on == based_on:
        return
    who = f" {now.author} published it last." if now.author else ""
    what = f"{file} is there already." if not based_on else f"{file} was changed since you opened it.{who}"
    lines = diff_texts(file, ("as it is now", now.text), ("as you have it", text))
    raise EditedMeanwhileError(what, lines, now.based_on)


async def _open(connection: Connection, directory: Path, file: str) -> Opened:
    check_file(file)
    name = publication_name(file)
    last = await list_publications(connection, name=name, limit=1) if name else []
    published = last[0] if last else None
    live = await load_source(connection, published.id) if published else ""
    there = await asyncio.to_thread(_read, directory / file)
    if there is None and not live:
        raise NotFoundError(f"There is no {file} in {directory}.", remedy="Begin a new one.")
    text = live if there is None else there
    digest = hashlib.sha256(there.encode()).hexdigest()[:20] if there is not None else ""
    return Opened(
        file,
        text.replace("\r\n", "\n"),
        f"{digest}.{published.id if published else 0}",
        there is not None,
        there is not None and live != "" and there != live,
        published.author if published else "",
        published.at if published else None,
    )


def publication_name(file: str) -> str:
    """What the publications of a file are called; templates have none of their own."""
    home, _, name = file.rpartition("/")
    stem = Path(name).stem
    return "" if home == TEMPLATES else PREFIX + stem if home == HEALTH else stem


async def _note_edit(connection: Connection, actor: Principal, file: str, text: str) -> None:
    """Write down that a file is another, where nothing that is live is: a template that nobody uses, say."""
    kind = {HEALTH: "health_model", TEMPLATES: "template"}.get(file.rpartition("/")[0], "playbook")
    kind = Path(file).stem if file in BESIDE_PLAYBOOKS else kind
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:20]
    await record_change(
        connection,
        actor,
        f"{kind}.edited",
        object_kind=kind,
        object_id=Path(file).stem,
        after={"text": digest},
    )


def _is_playbook(file: str) -> bool:
    return "/" not in file and file not in BESIDE_PLAYBOOKS


def _with_its_line_ends(path: Path, text: str) -> str:
    """The text with lines ending as those of the file do."""
    before = _read(path) or ""
    ends = "\r\n" if before.count("\r\n") * 2 > before.count("\n") else "\n"
    return text.replace("\r\n", "\n").replace("\n", ends)


def _write(path: Path, text: str) -> tuple[Path | None, str, Callable[[], None] | None]:
    """Give the file this text, at once or not at all; where it can't be written says why. The last undoes it."""
    # What is a link stays one.
    path = path.resolve() if path.is_symlink() else path
    before = _read_bytes(path)
    content = text.encode("utf-8")
    if before == content:
        return path, "", None
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(exist_ok=True)
        unfinished.write_bytes(content)
        if before is not None:
            unfinished.chmod(path.stat().st_mode & 0o777)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        return None, f"{path} can't be written: {error.strerror}", None

    def undo() -> None:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(before)

    return path, "", undo


def _read_bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _read(path: Path) -> str | None:
    content = _read_bytes(path)
    return None if content is None else content.decode("utf-8", "replace")
