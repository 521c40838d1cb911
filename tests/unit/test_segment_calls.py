"""What calls of Segment's API mean, and which can't be taken."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from schemas.errors import EventError
from schemas.incoming import IncomingEvent
from web.segment import read_call, read_calls
from web.segment_body import BodyTooLargeError, decompress, find_write_keys, read_batch, read_single

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def read(sent_at: datetime | None = None, **call: Any) -> IncomingEvent:
    given = {"type": "track", "userId": "ada", "event": "login", "messageId": "m1", **call}
    return read_call(json.dumps(given).encode(), kind=None, source="api", received_at=NOW, sent_at=sent_at)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"type": "alias", "previousId": "v"}, "alias is not supported"),
        ({"userId": None, "anonymousId": "a"}, "userId is missing (anonymousId alone names no customer)."),
        ({"userId": " "}, "userId is missing."),
        ({"event": None}, "event (the name of what happened) is missing."),
        ({"event": "x" * 201}, "event has 201 characters; 200 is the limit."),
        ({"event": 3}, "Expected `str | null`, got `int` - at `$.event`."),
        ({"userId": "u" * 201}, "userId has 201 characters; 200 is the limit."),
        ({"userId": True}, "Expected `int | str | null`, got `bool` - at `$.userId`."),
        ({"messageId": "m" * 201}, "messageId has 201 characters; 200 is the limit."),
        ({"timestamp": "soon"}, "timestamp 'soon' is no ISO 8601 time."),
        ({"timestamp": 1700000000}, "Expected `str | null`, got `int` - at `$.timestamp`."),
        (
            {"timestamp": "0001-01-01T00:00:00+14:00"},
            "timestamp '0001-01-01T00:00:00+14:00' is no ISO 8601 time.",
        ),
        ({"type": "wave"}, "type 'wave' isn't known; it is one of track, identify, group, page, screen."),
        ({"type": None}, "type is missing; it is one of track, identify, group, page, screen."),
        ({"type": "group"}, "groupId is missing."),
        ({"properties": [1]}, "Expected `object | null`, got `array` - at `$.properties`."),
        ({"properties": {"n": 2**64}}, "a whole number of more than 64 bits can't be stored."),
    ],
)
def test_a_call_that_cant_be_taken_says_why(call: dict[str, Any], reason: str) -> None:
    with pytest.raises(EventError) as refused:
        read(**call)
    assert refused.value.message == reason
    assert refused.value.code.startswith("HF11")


@pytest.mark.parametrize(
    ("poison", "reason"),
    [
        (b'{"x": NaN}', "NaN is no JSON number."),
        (b'{"x": -Infinity}', "-Infinity is no JSON number."),
        (b'{"x": 1e999}', "out of range"),
        (b'{"x": ' + b"9" * 5000 + b"}", "out of range"),
        (b'{"x": ' + b"9" * 400 + b"}", "64 bits"),
        (b'{"x": "\\u0000"}', "NUL"),
        (b'{"\\u0000": 1}', "NUL"),
        (b'{"x": "\\ud800"}', "half of a surrogate pair"),
        (b'{"x": "\\udc00 low"}', "half of a surrogate pair"),
        (b'{"x": "\xed\xa0\x80"}', "not UTF-8"),
        (b'{"x": "\xff"}', "not UTF-8"),
        (b'{"x": "a\x00b"}', "not JSON"),
        (b'{"x": ' + b"[" * 40 + b"]" * 40 + b"}", "more than 32 levels"),
        (b'{"x": ' + b"[" * 3000 + b"]" * 3000 + b"}", "more than 32 levels"),
        (b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "32768 is the limit"),
        (b'{"x": {"y": 1, "y": 2}}', "the key 'y' is there twice"),
        (b'{"x": "' + b"a" * 33_000 + b'"}', "32768 is the limit"),
        (b'{"x": 01}', "not JSON"),
        (b'{"x": ]}', "not JSON"),
        (b'{"x": [1}', "not JSON"),
        (b'{"x": {]]]}}', "not JSON"),
    ],
)
def test_a_poisoned_call_costs_only_itself(poison: bytes, reason: str) -> None:
    tricky = b'{"a":["x,]}",{"b":"\\"}"}]}'
    good = b'{"type":"track","userId":"u%d","event":"e","messageId":"m%d","properties":' + tricky + b"}"
    bad = b'{"type":"track","userId":"u","event":"e","properties":%b}' % poison
    text = b'{"sentAt": "2026-03-02T09:00:00Z", "batch": [%b, %b, %b], "writeKey": "k"}'
    body = read_batch(text % (good % (1, 1), bad, good % (2, 2)))
    events, dead = read_calls(body, kind=None, source="api", received_at=NOW)
    assert [event.message_id for event in events] == ["m1", "m2"]
    assert [reason in letter.reason for letter in dead] == [True]
    assert body.sent_at == NOW


def test_texts_that_only_look_like_poison_are_taken() -> None:
    properties = {"a": "\\u0000", "b": "NaN", "c": "\U0001f600", "d": 2**64 - 1, "e": "[" * 100}
    assert read(properties=properties).properties == properties


def test_a_broken_batch_is_cut_where_its_calls_end() -> None:
    body = read_batch(b'{"batch":[{"a":[1,2]} , {"b":"}],"} ,{"c":NaN}],"sentAt":"2026-03-02T09:00:00Z"}')
    assert [call.strip() for call in body.calls] == [b'{"a":[1,2]}', b'{"b":"}],"}', b'{"c":NaN}']
    assert body.sent_at == NOW
    cut = read_batch(b'{"sentAt":"2026-03-02T09:00:00Z","batch":[{"a":1},{"b":')
    assert (cut.calls, cut.sent_at) == ([b'{"a":1}', b'{"b":'], NOW)


def test_what_stands_beside_the_batch_cant_spoil_it() -> None:
    body = read_batch(b'{"sentAt": 5, "context": {"x": 1e999}, "writeKey": [], "batch": [{"a": 1}]}')
    assert (body.calls, body.sent_at) == ([b'{"a": 1}'], None)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"hello", b'{"batch": 3}', b'{"batch": {"a": NaN}}'])
def test_without_a_batch_there_is_nothing_to_take(text: bytes) -> None:
    with pytest.raises(EventError):
        read_batch(text)


def test_a_bomb_is_refused_at_the_limit() -> None:
    import gzip

    with pytest.raises(BodyTooLargeError):
        decompress(gzip.compress(b"x" * 50_000_000), "gzip")
    assert decompress(gzip.compress(b"x" * 512_000), "gzip") == b"x" * 512_000
    with pytest.raises(BodyTooLargeError):
        decompress(b"x" * 512_001, "")


def test_an_event_keeps_its_senders_day_and_is_corrected_for_its_senders_clock() -> None:
    slow = timedelta(hours=2)
    event = read(timestamp="2026-03-01T23:30:00-01:00", sent_at=NOW - slow)
    assert event.day == date(2026, 3, 2)
    assert event.at == datetime(2026, 3, 2, 0, 30, tzinfo=UTC) + slow
    assert read(timestamp="2026-03-01").at == datetime(2026, 3, 1, tzinfo=UTC)
    assert (read().at, read().day) == (NOW, None)


def test_the_future_is_clamped_to_now_and_flagged() -> None:
    near = read(timestamp=(NOW + timedelta(minutes=4)).isoformat())
    assert (near.at, "_clamped" in near.properties) == (NOW + timedelta(minutes=4), False)
    far = read(timestamp=(NOW + timedelta(minutes=6)).isoformat(), properties={"a": 1})
    assert (far.at, far.properties) == (NOW, {"a": 1, "_clamped": True})
    fast = read(timestamp=(NOW + timedelta(hours=6)).isoformat(), sent_at=NOW + timedelta(hours=7))
    assert (fast.at, "_clamped" in fast.properties) == (NOW - timedelta(hours=1), False)


def test_identify_speaks_of_the_customer_in_our_names() -> None:
    event = read(
        type="identify",
        traits={"firstName": "Ada", "plan": "pro"},
        context={"timezone": "Europe/Berlin", "locale": "de-DE", "ip": "10.0.0.1"},
    )
    assert (event.name, event.properties) == ("identify", {})
    assert event.traits == {
        "first_name": "Ada",
        "plan": "pro",
        "timezone": "Europe/Berlin",
        "locale": "de-DE",
    }
    rudder = read(type="identify", context={"traits": {"email": "ada@example.com"}})
    assert rudder.traits == {"email": "ada@example.com"}


def test_a_group_speaks_of_the_company_never_of_the_persons_address() -> None:
    event = read(
        type="group", groupId=7, traits={"name": "Studio", "email": "office@example.com", "plan": "pro"}
    )
    assert (event.name, event.properties) == ("group", {"groupId": "7"})
    assert event.traits == {"business_name": "Studio", "plan": "pro"}


def test_pages_and_screens_keep_their_name_and_category() -> None:
    page = read(type="page", name="Pricing", category="docs", properties={"path": "/p"})
    assert (page.name, page.properties) == ("page", {"name": "Pricing", "category": "docs", "path": "/p"})
    assert read(type="screen", name="Home").name == "screen"


def test_the_path_says_what_a_single_call_is() -> None:
    body = read_single(b'{"userId": 7, "event": "login", "writeKey": "k", "sentAt": "2026-03-02T09:00:00Z"}')
    [event], dead = read_calls(body, kind="track", source="api", received_at=NOW)
    assert (event.external_id, event.name, dead) == ("7", "login", [])


def test_customer_id_is_another_name_for_user_id() -> None:
    assert read(userId=None, customerId="bo").external_id == "bo"


def test_without_a_message_id_the_content_makes_one() -> None:
    one = read(messageId=None, timestamp="2026-03-01T00:00:00Z", properties={"a": 1, "b": 2})
    same = read(messageId=None, timestamp="2026-03-01T00:00:00Z", properties={"b": 2, "a": 1})
    other = read(messageId=None, timestamp="2026-03-01T00:00:01Z", properties={"a": 1, "b": 2})
    assert one.message_id == same.message_id != other.message_id


def test_a_write_key_is_found_in_a_body_that_cant_be_read() -> None:
    assert find_write_keys(b'{"batch": [NaN], "writeKey" : "k1"') == ["k1"]
    assert find_write_keys(b'{"writeKey": 5}') == []


def test_a_dead_letter_doesnt_hold_the_write_key() -> None:
    body = read_single(b'{"writeKey": "secret-key", "userId": "u", "previousId": "v"}')
    _, [letter] = read_calls(body, kind="alias", source="api", received_at=NOW)
    assert letter.reason == "alias is not supported"
    assert "secret-key" not in letter.body
    assert '"previousId": "v"' in letter.body
