"""Who is let in at /hooks: forged, missing, garbage, stale, future and rotated signatures of every scheme."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from channels.hook_sources import HookRequest, HookSource, SesSource, make_sources
from channels.signatures import sns, standard_webhooks
from channels.signatures.refusal import SignatureError
from channels.sns import SnsClient
from schemas.errors import SettingError
from tests.hook_signing import (
    ACCOUNT,
    CERTIFICATE_URL,
    NEXT,
    PUBLIC,
    SENDGRID_KEY,
    STANDARD,
    TOKEN,
    TOPIC,
    Signed,
    make_certificate,
    public_key,
    sign_sendgrid,
    sign_sns,
    sign_standard,
    sign_stripe,
    sign_twilio,
)

ENVIRON = {
    "TWILIO_AUTH_TOKEN": TOKEN, "TWILIO_ACCOUNT_SID": ACCOUNT, "HOLDFAST_HOOK_SECRET_SENDGRID": public_key(),
    "HOLDFAST_HOOK_SECRET_RESEND": STANDARD, "HOLDFAST_HOOK_SECRET_STRIPE": "whsec_stripe whsec_older",
    "HOLDFAST_HOOK_SECRET_HELP_DESK": f"{NEXT} {STANDARD}", "HOLDFAST_SNS_TOPICS": TOPIC,
}  # fmt: skip
SENT = {"MessageSid": "SM" + "a" * 32, "MessageStatus": "delivered", "To": "+15005550009"}
CERTIFICATE = make_certificate()


class KnownCertificates(SnsClient):
    """Amazon, with one certificate."""

    async def _get(self, url: str) -> str:
        return CERTIFICATE.decode()


def sources(**environ: str) -> dict[str, HookSource]:
    made = make_sources(ENVIRON | environ, PUBLIC)
    made["ses"] = SesSource(frozenset([TOPIC]), KnownCertificates())
    return made


async def check(request: Signed, now: datetime | None = None, **environ: str) -> str:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return await sources(**environ)[request.source].verify(
        HookRequest(request.body, headers, request.query), now or datetime.now(UTC)
    )


async def refused(request: Signed, now: datetime | None = None, **environ: str) -> str:
    with pytest.raises(SignatureError) as caught:
        await check(request, now, **environ)
    return caught.value.message


SIGNERS: dict[str, Callable[..., Signed]] = {
    "sendgrid": lambda **more: sign_sendgrid([{"event": "open"}], **more),
    "resend": lambda **more: sign_standard("resend", {"type": "email.sent"}, prefix="svix", **more),
    "help_desk": lambda **more: sign_standard("help_desk", {"type": "ticket.opened"}, **more),
    "stripe": lambda **more: sign_stripe({"id": "evt_1", "type": "invoice.paid"}, **more),
    "ses": lambda **more: sign_sns({"eventType": "Open"}, **more),
    "twilio": lambda **_: sign_twilio(SENT, "d=1&a=1"),
}  # fmt: skip
TIMED = [name for name in SIGNERS if name != "twilio"]


@pytest.mark.parametrize("source", SIGNERS)
async def test_what_is_signed_is_let_in_and_has_an_id(source: str) -> None:
    assert await check(SIGNERS[source]())


@pytest.mark.parametrize("source", SIGNERS)
async def test_one_byte_more_is_refused(source: str) -> None:
    request = SIGNERS[source]()
    body = request.body.replace(b"delivered", b"failed") if source == "twilio" else request.body + b" "
    if source == "ses":
        body = request.body.replace(b"Open", b"Send")
    await refused(replace(request, body=body))


@pytest.mark.parametrize("source", SIGNERS)
async def test_no_signature_is_refused(source: str) -> None:
    await refused(replace(SIGNERS[source](), headers={}, body=b"{}" if source == "ses" else b"x=1"))


@pytest.mark.parametrize("source", TIMED)
@pytest.mark.parametrize("ago_minutes", [6, -6])
async def test_what_is_too_old_or_of_the_future_is_refused(source: str, ago_minutes: int) -> None:
    if source == "ses" and ago_minutes > 0:
        ago_minutes = 25 * 60
    assert "signed" in await refused(SIGNERS[source](at=datetime.now(UTC) - timedelta(minutes=ago_minutes)))


@pytest.mark.parametrize("source", TIMED)
@pytest.mark.parametrize("ago_minutes", [4, -4])
async def test_clocks_may_be_a_little_apart(source: str, ago_minutes: int) -> None:
    assert await check(SIGNERS[source](at=datetime.now(UTC) - timedelta(minutes=ago_minutes)))


@pytest.mark.parametrize("source", SIGNERS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
async def test_garbage_is_refused_and_nothing_else_happens(source: str, data: Any) -> None:
    request = SIGNERS[source]()
    junk = st.one_of(st.text(max_size=60), st.sampled_from([
        "v1,", "v1,===", "t=,v1=", "t=1e9,v1=00", "t=1,v1=é", "\x00", "9" * 400, "-1", "NaN", "v1a,AAAA", "💥", "=",
    ]))  # fmt: skip
    headers = {
        name: value if "type" in name.lower() else data.draw(junk) for name, value in request.headers.items()
    }
    body = data.draw(st.one_of(st.just(request.body), st.binary(max_size=80)))
    if source == "ses" and body == request.body:
        body = b'{"Type": "Notification", "TopicArn": ["x"]}'
    query = data.draw(st.sampled_from([request.query, "bodySHA256=00", "d=%zz", "%ff=%00"]))
    await refused(replace(request, body=body, headers=headers, query=query))


# Twilio


@pytest.mark.parametrize("query", ["", "d=5a7c1f9e-1111-4222-8333-444455556666&a=1", "d=x%20y&e="])
@pytest.mark.parametrize("public", [PUBLIC, "https://holdfast.example/base", "http://10.0.0.1:8080"])
@pytest.mark.parametrize("algorithm", ["HMAC_SHA1", "HMAC_SHA256"])
async def test_twilios_own_validator_and_ours_agree(query: str, public: str, algorithm: str) -> None:
    form = {**SENT, "Body": "Grüße & more=1", "Empty": ""}
    request = sign_twilio(form, query, public=public, algorithm=algorithm)
    source = make_sources(ENVIRON, public)["twilio"]
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert await source.verify(HookRequest(request.body, headers, query), datetime.now(UTC))


@pytest.mark.parametrize("signed_for", ["https://holdfast.example:443", "https://holdfast.example"])
async def test_twilio_may_sign_with_the_port_or_without(signed_for: str) -> None:
    assert await check(sign_twilio(SENT, public=signed_for))


async def test_twilios_json_is_covered_by_the_hash_in_its_address() -> None:
    body = b'{"hello": "there"}'
    query = f"bodySHA256={hashlib.sha256(body).hexdigest()}"
    signature = RequestValidator(TOKEN).compute_signature(f"{PUBLIC}/hooks/twilio?{query}", {})
    headers = {"X-Twilio-Signature": signature, "Content-Type": "application/json"}
    assert await check(Signed("twilio", body, headers, query))
    await refused(Signed("twilio", body + b" ", headers, query))


async def test_another_delivery_in_the_address_is_refused() -> None:
    await refused(replace(sign_twilio(SENT, "d=1&a=1"), query="d=2&a=1"))


async def test_another_account_of_twilios_is_refused() -> None:
    assert "another account" in await refused(sign_twilio({**SENT, "AccountSid": "AC" + "1" * 32}))


async def test_both_of_twilios_tokens_are_good_while_they_change_over() -> None:
    request = sign_twilio(SENT, token="next-token")
    await refused(request)
    assert await check(request, HOLDFAST_HOOK_SECRET_TWILIO="next-token")


# Standard Webhooks


async def test_the_published_example_of_standard_webhooks_is_let_in() -> None:
    keys = [standard_webhooks.read_secret("X", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }  # fmt: skip
    at = datetime.fromtimestamp(1614265330, UTC)
    assert standard_webhooks.verify(b'{"test": 2432232314}', headers, keys, at) == headers["webhook-id"]


async def test_one_good_signature_among_others_is_enough() -> None:
    request = sign_standard("resend", {"type": "email.sent"}, secrets=(NEXT, STANDARD))
    signatures = f"v1a,!!! v2,abc v1,{'A' * 43}= {request.headers['webhook-signature']}"
    assert await check(replace(request, headers=request.headers | {"webhook-signature": signatures}))


async def test_the_old_and_the_new_secret_are_good_and_a_third_isnt() -> None:
    for secret in (STANDARD, NEXT):
        assert await check(sign_standard("help_desk", {}, secrets=(secret,)))
    other = "whsec_" + base64.b64encode(b"o" * 32).decode()
    await refused(sign_standard("help_desk", {}, secrets=(other,)))
    await refused(sign_standard("resend", {}, secrets=(NEXT,)))


async def test_an_id_with_a_dot_is_refused() -> None:
    await refused(sign_standard("resend", {}, id_="msg.1"))


async def test_what_is_written_anew_is_another_body() -> None:
    request = sign_standard("resend", b'{"a":1}')
    await refused(replace(request, body=b'{"a": 1}'))


async def test_ed25519_is_checked_with_a_public_key() -> None:
    key = Ed25519PrivateKey.generate()
    secret = (
        "whpk_" + base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
    )
    request = sign_standard("crm", {"type": "x"})
    signed = f"msg_1.{request.headers['webhook-timestamp']}.".encode() + request.body
    good = replace(
        request,
        headers=request.headers | {"webhook-signature": "v1a," + base64.b64encode(key.sign(signed)).decode()},
    )
    assert await check(good, HOLDFAST_HOOK_SECRET_CRM=secret)
    # A public key is no secret: it must never serve as one.
    forged = base64.b64encode(hmac.digest(base64.b64decode(secret[5:]), signed, "sha256")).decode()
    await refused(
        replace(good, headers=good.headers | {"webhook-signature": f"v1,{forged}"}),
        HOLDFAST_HOOK_SECRET_CRM=secret,
    )


# SendGrid, Stripe


async def test_another_key_of_sendgrids_is_refused_until_it_is_listed() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    await refused(sign_sendgrid([], key=other))
    both = f"{public_key(other)} {public_key(SENDGRID_KEY)}"
    assert await check(sign_sendgrid([], key=other), HOLDFAST_HOOK_SECRET_SENDGRID=both)
    assert await check(sign_sendgrid([]), HOLDFAST_HOOK_SECRET_SENDGRID=both)


async def test_stripes_older_secret_is_good_and_the_id_is_the_events() -> None:
    assert await check(sign_stripe({"id": "evt_7"}, secret="whsec_older")) == "evt_7"
    await refused(sign_stripe({"id": "evt_7"}, secret="whsec_other"))


# SNS


async def test_sns_is_let_in_by_both_versions_of_its_signature() -> None:
    for version in ("1", "2"):
        assert await check(sign_sns({"eventType": "Open"}, id_="m-1", version=version)) == "m-1"


async def test_a_message_of_somebody_elses_topic_is_refused_however_well_it_is_signed() -> None:
    assert "isn't ours" in await refused(sign_sns({}, topic=TOPIC.replace("1234", "9999")))


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/SimpleNotificationService-1.pem",
        "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.eu-west-1.amazonaws.com.evil.example/SimpleNotificationService-1.pem",
        "https://sns.eu-west-1.amazonaws.com@evil.example/SimpleNotificationService-1.pem",
        "https://sns.eu-west-1.amazonaws.com:8443/SimpleNotificationService-1.pem",
        "https://bucket.s3.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.s3-us-west-2.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.s3-website-us-west-2.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.eu-west-1.amazonaws.com/../x.pem",
        "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription",
        "https://[::1",
    ],
)
async def test_certificates_come_from_sns_alone(url: str) -> None:
    await refused(sign_sns({}, certificate_url=url))
    with pytest.raises(SignatureError):
        sns.check_address(url, certificate=True)


@pytest.mark.parametrize(
    "region", ["us-east-1.amazonaws.com", "us-gov-west-1.amazonaws.com", "cn-north-1.amazonaws.com.cn"]
)
def test_every_region_has_an_sns_of_its_own(region: str) -> None:
    url = f"https://sns.{region}/SimpleNotificationService-0123abcd.pem"
    assert sns.check_address(url, certificate=True) == url


async def test_another_key_than_the_certificates_is_refused() -> None:
    await refused(sign_sns({}, key=rsa.generate_private_key(65537, 2048)))


async def test_a_certificate_is_fetched_once() -> None:
    asked: list[str] = []

    class Counting(KnownCertificates):
        async def _get(self, url: str) -> str:
            asked.append(url)
            return await super()._get(url)

    client = Counting()
    assert await client.load_certificate(CERTIFICATE_URL) == await client.load_certificate(CERTIFICATE_URL)
    assert asked == [CERTIFICATE_URL]


# Settings


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"HOLDFAST_HOOK_SECRET_CRM": "short"}, "CRM"),
        ({"HOLDFAST_HOOK_SECRET_SENDGRID": "bm8ga2V5"}, "SENDGRID"),
        ({"HOLDFAST_HOOK_SECRET_SES": STANDARD}, "SES"),
        ({"HOLDFAST_SNS_TOPICS": "ses-events"}, "HOLDFAST_SNS_TOPICS"),
        ({"HOLDFAST_HOOK_SECRET_a/b": STANDARD}, "a/b"),
    ],
)
def test_a_wrong_setting_is_named(environ: dict[str, str], named: str) -> None:
    with pytest.raises(SettingError, match=named):
        make_sources(environ, PUBLIC)


def test_without_settings_there_is_no_source() -> None:
    assert make_sources({}, PUBLIC) == {}
