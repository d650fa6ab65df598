"""SaslHandshake and SaslAuthenticate: the requests that carry a login."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import ClassVar

from kafka_self_healing.wire.kafka.primitives import (
    Reader,
    write_string,
    write_varint,
)
from kafka_self_healing.wire.kafka.request import Api, Request

UNSUPPORTED_MECHANISM = 33
ILLEGAL_SASL_STATE = 34
AUTHENTICATION_FAILED = 58


@dataclass(frozen=True, slots=True)
class HandshakeReply:
    """`error` 33: the mechanism is none of `mechanisms`; 34: this listener takes no login."""

    error: int
    mechanisms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SaslHandshake(Request[HandshakeReply]):
    """Choose a mechanism. Version 0 is not spoken: what follows it has no frames of Kafka's."""

    api: ClassVar[Api] = Api(key=17, name="SaslHandshake", lowest=1, highest=1, first_flexible=99)

    mechanism: str

    def encode(self, version: int) -> bytes:  # noqa: ARG002 - there is one version
        """Return the body."""
        return write_string(self.mechanism, flexible=False)

    def decode(self, reader: Reader, version: int) -> HandshakeReply:  # noqa: ARG002
        """Read the reply."""
        error = reader.int16()
        return HandshakeReply(error, tuple([reader.string() for _ in range(reader.count(2))]))


@dataclass(frozen=True, slots=True)
class AuthenticateReply:
    """The other side's next message; it may hold what must not be logged.

    `lifetime_ms`: how long the login holds, known at the last message; None: without end, or not
    said below v1.
    """

    error: int
    message: str | None
    data: bytes = field(repr=False)
    lifetime_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SaslAuthenticate(Request[AuthenticateReply]):
    """Send the next message of the mechanism."""

    api: ClassVar[Api] = Api(key=36, name="SaslAuthenticate", lowest=0, highest=2, first_flexible=2)

    data: bytes = field(repr=False)

    def encode(self, version: int) -> bytes:
        """Return the body."""
        if self.api.is_flexible(version):
            return write_varint(len(self.data) + 1) + self.data + b"\0"
        return struct.pack(">i", len(self.data)) + self.data

    def decode(self, reader: Reader, version: int) -> AuthenticateReply:
        """Read the reply."""
        error, message, data = reader.int16(), reader.nullable_string(), reader.blob()
        lifetime_ms = reader.int64() if version >= 1 else 0
        reader.tags()
        return AuthenticateReply(error, message, data, lifetime_ms or None)
