"""Passwords: which are good enough, and argon2id, which makes each guess cost time and memory."""

from __future__ import annotations

import asyncio
import unicodedata
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from schemas.errors import InputError

SHORTEST = 12
LONGEST = 256
# What is tried first, of those that are long enough; shorter ones are refused for that.
COMMON = frozenset(
    {
        "123456789012", "1234567890123", "12345678901234", "123456789012345", "1234567890123456", "012345678901",
        "0123456789012", "123123123123", "123412341234", "123456123456", "123456654321", "111222333444",
        "112233445566", "121212121212", "1q2w3e4r5t6y", "1q2w3e4r5t6y7u", "1qaz2wsx3edc", "1qaz2wsx3edc4rfv",
        "!qaz2wsx#edc", "qwertyuiop12", "qwertyuiop123", "qwertyuiop[]", "qwertyuiopas", "qwertyuiopasdfgh",
        "qwerty123456", "qwerty12345678", "qwertyqwerty", "qwe123qwe123", "asdfghjkl123", "asdfghjklzxcvbnm",
        "zxcvbnm12345", "abcdefghijkl", "abcdefghijklm", "abcd1234abcd", "abc123abc123", "a1b2c3d4e5f6",
        "password1234", "password12345", "password123456", "password2024", "password2025", "password2026",
        "password1234!", "password123!", "passwordpassword", "passw0rd1234", "p@ssw0rd1234", "p@ssword1234",
        "mypassword123", "mypassword12", "newpassword1", "newpassword123", "thisismypassword", "changemenow1",
        "changeme1234", "changemechangeme", "letmeinletmein", "letmein12345", "letmein123456", "welcome12345",
        "welcome123456", "welcomewelcome", "welcome2024!", "welcome2025!", "welcome2026!", "admin1234567",
        "admin12345678", "adminadminadmin", "administrator", "administrator1", "iloveyou1234", "iloveyouiloveyou",
        "iloveyou12345", "sunshine1234", "princess1234", "football1234", "baseball1234", "dragondragon",
        "monkeymonkey", "trustno1trustno1", "superman1234", "starwars1234", "whatever1234", "computer1234",
        "internet1234", "correcthorsebatterystaple", "holdfast1234", "holdfastholdfast", "holdfast12345",
        "customersuccess", "customersuccess1",
    }
)  # fmt: skip
_hasher = PasswordHasher()
# 64 MB each: a rush of sign-ins waits rather than take all memory.
_turns = ThreadPoolExecutor(2, thread_name_prefix="passwords")
# What is compared with where there is no password, so that this takes as long.
_NOBODY = _hasher.hash("nobody has this password")


def check_password(password: str, *, email: str) -> str:
    """The password as it is hashed (Unicode NFKC). Raises InputError naming the rule it breaks."""
    written = unicodedata.normalize("NFKC", password)
    folded = written.casefold()
    plain = folded.strip()
    if len(written) < SHORTEST:
        raise InputError(
            f"A password has at least {SHORTEST} characters.",
            remedy="A few words one after the other are good.",
        )
    if len(written) > LONGEST:
        raise InputError(f"A password has at most {LONGEST} characters.", remedy="Choose a shorter one.")
    if plain in (email.casefold(), email.casefold().partition("@")[0]):
        raise InputError("The mail address is no password.", remedy="Choose something that nobody knows.")
    if plain in COMMON or len(set(plain)) < 5:
        raise InputError("That password is among the first to be tried.", remedy="Choose another one.")
    return written


async def hash_password(password: str) -> str:
    """What is kept of a password."""
    return await asyncio.get_running_loop().run_in_executor(_turns, _hasher.hash, password)


async def verify_password(kept: str | None, password: str) -> bool:
    """Whether this is it; where nothing is kept, never, after as long a time."""
    written = unicodedata.normalize("NFKC", password[: 4 * LONGEST])
    good = await asyncio.get_running_loop().run_in_executor(_turns, _verify, kept or _NOBODY, written)
    return good and kept is not None


def is_dated(kept: str) -> bool:
    """Whether it was hashed with other parameters than today's."""
    return _hasher.check_needs_rehash(kept)


def _verify(kept: str, password: str) -> bool:
    try:
        return _hasher.verify(kept, password.encode("utf-8", "surrogatepass"))
    except (VerificationError, InvalidHashError):
        return False
