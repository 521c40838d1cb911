"""The environment is read once and checked; a bad value is told by name with its remedy, never its secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import SettingError
from schemas.settings import Settings

GOOD = {
    "HOLDFAST_DATABASE_URL": "postgresql://me:hunter2@db.internal:5433/holdfast",
    "TEMPORAL_ADDRESS": "temporal.internal:7233",
    "TEMPORAL_NAMESPACE": "care",
    "HOLDFAST_SECRET_KEY": "s" * 32,
    "HOLDFAST_PUBLIC_URL": "https://care.example.com/",
    "HOLDFAST_API_KEY": "a" * 16,
    "HOLDFAST_API_KEYS": f"{'b' * 20}, {'a' * 16},",
    "SMTP_URL": "smtp://127.0.0.1:2525",
}


def test_good_values_arrive_typed() -> None:
    settings = Settings.read(GOOD)
    assert settings.require_database_url() == GOOD["HOLDFAST_DATABASE_URL"]
    assert settings.temporal_address == "temporal.internal:7233"
    assert settings.temporal_namespace == "care"
    assert settings.public_url == "https://care.example.com"
    assert settings.require_api_keys() == ("a" * 16, "b" * 20)
    assert settings.playbooks == Path("playbooks")
    assert settings.environ["SMTP_URL"] == "smtp://127.0.0.1:2525"


def test_an_empty_environment_has_defaults_and_says_what_it_lacks() -> None:
    settings = Settings.read({"HOLDFAST_DATABASE_URL": "  ", "TEMPORAL_ADDRESS": ""})
    assert settings.temporal_address == "127.0.0.1:7233"
    for require, name in [
        (settings.require_database_url, "HOLDFAST_DATABASE_URL"),
        (settings.require_secret_key, "HOLDFAST_SECRET_KEY"),
        (settings.require_api_keys, "HOLDFAST_API_KEY"),
    ]:
        with pytest.raises(SettingError, match=name) as caught:
            require()
        assert caught.value.remedy


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOLDFAST_DATABASE_URL", "mysql://me:hunter2@db/x"),
        ("HOLDFAST_DATABASE_URL", "postgresql://me:hunter2@db:54x32/x"),
        ("HOLDFAST_DATABASE_URL", "postgresql://me:hunter2@db"),
        ("TEMPORAL_ADDRESS", "temporal.internal"),
        ("TEMPORAL_ADDRESS", "http://temporal:7233"),
        ("TEMPORAL_ADDRESS", "temporal:99999"),
        ("HOLDFAST_SECRET_KEY", "hunter2"),
        ("HOLDFAST_SECRET_KEY", f"{'s' * 32} hunter2"),
        ("HOLDFAST_BOOKING_URL", "javascript:alert(1)"),
        ("HOLDFAST_BOOKING_URL", "calendar.example.com"),
        ("HOLDFAST_PUBLIC_URL", "care.example.com"),
        ("HOLDFAST_PUBLIC_URL", "ftp://care.example.com"),
        ("HOLDFAST_PUBLIC_URL", "https://care.example.com/a b"),
        ("HOLDFAST_API_KEY", "hunter2"),
        ("HOLDFAST_API_KEYS", f"{'a' * 16},hunter2"),
        ("HOLDFAST_PLAYBOOKS", __file__),
        ("HOLDFAST_OUTBOX", __file__),
    ],
)
def test_a_bad_value_is_refused_by_name_without_telling_secrets(name: str, value: str) -> None:
    with pytest.raises(SettingError) as caught:
        Settings.read({**GOOD, name: value})
    assert name in caught.value.message
    assert caught.value.remedy != SettingError.remedy
    assert "hunter2" not in str(caught.value)


def test_secrets_do_not_show_in_logs() -> None:
    shown = repr(Settings.read(GOOD))
    for secret in ("hunter2", "s" * 32, "a" * 16, "b" * 20):
        assert secret not in shown
