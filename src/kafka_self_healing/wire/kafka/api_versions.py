"""ApiVersions: which requests a node offers. It needs no login, so it is the sign of life."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from kafka_self_healing.wire.kafka.errors import UNSUPPORTED_VERSION
from kafka_self_healing.wire.kafka.primitives import Reader, none_if_unknown, write_string
from kafka_self_healing.wire.kafka.request import Api, Request

_FEATURES_EPOCH_TAG, _FEATURES_TAG = 1, 2
_SMALL = 4096  # bytes of a reply that is remembered; Kafka's have less than a thousand
_SOFTWARE = write_string("kafka-self-healing", flexible=True) + write_string("0", flexible=True)


@dataclass(frozen=True, slots=True)
class ApiVersionsReply:
    """`apis`: API key to (lowest, highest version). None: not said in this version."""

    error: int
    apis: Mapping[int, tuple[int, int]]
    features: (
        Mapping[str, int] | None
    )  # finalized feature to its level, for example metadata.version
    features_epoch: int | None  # grows with each change of the features


@dataclass(frozen=True, slots=True)
class ApiVersions(Request[ApiVersionsReply]):
    """Ask a node which requests it offers."""

    api: ClassVar[Api] = Api(key=18, name="ApiVersions", lowest=0, highest=4, first_flexible=3)

    def encode(self, version: int) -> bytes:
        """Return the body: our name from v3 on, else nothing."""
        return _SOFTWARE + b"\0" if self.api.is_flexible(version) else b""

    def decode(self, reader: Reader, version: int) -> ApiVersionsReply:
        """Read the offered APIs. A node that does not know our version answers in v0."""
        body = reader.data[reader.position :]
        reply = _read_small(body, version) if len(body) <= _SMALL else _read(body, version)
        reader.position = reader.end
        return reply


def _read(body: bytes, version: int) -> ApiVersionsReply:
    reader = Reader(body, flexible=ApiVersions.api.is_flexible(version))
    error = reader.int16()
    if error == UNSUPPORTED_VERSION:
        reader.flexible, version = False, 0
    apis = _read_apis(reader)
    if version >= 1:
        reader.int32()  # throttle time
    tags = reader.tags()
    epoch = features = None
    if _FEATURES_EPOCH_TAG in tags:
        epoch = none_if_unknown(reader.part(tags[_FEATURES_EPOCH_TAG]).int64())
    if _FEATURES_TAG in tags:
        features = _read_features(reader.part(tags[_FEATURES_TAG]))
    reader.finish()
    return ApiVersionsReply(error, apis, features, epoch)


# All nodes of a cluster say the same, each of them every few seconds.
_read_small = lru_cache(maxsize=64)(_read)


def _read_apis(reader: Reader) -> dict[int, tuple[int, int]]:
    size = 7 if reader.flexible else 6
    number = reader.count(size)
    raw = reader.data[reader.position : reader.position + size * number]
    if not (reader.flexible and any(raw[6::7])):  # no tagged field in any of them: the usual case
        reader.take(size * number)
        layout = ">hhhx" if reader.flexible else ">hhh"
        return {key: (low, high) for key, low, high in struct.iter_unpack(layout, raw)}
    apis = {}
    for _ in range(number):
        key = reader.int16()
        apis[key] = (reader.int16(), reader.int16())
        reader.tags()
    return apis


def _read_features(reader: Reader) -> dict[str, int]:
    features = {}
    for _ in range(reader.count(6)):
        name = reader.string()
        features[name] = reader.int16()
        reader.int16()  # lowest level
        reader.tags()
    return features
