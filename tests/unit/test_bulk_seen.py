"""What a preview showed travels with its form, and what became otherwise since is told apart."""

from __future__ import annotations

from uuid import uuid4

import pytest

from schemas.errors import InputError
from store.bulk_entries import EntryPreview
from web.bulk_seen import compare, read_seen, write_seen
from web.forms import LARGEST_BYTES
from web.page_bulk import MOST_AT_ONCE

A, B, C = (str(uuid4()) for _ in range(3))


def look(id_: str, reason: str) -> EntryPreview:
    return EntryPreview(id_, f"their {id_}", reason == "entered", reason == "held_out", reason, "")


def test_what_was_seen_comes_back_as_it_was() -> None:
    seen = [look(A, "entered"), look(B, "no_consent"), look(C, "entered")]
    assert read_seen(write_seen(seen)) == {A: "entered", B: "no_consent", C: "entered"}
    assert read_seen(write_seen([])) == {}


def test_as_many_as_may_be_started_at_once_fit_into_a_form_with_room_to_spare() -> None:
    many = [look(str(uuid4()), ("entered", "no_consent", "group")[at % 3]) for at in range(MOST_AT_ONCE)]
    written = write_seen(many)
    assert len(written) < LARGEST_BYTES * 0.7
    assert len(read_seen(written)) == MOST_AT_ONCE


@pytest.mark.parametrize("written", ["entered", "entered.AAAA", "entered.?", "Entered.", "x.ä", "a.*"])
def test_a_form_that_was_cut_is_refused(written: str) -> None:
    with pytest.raises(InputError, match="isn't whole"):
        read_seen(written)


def test_who_came_who_went_and_who_would_enter_only_now_are_told_apart() -> None:
    shown = {A: "entered", B: "no_consent"}
    same = compare(shown, [look(A, "entered"), look(B, "no_consent")])
    assert (same.came, same.gone, same.entering, same.grew) == ([], [], [], False)
    less = compare(shown, [look(A, "already_running")])
    assert (less.gone, less.grew) == ([B], False)
    more = compare(shown, [look(A, "entered"), look(B, "entered"), look(C, "no_consent")])
    assert [one.customer_id for one in more.came] == [C]
    assert [one.customer_id for one in more.entering] == [B]
    assert more.grew
