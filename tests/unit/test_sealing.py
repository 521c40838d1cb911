"""What is sealed can be read with its key alone, for as long as that is kept, and isn't changed unnoticed."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload

from schemas.errors import SettingError
from schemas.link_token import LinkKey, LinkToken
from schemas.sealing import SealingKeys, Xaes256Gcm
from schemas.settings import Settings
from workflows.payloads import PayloadSealing, key_of, make_data_converter

OLD, NEW = "o" * 40, "n" * 40
PLAIN = Payload(metadata={"encoding": b"json/plain", "x": b"y"}, data=b'{"a": "Ada"}')


def test_it_is_the_construction_of_the_specification() -> None:
    # c2sp.org/XAES-256-GCM, the first test vector.
    sealed = Xaes256Gcm(b"\x01" * 32).encrypt(b"ABCDEFGHIJKLMNOPQRSTUVWX", b"XAES-256-GCM")
    assert sealed.hex() == "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"


@pytest.mark.parametrize("byte", range(8))
def test_it_agrees_with_the_specifications_words_whatever_the_key(byte: int) -> None:
    """AES-256-GCM under the key that CMAC, in counter mode, derives: by another implementation of CMAC."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.cmac import CMAC

    # CMAC's subkey takes two ways, by the first bit of a block that depends on the key.
    key, nonce = bytes([byte]) * 32, secrets.token_bytes(24)

    def derive(counter: int) -> bytes:
        mac = CMAC(AES(key))
        mac.update(bytes([0, counter]) + b"X\x00" + nonce[:12])
        return mac.finalize()

    expected = AESGCM(derive(1) + derive(2)).encrypt(nonce[12:], b"Ada", None)
    assert Xaes256Gcm(key).encrypt(nonce, b"Ada") == expected


@given(st.binary(max_size=2000))
def test_what_is_sealed_opens_as_it_was_and_looks_other_each_time(plain: bytes) -> None:
    keys = SealingKeys(NEW)
    one, other = keys.seal(plain), keys.seal(plain)
    assert one != other
    assert len(one) == len(plain) + 40
    assert keys.open(keys.ids[0], one) == keys.open(keys.ids[0], other) == plain


def test_the_newest_key_seals_and_older_ones_still_open() -> None:
    before, both, after = SealingKeys(OLD), SealingKeys(f"{NEW} {OLD}"), SealingKeys(NEW)
    sealed = before.seal(b"Ada")
    assert both.ids == (after.ids[0], before.ids[0])
    assert both.open(before.ids[0], sealed) == b"Ada"
    assert after.open(after.ids[0], both.seal(b"Ada")) == b"Ada"
    with pytest.raises(SettingError, match=before.ids[0]) as caught:
        after.open(before.ids[0], sealed)
    assert "HOLDFAST_SECRET_KEY" in str(caught.value)


def test_what_was_changed_or_cut_short_is_not_opened() -> None:
    keys = SealingKeys(NEW)
    sealed = keys.seal(b"Ada Lovelace")
    for number in range(len(sealed)):
        changed = bytes(byte ^ (number == at) for at, byte in enumerate(sealed))
        with pytest.raises(SettingError, match="changed"):
            keys.open(keys.ids[0], changed)
        with pytest.raises(SettingError, match="cut short"):
            keys.open(keys.ids[0], sealed[:number])


def test_keys_names_tell_nothing_and_links_have_other_keys() -> None:
    keys = SealingKeys(NEW)
    assert keys.ids == SealingKeys(NEW).ids
    assert keys.ids[0] not in NEW
    token = LinkKey(NEW).sign(LinkToken("unsubscribe", "1ca80729-8f81-4578-8806-a9a856902692"))
    with pytest.raises(SettingError):
        keys.open(keys.ids[0], token.encode())


async def test_a_payload_is_sealed_whole_and_what_never_was_passes() -> None:
    sealing = PayloadSealing(SealingKeys(NEW))
    [sealed] = await sealing.encode([PLAIN])
    assert set(sealed.metadata) == {"encoding", "encryption-key-id"}
    assert sealed.metadata["encoding"] == b"binary/encrypted"
    assert b"Ada" not in sealed.SerializeToString()
    assert b"json/plain" not in sealed.SerializeToString()
    assert await sealing.decode([sealed, PLAIN]) == [PLAIN, PLAIN]
    assert key_of(sealed) == SealingKeys(NEW).ids[0]
    assert key_of(PLAIN) == ""


async def test_without_a_key_nothing_is_written_unsealed() -> None:
    converter = make_data_converter(Settings.read({}))
    with pytest.raises(SettingError, match="HOLDFAST_SECRET_KEY is not set"):
        await converter.encode(["Ada"])
    [sealed] = await make_data_converter(Settings.read({"HOLDFAST_SECRET_KEY": NEW})).encode(["Ada"])
    with pytest.raises(SettingError, match="HOLDFAST_SECRET_KEY is not set"):
        await converter.decode([sealed])


async def test_where_it_is_turned_off_what_is_sealed_can_still_be_read() -> None:
    on = make_data_converter(Settings.read({"HOLDFAST_SECRET_KEY": NEW}))
    off = make_data_converter(Settings.read({"HOLDFAST_SECRET_KEY": NEW, "HOLDFAST_SEAL_PAYLOADS": "off"}))
    [plain] = await off.encode(["Ada"])
    assert plain.data == b'"Ada"'
    assert await off.decode(await on.encode(["Ada"])) == await on.decode([plain]) == ["Ada"]
    with pytest.raises(SettingError, match="HOLDFAST_SEAL_PAYLOADS"):
        Settings.read({"HOLDFAST_SEAL_PAYLOADS": "no"})
