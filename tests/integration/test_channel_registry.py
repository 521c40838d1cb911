"""Which channels there are follows from the environment, and what is missing is named."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from channels.fcm import FcmChannel
from channels.outcome import Channel, ChannelError, OutgoingMessage
from channels.pool import providers_of
from channels.providers import PROVIDERS
from channels.registry import check_channels, close_channels, list_providers, make_channels
from channels.resend import ResendChannel
from channels.settings import ChannelSettings, parse_smtp_url
from channels.smtp import SmtpChannel
from channels.twilio import TwilioSmsChannel
from channels.twilio_whatsapp import TwilioWhatsappChannel
from schemas.errors import SettingError
from tests.standins.fcm import FcmStandIn

COMPLETE = {
    "SMTP_URL": "smtp://127.0.0.1:2525",
    "HOLDFAST_MAIL_FROM": "Ada <ada@holdfast.example>",
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "secret",
    "TWILIO_FROM": "+15005550006",
}


def types_of(channels: Mapping[str, Channel]) -> dict[str, list[type[Channel]]]:
    return {
        name: [type(provider.channel) for provider in providers_of(channel)]
        for name, channel in channels.items()
    }


async def test_each_complete_provider_makes_a_channel() -> None:
    channels = make_channels(ChannelSettings.from_environ(COMPLETE))
    assert types_of(channels) == {"email": [SmtpChannel], "sms": [TwilioSmsChannel]}
    assert check_channels(ChannelSettings.from_environ(COMPLETE)) == []
    await close_channels(channels)


def test_nothing_set_makes_no_channel_and_names_every_setting() -> None:
    settings = ChannelSettings.from_environ({})
    assert make_channels(settings) == {}
    problems = " ".join(check_channels(settings))
    for name in COMPLETE:
        assert name in problems


@pytest.mark.parametrize(
    ("name", "value", "channel"),
    [
        ("SMTP_URL", "http://mail", "email"),
        ("SMTP_URL", "smtp://mail:port", "email"),
        ("SMTP_URL", "smtp://mail?tls=1", "email"),
        ("SMTP_URL", "smtp://mail?starttls=maybe", "email"),
        ("HOLDFAST_MAIL_FROM", "Ada", "email"),
        ("HOLDFAST_MAIL_FROM", "Ada <a@x.com>\nBcc: b@x.com", "email"),
        ("TWILIO_BASE_URL", "127.0.0.1:4010", "sms"),
        ("HOLDFAST_PUBLIC_URL", "holdfast.example", "sms"),
    ],
)
def test_a_wrong_setting_takes_its_channel_away_and_says_which(name: str, value: str, channel: str) -> None:
    settings = ChannelSettings.from_environ({**COMPLETE, name: value})
    [problem] = check_channels(settings)
    assert problem.startswith(f"{channel}: ")
    assert name in problem
    assert channel not in make_channels(settings)


async def test_whatsapp_and_push_are_there_where_they_are_set_and_not_missed_where_not(
    tmp_path: Path,
) -> None:
    async with FcmStandIn() as fcm:
        more = {
            "TWILIO_WHATSAPP_FROM": "whatsapp:+15005550006",
            "GOOGLE_APPLICATION_CREDENTIALS": str(fcm.write_account(tmp_path / "key.json")),
            "FCM_BASE_URL": fcm.url,
        }
    settings = ChannelSettings.from_environ({**COMPLETE, **more})
    channels = make_channels(settings)
    found = types_of(channels)
    assert (found["whatsapp"], found["push"]) == ([TwilioWhatsappChannel], [FcmChannel])
    assert check_channels(settings) == []
    await close_channels(channels)


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"TWILIO_WHATSAPP_FROM": "Studio"}, "whatsapp: TWILIO_WHATSAPP_FROM must look like"),
        ({"GOOGLE_APPLICATION_CREDENTIALS": "/nowhere.json"}, "push: GOOGLE_APPLICATION_CREDENTIALS"),
        ({"FCM_BASE_URL": "http://127.0.0.1:1"}, "push: set GOOGLE_APPLICATION_CREDENTIALS"),
    ],
)
def test_what_was_begun_for_whatsapp_or_push_is_looked_at(environ: dict[str, str], problem: str) -> None:
    settings = ChannelSettings.from_environ({**COMPLETE, **environ})
    [found] = check_channels(settings)
    assert found.startswith(problem)
    assert set(make_channels(settings)) == {"email", "sms"}


ALL_MAIL = {
    "SENDGRID_API_KEY": "SG.secret",
    "RESEND_API_KEY": "re_secret",
    "AWS_ACCESS_KEY_ID": "AKIA",
    "AWS_SECRET_ACCESS_KEY": "aws-secret",
    "AWS_REGION": "eu-central-1",
}


def test_every_complete_provider_of_e_mail_is_used_in_a_known_order() -> None:
    settings = ChannelSettings.from_environ({**COMPLETE, **ALL_MAIL})
    assert list_providers(settings) == [
        ("email", "smtp"), ("email", "sendgrid"), ("email", "resend"), ("email", "ses"), ("sms", "twilio"),
    ]  # fmt: skip
    assert check_channels(settings) == []
    without = {name: value for name, value in COMPLETE.items() if name != "SMTP_URL"}
    settings = ChannelSettings.from_environ({**without, "RESEND_API_KEY": "re_secret"})
    assert list_providers(settings) == [("email", "resend"), ("sms", "twilio")]
    assert check_channels(settings) == []


async def test_the_order_is_as_it_is_named_and_what_is_not_named_is_not_used() -> None:
    named = {"HOLDFAST_EMAIL_PROVIDERS": " Resend, smtp,resend"}
    settings = ChannelSettings.from_environ({**COMPLETE, **ALL_MAIL, **named})
    channels = make_channels(settings)
    assert types_of(channels)["email"] == [ResendChannel, SmtpChannel]
    assert check_channels(settings) == []
    await close_channels(channels)


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"HOLDFAST_EMAIL_PROVIDERS": "smtp,mailgun"}, "email: HOLDFAST_EMAIL_PROVIDERS names 'mailgun'"),
        ({"HOLDFAST_EMAIL_PROVIDERS": "smtp,resend"}, "email by resend: set RESEND_API_KEY."),
        ({"SENDGRID_BASE_URL": "http://127.0.0.1:1"}, "email by sendgrid: set SENDGRID_API_KEY."),
        ({"SENDGRID_API_KEY": "x", "SENDGRID_BASE_URL": "nowhere"}, "email by sendgrid: SENDGRID_BASE_URL must"),
        ({**ALL_MAIL, "AWS_REGION": "Frankfurt", "SES_CONFIGURATION_SET": "x"}, "email by ses: AWS_REGION must"),
        ({"VAPID_PRIVATE_KEY": "short", "VAPID_SUBJECT": "mailto:a@b.c"}, "push by webpush: VAPID_PRIVATE_KEY is no"),
        ({"TWILIO_VOICE_FROM": "Studio"}, "voice: TWILIO_VOICE_FROM must look like"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_one_provider_takes_none_of_the_others_away(
    environ: dict[str, str], problem: str
) -> None:
    settings = ChannelSettings.from_environ({**COMPLETE, **environ})
    [found] = check_channels(settings)
    assert found.startswith(problem)
    assert {("email", "smtp"), ("sms", "twilio")} <= set(list_providers(settings))


def test_a_fingerprint_changes_with_any_of_a_providers_settings_and_tells_none(tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    key.write_text("one")
    base = {
        **COMPLETE,
        **ALL_MAIL,
        "HOLDFAST_SECRET_KEY": "s" * 32,
        "GOOGLE_APPLICATION_CREDENTIALS": str(key),
    }
    kinds = {kind.name: kind for kind in PROVIDERS if kind.channel in ("email", "push")}

    def fingerprint(name: str, **changes: str) -> str:
        return kinds[name].fingerprint(ChannelSettings.from_environ({**base, **changes}))

    changed = {
        "smtp": "SMTP_URL", "sendgrid": "SENDGRID_API_KEY", "resend": "RESEND_BASE_URL", "ses": "AWS_SESSION_TOKEN",
    }  # fmt: skip
    for name, variable in changed.items():
        assert fingerprint(name) == fingerprint(name)
        assert fingerprint(name) != fingerprint(name, **{variable: "another"})
    before = fingerprint("fcm")
    key.write_text("two")
    assert fingerprint("fcm") != before
    assert fingerprint("sendgrid") != fingerprint("sendgrid", HOLDFAST_SECRET_KEY="t" * 32)


def test_secrets_stay_out_of_what_is_printed() -> None:
    settings = ChannelSettings.from_environ({**COMPLETE, "SMTP_URL": "smtp://me:hunter2@mail.example"})
    assert "hunter2" not in repr(settings)
    assert "secret" not in repr(settings)
    assert "hunter2" not in repr(parse_smtp_url(settings.smtp_url))
    assert "secret" not in repr(
        ChannelSettings.from_environ({**COMPLETE, **ALL_MAIL, "VAPID_PRIVATE_KEY": "secret"})
    )


@pytest.mark.parametrize(
    ("url", "port", "starttls", "implicit"),
    [
        ("smtp://mail.example", 25, "auto", False),
        ("smtp://me:p%40ss@mail.example", 587, True, False),
        ("smtp://me:pass@127.0.0.1:2525", 2525, "auto", False),
        ("smtp://me:pass@mail.example?starttls=never", 587, False, False),
        ("smtps://me:pass@mail.example", 465, False, True),
    ],
)
def test_a_password_goes_over_a_network_only_encrypted(
    url: str, port: int, starttls: bool | str, implicit: bool
) -> None:
    server = parse_smtp_url(url)
    assert (server.port, server.starttls, server.implicit_tls) == (port, starttls, implicit)
    assert server.password in (None, "pass", "p@ss")


def test_a_bad_smtp_url_raises_a_setting_error() -> None:
    with pytest.raises(SettingError, match="SMTP_URL"):
        parse_smtp_url("mail.example:25")


class _Box(Sink):
    """Keeps what aiosmtpd, which nobody here wrote, understood of our conversation."""

    def __init__(self) -> None:
        super().__init__()
        self.envelopes: list[Envelope] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return "250 taken"


def _authenticate(
    server: object, session: object, envelope: object, mechanism: str, data: object
) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"me", b"p@ss")
    return AuthResult(success=right, handled=right)


@asynccontextmanager
async def serve_mailbox() -> AsyncIterator[tuple[_Box, int]]:
    box = _Box()
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(box, authenticator=_authenticate, auth_require_tls=False, auth_required=True),
        host="127.0.0.1",
        port=0,
    )
    async with server:
        yield box, server.sockets[0].getsockname()[1]


def _make_mail() -> OutgoingMessage:
    return OutgoingMessage("d-1", "grace@example.com", text=".\n..\nend", subject="Hello", html="<p>x</p>")


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
async def test_an_independent_server_takes_our_mail_after_login() -> None:
    async with serve_mailbox() as (box, port):
        channel = SmtpChannel(
            parse_smtp_url(f"smtp://me:p%40ss@127.0.0.1:{port}"), sender=("Ada", "ada@holdfast.example")
        )
        await channel.send(_make_mail())
        await channel.close()
    [envelope] = box.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("ada@holdfast.example", ["grace@example.com"])
    assert b"\r\n.\r\n..\r\nend\r\n" in envelope.content


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
async def test_a_wrong_password_is_the_accounts_fault() -> None:
    async with serve_mailbox() as (box, port):
        channel = SmtpChannel(
            parse_smtp_url(f"smtp://me:wrong@127.0.0.1:{port}"), sender=("Ada", "ada@holdfast.example")
        )
        with pytest.raises(ChannelError) as raised:
            await channel.send(_make_mail())
    assert (raised.value.klass, raised.value.provider_code) == ("account", "535")
    assert box.envelopes == []


@pytest.mark.parametrize("name", ["smtp", "twilio"])
async def test_a_stand_in_runs_as_a_process_and_keeps_its_log(name: str, tmp_path: Path) -> None:
    log, script = tmp_path / "accepted.jsonl", tmp_path / "script.json"
    script.write_text(json.dumps(["cut_after_dot" if name == "smtp" else "cut_after"]))
    command = [sys.executable, "-m", f"tests.standins.{name}", "--log", str(log), "--script", str(script)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        address = line.strip().removeprefix("listening on ")
        channels = make_channels(
            ChannelSettings.from_environ(
                {**COMPLETE, "SMTP_URL": f"smtp://{address}", "TWILIO_BASE_URL": f"http://{address}",
                 "HOLDFAST_PUBLIC_URL": "https://holdfast.example"}
            )
        )  # fmt: skip
        channel = channels["email" if name == "smtp" else "sms"]
        message = OutgoingMessage(
            "d-9", "grace@example.com" if name == "smtp" else "+4915123456789", "x", "s"
        )
        with pytest.raises(ChannelError) as raised:
            await channel.send(message)
        await close_channels(channels)
    finally:
        process.kill()
        await process.wait()
    assert raised.value.klass == "unknown"
    assert [json.loads(entry)["delivery"] for entry in log.read_text().splitlines()] == ["d-9"]
