"""SendGrid, Resend and Amazon SES: what each is given, what its own words mean, and what it knows of repetitions."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email import policy
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest

from channels.aws_signature import AwsKey, sign
from channels.outcome import UNANSWERABLE, ChannelError, Receipt
from channels.sendgrid import SendgridChannel
from channels.ses import SesChannel
from tests.integration.provider_desk import SENDER, make_mail, open_provider
from tests.standins import sendgrid, ses

MAIL_APIS = ("sendgrid", "resend", "ses")
UNSUBSCRIBE = "<https://holdfast.example/u/abc>"


def read_mail(provider: str, content: dict[str, Any]) -> dict[str, Any]:
    """What a provider was given, in the same words for all."""
    if provider == "sendgrid":
        [letter] = content["personalizations"]
        parts = {part["type"]: part["value"] for part in content["content"]}
        return {
            "from": content["from"], "to": [to["email"] for to in letter["to"]], "subject": content["subject"],
            "text": parts["text/plain"], "html": parts["text/html"], "headers": content["headers"],
            "tags": letter["custom_args"],
        }  # fmt: skip
    if provider == "resend":
        tags = {tag["name"]: tag["value"] for tag in content["tags"]}
        return {**content, "tags": tags}
    mail = BytesParser(policy=policy.default).parsebytes(content["mail"].as_bytes())
    return {
        "from": str(mail["From"]), "to": content["Destination"]["ToAddresses"], "subject": str(mail["Subject"]),
        "text": mail.get_body(("plain",)).get_content(), "html": mail.get_body(("html",)).get_content(),
        "headers": dict(mail.items()), "tags": {tag["Name"]: tag["Value"] for tag in content["EmailTags"]},
    }  # fmt: skip


@pytest.mark.parametrize("provider", MAIL_APIS)
async def test_a_mail_is_taken_whole_with_its_delivery_and_the_way_out(provider: str, tmp_path: Path) -> None:
    async with open_provider(provider, tmp_path) as desk:
        receipt = await desk.channel.send(desk.variant(attempt=2))
        [taken] = desk.server.accepted
    assert receipt == Receipt(provider, taken.id)
    mail = read_mail(provider, taken.content)
    assert (mail["to"], mail["subject"]) == (["grace@example.com"], "Zoë, your trial ends")
    assert (mail["text"].strip(), mail["html"].strip()) == ("Two days are left.", "<p>Two days are left.</p>")
    assert "care@holdfast.example" in str(mail["from"])
    assert mail["tags"]["delivery_id"] == "d-1"
    assert mail["headers"]["List-Unsubscribe"] == UNSUBSCRIBE
    assert mail["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["headers"]["X-Holdfast-Delivery"] == "d-1"


@pytest.mark.parametrize("provider", MAIL_APIS)
async def test_a_mail_may_call_its_sender_otherwise(provider: str, tmp_path: Path) -> None:
    async with open_provider(provider, tmp_path) as desk:
        await desk.channel.send(desk.variant(sender_name="Ana\r\nBcc: eve@example.com"))
        [taken] = desk.server.accepted
    sender = read_mail(provider, taken.content)["from"]
    if provider == "sendgrid":
        sender = f'"{sender["name"]}" <{sender["email"]}>'
    assert sender.replace('"', "") == "Ana Bcc: eve@example.com <care@holdfast.example>"


@pytest.mark.parametrize("provider", MAIL_APIS)
@pytest.mark.parametrize(
    ("changes", "klass"),
    [
        ({"recipient": "a@example.com, b@example.com"}, "recipient"),
        ({"recipient": "nobody"}, "recipient"),
        ({"subject": " \r\n"}, "content"),
        ({"unsubscribe_url": "https://x.example/>, <https://y.example"}, "content"),
        ({"delivery_id": "d 1\r\nX: y"}, "content"),
    ],
)
async def test_what_is_no_mail_is_not_posted(
    provider: str, changes: dict[str, str], klass: str, tmp_path: Path
) -> None:
    async with open_provider(provider, tmp_path) as desk:
        with pytest.raises(ChannelError) as raised:
            await desk.channel.send(desk.variant(**changes))
        assert (raised.value.klass, desk.posts()) == (klass, 0)


@pytest.mark.parametrize("provider", MAIL_APIS)
async def test_a_name_cannot_write_headers(provider: str, tmp_path: Path) -> None:
    async with open_provider(provider, tmp_path) as desk:
        await desk.channel.send(desk.variant(subject="Hi x\r\nBcc: e@x =?utf-8?q?a=0ABcc:e@x?="))
        [taken] = desk.server.accepted
    mail = read_mail(provider, taken.content)
    assert "\n" not in mail["subject"]
    assert mail["to"] == ["grace@example.com"]
    assert "bcc" not in {name.lower() for name in mail["headers"]}


@pytest.mark.parametrize(
    ("provider", "fault", "klass", "code"),
    [
        ("sendgrid", "400/personalizations.0.to.0.email", "recipient", "personalizations.0.to.0.email"),
        ("sendgrid", "400/from.email", "account", "from.email"),
        ("sendgrid", "400/subject.subject", "content", "subject.subject"),
        ("sendgrid", "403/from.email", "account", "403"),
        ("sendgrid", "413/x", "content", "413"),
        ("resend", "422/validation_error", "content", "validation_error"),
        ("resend", "422/invalid_from_address", "account", "invalid_from_address"),
        ("resend", "403/validation_error", "account", "validation_error"),
        ("resend", "401/restricted_api_key", "account", "restricted_api_key"),
        ("resend", "429/daily_quota_exceeded", "transient", "daily_quota_exceeded"),
        ("resend", "429/monthly_quota_exceeded", "account", "monthly_quota_exceeded"),
        ("resend", "409/concurrent_idempotent_requests", "unknown", "concurrent_idempotent_requests"),
        ("resend", "500/application_error", "unknown", "application_error"),
        ("resend", "418/new_error", "content", "new_error"),
        ("ses", "400/MessageRejected", "content", "MessageRejected"),
        ("ses", "400/SendingPausedException", "account", "SendingPausedException"),
        ("ses", "400/AccountSuspendedException", "account", "AccountSuspendedException"),
        ("ses", "400/MailFromDomainNotVerifiedException", "account", "MailFromDomainNotVerifiedException"),
        ("ses", "400/LimitExceededException", "transient", "LimitExceededException"),
        ("ses", "400/ThrottlingException", "transient", "ThrottlingException"),
        ("ses", "404/NotFoundException", "account", "NotFoundException"),
        ("ses", "403/UnrecognizedClientException", "account", "UnrecognizedClientException"),
        ("ses", "503/ServiceUnavailable", "unknown", "ServiceUnavailable"),
    ],
)
async def test_each_providers_own_words_have_their_class(
    provider: str, fault: str, klass: str, code: str, tmp_path: Path
) -> None:
    async with open_provider(provider, tmp_path, fault) as desk:
        with pytest.raises(ChannelError) as raised:
            await desk.channel.send(desk.message)
        assert (raised.value.klass, raised.value.provider_code) == (klass, code)
        assert (desk.posts(), desk.count()) == (1, 0)


async def test_an_address_that_ses_has_not_verified_is_the_accounts_fault(tmp_path: Path) -> None:
    async with ses.SesStandIn() as server:
        channel = SesChannel(
            AwsKey(ses.KEY_ID, ses.SECRET), region=ses.REGION, sender=("", "care@not-verified.example"),
            base_url=server.url,
        )  # fmt: skip
        with pytest.raises(ChannelError) as raised:
            await channel.send(make_mail())
        await channel.close()
    assert (raised.value.klass, raised.value.provider_code) == ("account", "MessageRejected")


async def test_sendgrids_own_header_says_when_its_window_begins_anew() -> None:
    class Limited(sendgrid.SendgridStandIn):
        def refuse(self, status: int, code: str, said: str = "Refused.", **headers: str) -> bytes:
            del headers["Retry-After"]
            more = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1030"}
            return super().refuse(status, code, said, **headers, **more)

    async with Limited() as server:
        server.programme.script.append("429")
        channel = SendgridChannel(sendgrid.KEY, sender=SENDER, base_url=server.url, clock=lambda: 1000.0)
        with pytest.raises(ChannelError) as raised:
            await channel.send(make_mail())
        await channel.close()
    assert (raised.value.klass, raised.value.retry_after_seconds) == ("transient", 30.0)


@pytest.mark.parametrize("provider", MAIL_APIS)
async def test_none_can_be_asked_what_became_of_a_mail(provider: str, tmp_path: Path) -> None:
    async with open_provider(provider, tmp_path) as desk:
        assert await desk.channel.look_up(desk.message, datetime.now(UTC)) is UNANSWERABLE
        assert desk.posts() == 0


async def test_resend_makes_one_mail_of_two_requests_for_the_same_delivery(tmp_path: Path) -> None:
    async with open_provider("resend", tmp_path, "cut_after") as desk:
        with pytest.raises(ChannelError):
            await desk.channel.send(desk.message)
        receipt = await desk.channel.send(desk.variant(attempt=2, repeated=True))
        [taken] = desk.server.accepted
    assert receipt == Receipt("resend", taken.id)
    assert desk.posts() == 2


async def test_a_mail_that_reads_otherwise_the_second_time_was_taken_the_first_time(tmp_path: Path) -> None:
    async with open_provider("resend", tmp_path, "cut_after") as desk:
        with pytest.raises(ChannelError):
            await desk.channel.send(desk.message)
        with pytest.raises(ChannelError) as raised:
            await desk.channel.send(desk.variant(text="One day is left."))
        assert raised.value.klass == "unknown"
        known = await desk.channel.send(desk.variant(text="One day is left.", repeated=True))
        assert known == Receipt("resend", None)
        assert desk.count() == 1


KEY = AwsKey("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
# The first two are AWS's own test suite (get-vanilla, post-vanilla), the others were made with botocore 1.44.
VECTORS = [
    ("GET", "https://example.amazonaws.com/", b"", {}, KEY, "us-east-1", "service", (2015, 8, 30, 12, 36),
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("POST", "https://example.amazonaws.com/", b"", {}, KEY, "us-east-1", "service", (2015, 8, 30, 12, 36),
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ("POST", "https://email.eu-central-1.amazonaws.com/v2/email/outbound-emails", '{"a": "ü"}'.encode(),
     {"Content-Type": "application/json"}, KEY, "eu-central-1", "ses", (2026, 3, 2, 9, 0),
     "5b6a95f3918c064f7b14914595d9ba170e1b2c3c5745138917f47708592bed9d"),
    ("POST", "http://127.0.0.1:4013/v2/email/outbound-emails", b"{}", {"Content-Type": "application/json"},
     AwsKey(KEY.access_key_id, KEY.secret_access_key, "token/with+chars=="), "us-east-1", "ses", (2026, 3, 2, 9, 0),
     "73a013fbf85a5d56f5d50f226bf3c1315dbd25b4b92f87bb504f0ad4a423b907"),
    ("GET", "https://email.us-west-2.amazonaws.com/v2/email/account?b=2&a=1%20x&a=0", b"",
     {"Content-Type": "application/json"}, KEY, "us-west-2", "ses", (2026, 3, 2, 9, 0),
     "552b115aafc1d9723a0ed8aab4a75e271ef303afa6a0dac027c16e5c4f6d8c8b"),
]  # fmt: skip


@pytest.mark.parametrize("vector", VECTORS, ids=["get-vanilla", "post-vanilla", "ses", "session", "query"])
def test_requests_are_signed_as_aws_does_it(vector: tuple[Any, ...]) -> None:
    method, url, body, headers, key, region, service, moment, signature = vector
    signed = sign(
        method, url, headers, body, key=key, region=region, service=service, now=datetime(*moment, tzinfo=UTC)
    )
    assert signed["Authorization"].rpartition("Signature=")[2] == signature


def test_an_aws_secret_stays_out_of_what_is_printed() -> None:
    assert "wJalr" not in repr(KEY)
    assert "wJalr" not in json.dumps(sign("GET", "https://x.example/", {}, b"", key=KEY, region="r", service="s",
                                          now=datetime(2026, 3, 2, tzinfo=UTC)))  # fmt: skip
