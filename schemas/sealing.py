"""Sealing bytes so that only a holder of HOLDFAST_SECRET_KEY reads them, and notices if they were touched.

XAES-256-GCM (C2SP): AES-256-GCM under a key of its own for each message, derived from a nonce of 192 bits. Plain
AES-GCM with nonces drawn at random is good for 2^32 messages a key, which a busy installation seals in a few weeks.
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.errors import SettingError

NONCE_BYTES = 24
_KEY_BYTES = 32
_ID_BYTES = 8
_BLOCK_BYTES = 16


class SealingKeys:
    """Seals with the newest key and opens what any of them sealed.

    secret: HOLDFAST_SECRET_KEY, of which the keys are no copies (HKDF-SHA-256); where that is several, parted by
    spaces, the first seals. `ids` name the keys, the sealing one first, and tell nothing of them.
    """

    def __init__(self, secret: str) -> None:
        self._keys = {_derive_id(part): Xaes256Gcm(_derive_key(part)) for part in secret.split()}
        self.ids = tuple(self._keys)

    def seal(self, plain: bytes) -> bytes:
        """Nonce, ciphertext and tag: 40 bytes more than `plain`, other ones each time."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._keys[self.ids[0]].encrypt(nonce, plain)

    def open(self, key_id: str, sealed: bytes) -> bytes:
        """What was sealed. Raises SettingError where the key isn't among these, or it isn't what the key sealed."""
        key = self._keys.get(key_id)
        if key is None:
            raise SettingError(
                f"A payload was sealed with the key {key_id}, which HOLDFAST_SECRET_KEY doesn't hold.",
                remedy="Give every process the same keys, with old ones behind the new one, parted by spaces.",
            )
        try:
            return key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:])
        except (InvalidTag, ValueError):
            raise SettingError(
                f"A payload isn't what the key {key_id} sealed: it was changed, or cut short.",
                remedy="Look for what changed it on its way.",
            ) from None


class Xaes256Gcm:
    """XAES-256-GCM of C2SP (c2sp.org/XAES-256-GCM) under one key of 32 bytes, with nonces of 24 bytes."""

    def __init__(self, key: bytes) -> None:
        self._cipher = Cipher(AES(key), ECB())  # noqa: S305 - single blocks: the key derivation is CMAC's
        doubled = int.from_bytes(self._encrypt_blocks(bytes(_BLOCK_BYTES))) << 1
        if doubled >> 128:
            doubled ^= (1 << 128) | 0x87
        # CMAC's K1, once for each of a message's two blocks.
        self._mask = int.from_bytes(doubled.to_bytes(_BLOCK_BYTES) * 2)

    def encrypt(self, nonce: bytes, plain: bytes) -> bytes:
        """Ciphertext and tag."""
        return self._for_message(nonce).encrypt(nonce[12:], plain, None)

    def decrypt(self, nonce: bytes, sealed: bytes) -> bytes:
        """The plaintext. Raises InvalidTag, and ValueError where the nonce is too short."""
        return self._for_message(nonce).decrypt(nonce[12:], sealed, None)

    def _for_message(self, nonce: bytes) -> AESGCM:
        if len(nonce) != NONCE_BYTES:
            raise ValueError("the nonce must have 24 bytes")
        blocks = b"\x00\x01X\x00" + nonce[:12] + b"\x00\x02X\x00" + nonce[:12]
        return AESGCM(self._encrypt_blocks((int.from_bytes(blocks) ^ self._mask).to_bytes(2 * _BLOCK_BYTES)))

    def _encrypt_blocks(self, blocks: bytes) -> bytes:
        return self._cipher.encryptor().update(blocks)


def _derive_key(secret: str) -> bytes:
    return _derive(secret, b"holdfast payloads", _KEY_BYTES)


def _derive_id(secret: str) -> str:
    return _derive(secret, b"holdfast payloads, the key's name", _ID_BYTES).hex()


def _derive(secret: str, purpose: bytes, length_bytes: int) -> bytes:
    # Nothing else that is ever made of the secret has this purpose. The secret is random, so no salt is needed.
    return HKDF(SHA256(), length_bytes, salt=None, info=purpose).derive(secret.encode())
