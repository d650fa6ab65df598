"""A JMX agent for tests: writes Java serialization and answers JRMP calls on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from kafka_self_healing.wire.jmx.encoding import (
    NULL,
    utf,
    write_object_name,
    write_string,
)
from kafka_self_healing.wire.jmx.operations import (
    CLOSE,
    DEFAULT_DOMAIN,
    GET_ATTRIBUTES,
    GET_MBEAN_INFO,
    LOOKUP,
    NEW_CLIENT,
    QUERY_NAMES,
)
from kafka_self_healing.wire.jmx.reader import NeedMore
from kafka_self_healing.wire.jmx.serialization import Decoder
from kafka_self_healing.wire.jmx.values import JmxValue, Limits

_ARGUMENTS = {
    LOOKUP: 1,
    NEW_CLIENT: 1,
    GET_ATTRIBUTES: 3,
    GET_MBEAN_INFO: 2,
    QUERY_NAMES: 3,
    DEFAULT_DOMAIN: 1,
    CLOSE: 0,
}
SERVER_ID = b"the JMX server's id..."
GREETING = b"\x4e" + utf("127.0.0.1") + struct.pack(">i", 40000)
_UID = bytes(range(14))
_WRITE_OBJECT, _SERIALIZABLE = 1, 2


def recorded_replies() -> dict[str, bytes]:
    """Return what a JVM 17 said, by name of the question."""
    text = (Path(__file__).parent / "data" / "jmx_replies.json").read_text()
    return {name: bytes.fromhex(raw) for name, raw in json.loads(text).items()}


def class_of(
    name: str, *, flags: int = _SERIALIZABLE, fields: bytes = b"\0\0", above: bytes = NULL
) -> bytes:
    """Return a class description."""
    return b"\x72" + utf(name) + bytes(8) + bytes((flags,)) + fields + b"\x78" + above


def boxed(number: int) -> bytes:
    """Return a java.lang.Long."""
    value_field = struct.pack(">H", 1) + b"J" + utf("value")
    return b"\x73" + class_of("java.lang.Long", fields=value_field) + struct.pack(">q", number)


def number(java: str, form: str, value: float) -> bytes:
    """Return a boxed number of a class of java.lang, in struct's form."""
    code = {"d": b"D", "f": b"F", "i": b"I", "?": b"Z", "b": b"B", "h": b"S"}[form]
    described = class_of(f"java.lang.{java}", fields=b"\0\1" + code + utf("value"))
    return b"\x73" + described + struct.pack(f">{form}", value)


def composite(**entries: bytes) -> bytes:
    """Return CompositeData of these entries."""
    contents = b"\0\1L" + utf("contents") + write_string("Ljava/util/SortedMap;")
    described = class_of("javax.management.openmbean.CompositeDataSupport", fields=contents)
    items = [part for name, value in entries.items() for part in (write_string(name), value)]
    return b"\x73" + described + collection("java.util.TreeMap", *items)


def collection(class_name: str, *items: bytes) -> bytes:
    """Return an object that writes its size in a block, then its items."""
    described = class_of(class_name, flags=_SERIALIZABLE | _WRITE_OBJECT)
    return b"\x73" + described + b"\x77\4" + bytes(4) + b"".join(items) + b"\x78"


def object_array(length: int, elements: bytes) -> bytes:
    """Return an Object[] that says it has `length` elements."""
    return b"\x75" + class_of("[Ljava.lang.Object;") + struct.pack(">i", length) + elements


def attribute_list(attributes: dict[str, bytes]) -> bytes:
    """Return an AttributeList; the values are written already."""
    names = b"L" + utf("name") + write_string("Ljava/lang/String;")
    values = b"L" + utf("value") + write_string("Ljava/lang/Object;")
    described = class_of("javax.management.Attribute", fields=b"\0\2" + names + values)
    items = [b"\x73" + described + write_string(name) + v for name, v in attributes.items()]
    return collection("javax.management.AttributeList", *items)


def exception(*ancestry: str, message: str) -> bytes:
    """Return a Throwable of the class that stands first, which extends the next, and so on."""
    text = b"\0\1L" + utf("detailMessage") + write_string("Ljava/lang/String;")
    described = class_of("java.lang.Throwable", fields=text)
    for name in reversed(ancestry):
        described = class_of(name, above=described)
    return b"\x73" + described + write_string(message)


def stub(
    object_id: bytes, *, host: str, port: int, kind: str = "UnicastRef2", factory: str = ""
) -> bytes:
    """Return a stub whose object lives at `host`:`port`; `factory` is a class of sockets."""
    address = utf(host) + struct.pack(">i", port)
    tail = object_id + b"\1"
    head = utf(kind) + (bytes((bool(factory),)) if kind == "UnicastRef2" else b"")
    remote = class_of("java.rmi.server.RemoteObject", flags=_SERIALIZABLE | _WRITE_OBJECT)
    written = b"\x73" + class_of("javax.management.remote.rmi.RMIServerImpl_Stub", above=remote)
    if factory:
        parts = _block(head + address) + b"\x73" + class_of(factory) + _block(tail)
    else:
        parts = _block(head + address + tail)
    return written + parts + b"\x78"


