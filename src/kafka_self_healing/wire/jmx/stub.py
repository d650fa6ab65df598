"""Remote references: where an RMI object lives, read out of its stub."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from kafka_self_healing.wire.jmx.encoding import decode_modified_utf8
from kafka_self_healing.wire.jmx.errors import JmxProtocolError
from kafka_self_healing.wire.jmx.throwable import printable
from kafka_self_healing.wire.jmx.values import Block, JavaObject, JmxValue

_REMOTE_OBJECT = "java.rmi.server.RemoteObject"
_MAX_HOST = 255
_WITH_SOCKET_FACTORY = 1


@dataclass(frozen=True, slots=True)
class RemoteReference:
    """Where an object lives, as the server tells it.

    `host` is only what the server believes its name is; `JmxClient` does not go there.
    `socket_factory` is the Java class that the server wants its clients to connect with.
    """

    host: str
    port: int
    object_id: bytes
    socket_factory: str | None
    needs_ack: bool


def read_stub(stub: JmxValue) -> RemoteReference:
    """Return the reference inside a stub or a dynamic proxy; JmxProtocolError if there is none."""
    for _ in range(2):  # a proxy holds the remote object in its handler `h`
        if not isinstance(stub, JavaObject) or stub.is_a(_REMOTE_OBJECT):
            break
        stub = stub.fields.get("h")
    if not isinstance(stub, JavaObject) or not stub.is_a(_REMOTE_OBJECT):
        raise JmxProtocolError("the registry entry is not a remote object")
    written = b"".join(part for part in stub.annotation if isinstance(part, Block))
    objects = [part for part in stub.annotation if not isinstance(part, Block)]
    try:
        return _read_reference(written, objects)
    except (struct.error, IndexError):
        raise JmxProtocolError("the stub's reference is malformed") from None


def _read_reference(written: bytes, objects: list[JmxValue]) -> RemoteReference:
    kind, position = _read_utf(written, 0)
    factory = None
    if kind == "UnicastRef2":
        if written[position] == _WITH_SOCKET_FACTORY:
            factory = _class_of(objects)
        position += 1
    elif kind != "UnicastRef":
        raise JmxProtocolError(f"unknown kind of remote reference: {printable(kind, 40)}")
    host, position = _read_utf(written, position)
    port, object_id, needs_ack = struct.unpack_from(">i22s?", written, position)
    if not 0 < port < 65536 or len(host) > _MAX_HOST:
        raise JmxProtocolError("the stub names an impossible address")
    return RemoteReference(host, port, object_id, factory, needs_ack)


def _read_utf(written: bytes, position: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">H", written, position)
    start = position + 2
    (raw,) = struct.unpack_from(f">{length}s", written, start)
    return decode_modified_utf8(raw), start + length


def _class_of(objects: list[JmxValue]) -> str:
    factory = objects[0] if objects else None
    return printable(factory.class_name, 80) if isinstance(factory, JavaObject) else "unknown"
