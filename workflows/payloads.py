"""How everything that goes to Temporal is written: pydantic's JSON, sealed, so that its histories tell nobody anything.

Every client (and with it its workers) is connected in the manner chosen here. Ids, search attributes, and the names of
workflows, activities and queues are never sealed: no personal data goes there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict

from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
)
from temporalio.service import GrpcCompression

from schemas.errors import SettingError
from schemas.sealing import SealingKeys
from schemas.settings import Settings

# What Temporal's UI and CLI know as something for the codec endpoint.
ENCODING, KEY_ID = "encoding", "encryption-key-id"
SEALED = b"binary/encrypted"


class PayloadSealing(PayloadCodec):
    """Seals every payload whole, with its metadata; opens what was sealed, and lets what never was pass.

    Without keys (`None`) nothing sealed can be read, and nothing can be written. `seals=False` only reads.
    """

    def __init__(self, keys: SealingKeys | None, *, seals: bool = True) -> None:
        self._keys = keys
        self._seals = seals

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Each payload sealed on its own. Raises SettingError without a key: nothing goes unsealed for want of one."""
        return [self.seal(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Each payload opened. Raises SettingError where its key isn't here, or it was changed."""
        return [self.open(payload) for payload in payloads]

    def seal(self, payload: Payload) -> Payload:
        """One payload, sealed, unless this only reads."""
        if not self._seals:
            return payload
        keys = self._require_keys()
        # Nothing of where it is goes in: a payload outlives its place (continue-as-new, reset, results in markers).
        data = keys.seal(payload.SerializeToString())
        return Payload(metadata={ENCODING: SEALED, KEY_ID: keys.ids[0].encode()}, data=data)

    def open(self, payload: Payload) -> Payload:
        """One payload as it was; what isn't sealed stays what it is."""
        key_id = key_of(payload)
        if not key_id:
            return payload
        return Payload.FromString(self._require_keys().open(key_id, payload.data))

    def _require_keys(self) -> SealingKeys:
        if self._keys is None:
            raise SettingError(
                "HOLDFAST_SECRET_KEY is not set, so that nothing can be sealed for Temporal, or read there.",
                remedy="Give this process the key that the workers have.",
            )
        return self._keys


def key_of(payload: Payload) -> str:
    """The name of the key that a payload was sealed with; empty if it isn't sealed."""
    if payload.metadata.get(ENCODING) != SEALED:
        return ""
    return payload.metadata.get(KEY_ID, b"").decode("ascii", "replace")


def make_sealing(settings: Settings) -> PayloadSealing:
    """What seals and opens as the environment says."""
    keys = SealingKeys(settings.secret_key) if settings.secret_key else None
    return PayloadSealing(keys, seals=settings.seal_payloads)


class Manner(TypedDict):
    """How a client writes: arguments of `Client.connect`."""

    data_converter: DataConverter
    grpc_compression: GrpcCompression


def choose_manner(settings: Settings) -> Manner:
    """As the environment says. What is sealed can't be compressed, and trying costs more than sealing it did."""
    compression = GrpcCompression.NONE if settings.seal_payloads else GrpcCompression.GZIP
    return {"data_converter": make_data_converter(settings), "grpc_compression": compression}


def make_data_converter(settings: Settings) -> DataConverter:
    """The converter of this environment: sealing, texts of errors included, unless HOLDFAST_SEAL_PAYLOADS is off."""
    converter = replace(pydantic_data_converter, payload_codec=make_sealing(settings))
    if not settings.seal_payloads:
        return converter
    return replace(converter, failure_converter_class=DefaultFailureConverterWithEncodedAttributes)
