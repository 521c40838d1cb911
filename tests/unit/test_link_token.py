"""Tokens of links: read as they were signed, by nobody else's key, and for nothing else than they were signed for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.links import EXAMPLE_LINKS, NO_LINKS, LinkMaker
from schemas.link_token import LinkKey, LinkToken

KEY = LinkKey("s" * 32)
ADA = "0f8fad5b-d9cb-469f-a165-70867728950e"
MAIL = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
TIPS = LinkToken("unsubscribe", ADA, "email", "tips", MAIL)

tokens = st.builds(
    LinkToken,
    st.sampled_from(("unsubscribe", "preferences")),
    st.uuids(allow_nil=False).map(str),
    st.sampled_from(("email", "sms", "whatsapp", "push", "in_app", "")),
    st.from_regex(r"[a-z0-9]{1,9}(-[a-z0-9]{1,9})?", fullmatch=True) | st.just(""),
    st.none() | st.uuids(allow_nil=False).map(str),
)


@given(tokens)
def test_what_was_signed_is_read_and_the_same_is_signed_the_same(token: LinkToken) -> None:
    written = KEY.sign(token)
    assert KEY.read(written, token.purpose) == token
    assert KEY.sign(token) == written


@given(tokens, st.data())
def test_whatever_character_is_changed_it_is_no_link_any_more(token: LinkToken, data: st.DataObject) -> None:
    written = KEY.sign(token)
    place = data.draw(st.integers(0, len(written) - 2))
    other = data.draw(st.sampled_from("ABCxyz019-_").filter(lambda letter: letter != written[place]))
    assert KEY.read(written[:place] + other + written[place + 1 :], token.purpose) is None


@pytest.mark.parametrize(
    "written", ["", "x", "A" * 64, "A" * 65, "A" * 10_000, "ä" * 80, f"{KEY.sign(TIPS)}=", "../../etc"]
)
def test_what_nobody_signed_is_no_link(written: str) -> None:
    assert KEY.read(written, "unsubscribe") is None


def test_a_link_is_good_for_its_purpose_alone_and_for_its_key() -> None:
    assert KEY.read(KEY.sign(TIPS), "preferences") is None
    assert LinkKey("t" * 32).read(KEY.sign(TIPS), "unsubscribe") is None


def test_links_of_a_former_key_stay_good_while_it_is_listed() -> None:
    both = LinkKey(f"{'t' * 32} {'s' * 32}")
    assert both.read(KEY.sign(TIPS), "unsubscribe") == TIPS
    assert both.sign(TIPS) == LinkKey("t" * 32).sign(TIPS)


def test_links_in_mails_of_today_are_read_by_every_later_version() -> None:
    written = "AXUPj61b2ctGn6FlcIZ3KJUOfJ5meXQlQN6US-B_wfkK52VtYWlsOnRpcHPQEeVAaoQ8QnM_BAWMYBq6"
    assert KEY.read(written, "unsubscribe") == TIPS


def test_the_links_of_a_message_name_its_channel_topic_and_delivery() -> None:
    wishes = LinkToken("preferences", ADA, delivery_id=MAIL)
    links = LinkMaker(KEY, "https://care.example.com").make(
        ADA, {}, channel="email", topic="tips", delivery=MAIL
    )
    assert links == {
        "unsubscribe": f"https://care.example.com/u/{KEY.sign(TIPS)}",
        "preferences": f"https://care.example.com/preferences/{KEY.sign(wishes)}",
    }


@pytest.mark.parametrize(
    ("trait", "setting", "booking"),
    [
        (
            "https://calendar.example.com/grace",
            "https://book.example.com",
            "https://calendar.example.com/grace",
        ),
        (" http://calendar.example.com ", None, "http://calendar.example.com"),
        (None, "https://book.example.com", "https://book.example.com"),
        ("javascript:alert(1)", "https://book.example.com", "https://book.example.com"),
        ("javascript:alert(1)//https://x", None, None),
        ("https://x.example.com/\r\nBcc: eve@example.com", None, None),
        ('https://x.example.com/"onclick="x', None, None),
        ("https://", None, None),
        ("https://[", None, None),
        (7, None, None),
        (None, None, None),
    ],
)
def test_calls_are_booked_where_the_customer_is_said_to_else_where_everybody_does(
    trait: object, setting: str | None, booking: str | None
) -> None:
    profile = {} if trait is None else {"booking_url": trait}
    assert LinkMaker(booking_url=setting).make(ADA, profile).get("booking") == booking


def test_without_a_key_there_is_no_link_that_nobody_could_follow() -> None:
    assert NO_LINKS.make(ADA, {}, channel="email") == {}


def test_example_links_lead_nowhere_and_are_as_long_as_real_ones() -> None:
    example = EXAMPLE_LINKS.make(ADA, {}, channel="sms", delivery=MAIL)
    real = LinkMaker(KEY, "https://example.invalid", "https://example.invalid/booking").make(
        ADA, {}, channel="sms", delivery=MAIL
    )
    assert {name: len(url) for name, url in example.items()} == {name: len(url) for name, url in real.items()}
    assert all(url.startswith("https://example.invalid/") for url in example.values())
    assert KEY.read(example["unsubscribe"].rpartition("/")[2], "unsubscribe") is None