def returned(value: bytes = b"") -> bytes:
    """Return the reply of a call that returned `value` (nothing: void)."""
    return b"\x51\xac\xed\0\5\x77\x0f\1" + _UID + value


def thrown(throwable: bytes) -> bytes:
    """Return the reply of a call that threw."""
    return b"\x51\xac\xed\0\5\x77\x0f\2" + _UID + throwable


def _block(raw: bytes) -> bytes:
    return bytes((0x77, len(raw))) + raw


@dataclass(frozen=True, slots=True)
class Request:
    """One call that the fake has received."""

    object_id: bytes
    operation: bytes
    arguments: tuple[JmxValue, ...]


@dataclass
class FakeAgent:
    """Serves `mbeans` (written attribute values by name) to `credentials`, and counts.

    `override` answers a request instead: bytes are sent (none: the agent hangs), None = as usual.
    """

    mbeans: dict[str, dict[str, bytes]] = field(default_factory=dict)
    credentials: tuple[str, str] | None = None
    override: Callable[[Request], bytes | None] = lambda request: None
    stub_host: str = "127.0.0.1"
    stub_port: int | None = None
    factory: str = ""
    port: int = 0
    connections: int = 0
    acknowledged: int = 0
    requests: list[Request] = field(default_factory=list)
    sessions: set[bytes] = field(default_factory=set)
    _logins: int = 0
    _server: asyncio.Server | None = None
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Hang up, forget all sessions, and listen no more."""
        assert self._server is not None
        self._server.close()
        self.sessions.clear()
        await self.hang_up()

    async def hang_up(self) -> None:
        """Close all connections; the sessions live on."""
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        self._writers.clear()

    def count(self, operation: bytes) -> int:
        """Return how often `operation` was called."""
        return sum(request.operation == operation for request in self.requests)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        pending = b""
        try:
            if await reader.readexactly(7) != b"JRMI\0\2K":
                return  # as Java does: it hangs up without a word
            writer.write(GREETING)
            assert await reader.readexactly(6) == bytes(6)
            while data := await reader.read(65536):
                pending = self._answer_all(pending + data, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _answer_all(self, pending: bytes, writer: asyncio.StreamWriter) -> bytes:
        while pending:
            try:
                request, length = _read_request(pending)
            except NeedMore:
                return pending
            pending = pending[length:]
            if request is None:
                self.acknowledged += 1
                continue
            self.requests.append(request)
            answer = self.override(request)
            writer.write(self._answer(request) if answer is None else answer)
        return b""

    def _answer(self, request: Request) -> bytes:
        match request.operation:
            case operation if operation == LOOKUP:
                port = self.stub_port or self.port
                factory = self.factory
                return returned(stub(SERVER_ID, host=self.stub_host, port=port, factory=factory))
            case operation if operation == NEW_CLIENT:
                return self._log_in(request)
        if request.object_id not in self.sessions:
            return thrown(exception("java.rmi.NoSuchObjectException", message="no such object"))
        match request.operation:
            case operation if operation == GET_ATTRIBUTES:
                return self._attributes(request)
            case operation if operation == QUERY_NAMES:
                names = [write_object_name(name) for name in self.mbeans]
                return returned(collection("java.util.HashSet", *names))
            case operation if operation == DEFAULT_DOMAIN:
                return returned(write_string("DefaultDomain"))
        self.sessions.remove(request.object_id)
        return returned()

    def _log_in(self, request: Request) -> bytes:
        (given,) = request.arguments
        if self.credentials is not None and given != list(self.credentials):
            return thrown(exception("java.lang.SecurityException", message="Bad credentials"))
        self._logins += 1
        session = struct.pack(">q", self._logins) + bytes(14)
        self.sessions.add(session)
        return returned(stub(session, host=self.stub_host, port=self.port))

    def _attributes(self, request: Request) -> bytes:
        name, wanted, _ = request.arguments
        mbean = self.mbeans.get(str(name))
        if mbean is None:
            missing = exception("javax.management.InstanceNotFoundException", message=str(name))
            return thrown(missing)
        assert isinstance(wanted, list)
        return returned(attribute_list({k: v for k, v in mbean.items() if k in wanted}))


def _read_request(data: bytes) -> tuple[Request | None, int]:
    decoder = Decoder(data, 0, Limits())
    if decoder.byte() == 0x54:
        decoder.take(14)
        return None, decoder.position
    assert decoder.take(4) == b"\xac\xed\0\5"
    head = decoder.block()
    operation = bytes(head[22:])
    arguments = tuple(decoder.value() for _ in range(_ARGUMENTS[operation]))
    return Request(bytes(head[:22]), operation, arguments), decoder.position
