"""`KafkaConnection`: one warm connection to one listener; `opening.connect` makes it."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Mapping
from typing import Any

from kafka_self_healing.wire.kafka.api_versions import ApiVersions, ApiVersionsReply
from kafka_self_healing.wire.kafka.errors import (
    UNSUPPORTED_VERSION,
    KafkaClosedError,
    KafkaProtocolError,
    KafkaTimedOutError,
    KafkaUnsupportedError,
    KafkaWireError,
    KafkaWrongListenerError,
    lost_error,
    not_kafka_error,
)
from kafka_self_healing.wire.kafka.metadata import Metadata
from kafka_self_healing.wire.kafka.primitives import Reader, write_string
from kafka_self_healing.wire.kafka.quorum import DescribeQuorum
from kafka_self_healing.wire.kafka.request import Api, ReplyT, Request
from kafka_self_healing.wire.kafka.sasl import SaslLogin, authenticate

MAX_FRAME_BYTES = 64 << 20  # a Metadata reply of a million partitions
MAX_GREETING_BYTES = 1 << 20  # what may answer ApiVersions and a login, from whomever it comes
MAX_IN_FLIGHT = 64  # a hung node must not make us remember its unanswered requests for ever
RENEWAL_SHARE = 0.8  # of a session's lifetime; Kafka's own clients take 0.85 to 0.95
_LEAST_FRAME_BYTES = 4  # the correlation id
_HELLO_VERSION = 3  # known since Kafka 2.4; an older node answers in v0
_PING_VERSION = 0x7FFF  # known to nobody
_CLIENT_ID = write_string("kafka-self-healing", flexible=False)
_HEADER = struct.Struct(">hhi")
_API_VERSIONS = ApiVersions()

_Waiting = tuple["asyncio.Future[Any]", Request[Any], int]


class KafkaConnection(asyncio.Protocol):
    """One warm connection. Requests may be pipelined; replies are matched by correlation id.

    Made by `connect`. A broken reply loses the connection; a timeout does not, and a late reply is
    thrown away. Not safe for use from several threads.
    """

    def __init__(self, where: str, *, tls: bool) -> None:
        self.where = where
        self.apis: Mapping[int, tuple[int, int]] = {}  # what the peer offers, filled by `hello`
        self.lost: KafkaWireError | None = None  # why it is lost; None while it is open
        self._tls = tls
        self._replied = False
        self._largest = MAX_GREETING_BYTES
        self._before_login = False  # more than ApiVersions was asked, and nobody has logged in
        self._logged_in = False
        self._renewal: asyncio.TimerHandle | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._held: list[bytes] | None = None  # frames that wait for the end of a new login
        self._buffer = bytearray()
        self._correlation_id = 0
        self._waiting: dict[int, _Waiting] = {}
        self._callbacks: list[Callable[[KafkaWireError], None]] = []
        self._transport: asyncio.Transport | None = None
        self._down = asyncio.get_running_loop().create_future()

    def on_lost(self, callback: Callable[[KafkaWireError], None]) -> None:
        """Call `callback` once, from the event loop, when the connection is lost.

        Not called for our own `close`. Called soon when it is lost already. It is a hint to look at
        the node at once, never a verdict.
        """
        if self.lost is None:
            self._callbacks.append(callback)
        else:
            asyncio.get_running_loop().call_soon(callback, self.lost)

    async def call(
        self, request: Request[ReplyT], *, timeout_s: float, max_version: int | None = None
    ) -> ReplyT:
        """Send `request` and wait for its reply, `timeout_s` seconds at most.

        Raises KafkaWireError. Error codes that speak of the node are in the reply.
        """
        future = self.send(request, max_version=max_version)
        return await self._within(
            timeout_s,
            future,
            lambda: (
                f"{self.where}: no reply to {request.api.name} within {timeout_s:.3g} s; "
                "the process may hang: look at the node"
            ),
        )

    def send(
        self, request: Request[ReplyT], *, max_version: int | None = None
    ) -> asyncio.Future[ReplyT]:
        """Send `request` now and return the future of its reply; the caller sets the deadline.

        Raises KafkaWireError when it cannot be sent. The future may be dropped.
        """
        future = self._send(request, self._pick(request, max_version))
        self._largest = MAX_FRAME_BYTES
        self._before_login = not self._logged_in
        return future

    async def ping(self, *, timeout_s: float) -> None:
        """Have the node show that it answers, however often, whether or not anybody logged in.

        A listener with SASL takes one ApiVersions before a login and cuts us off at the second;
        a version that it does not know it answers with error 35 as often as it is asked.
        """
        future = self._send(_API_VERSIONS, _PING_VERSION)
        await self._within(timeout_s, future, lambda: self._silent("ApiVersions", timeout_s))

    async def hello(self, *, timeout_s: float) -> ApiVersionsReply:
        """Ask what the peer offers; `connect` has done it once. Ask again after an upgrade."""

        def silent() -> str:
            return self._silent("ApiVersions", timeout_s)

        future = self._send(_API_VERSIONS, _HELLO_VERSION)
        reply = await self._within(timeout_s, future, silent)
        if reply.error == UNSUPPORTED_VERSION:
            future = self._send(_API_VERSIONS, 0)
            reply = await self._within(timeout_s, future, silent)
        if reply.error:
            raise KafkaProtocolError(
                f"{self.where}: ApiVersions answered error {reply.error}; look at the node's log"
            )
        self.apis = reply.apis
        return reply

    async def log_in(self, login: SaslLogin, host: str, *, timeout_s: float) -> None:
        """Log in, within `timeout_s` seconds, and from now on again before each session ends.

        `host`: the node's name, of which Kerberos makes its principal. What is sent during a later
        login waits for its end; when that fails, the connection is lost. Raises KafkaWireError.
        """

        def ask(request: Request[ReplyT]) -> asyncio.Future[ReplyT]:
            return self._send(request, self._pick(request, None), urgent=True)

        try:
            async with asyncio.timeout(timeout_s):
                lifetime_s = await authenticate(ask, login, host)
        except TimeoutError:
            raise KafkaTimedOutError(self._silent("the login", timeout_s)) from None
        except KafkaWireError as exc:
            raise (exc if str(exc).startswith(self.where) else exc.at(self.where)) from None
        self._logged_in = True
        if lifetime_s is not None and self.lost is None:
            self._renewal = asyncio.get_running_loop().call_later(
                lifetime_s * RENEWAL_SHARE, self._begin_renewal, login, host, timeout_s
            )

    async def close(self) -> None:
        """Close at once. Waiting calls end with KafkaClosedError; `on_lost` is not called."""
        self._callbacks.clear()
        self._lose(KafkaClosedError(f"{self.where}: closed by us"))
        if self._transport is not None:
            await asyncio.shield(self._down)

    def _begin_renewal(self, login: SaslLogin, host: str, timeout_s: float) -> None:
        # Requests under way are answered before the node reads the new login; those that come
        # while it lasts would be refused, so they are held back.
        self._held = []
        self._renewing = asyncio.get_running_loop().create_task(
            self._renew(login, host, timeout_s), name=f"new login at {self.where}"
        )

    async def _renew(self, login: SaslLogin, host: str, timeout_s: float) -> None:
        try:
            await self.log_in(login, host, timeout_s=timeout_s)
        except KafkaWireError as exc:
            self._lose(exc)
        held, self._held = self._held, None
        if self.lost is None and self._transport is not None:
            self._transport.writelines(held or ())

    def _silent(self, about: str, timeout_s: float) -> str:
        hint = "" if self._replied else ", or this port is not Kafka"
        return (
            f"{self.where}: accepted the connection but did not answer {about} within "
            f"{timeout_s:.3g} s; the process may hang{hint}"
        )

    async def _within(
        self, timeout_s: float, future: asyncio.Future[ReplyT], late: Callable[[], str]
    ) -> ReplyT:
        # A deadline on the future costs a quarter of one on the task, and there is one a look.
        timer = asyncio.get_running_loop().call_later(timeout_s, _expire, future, late)
        try:
            return await future
        finally:
            timer.cancel()

    def _pick(self, request: Request[Any], max_version: int | None) -> int:
        api = request.api
        offered = self.apis.get(api.key)
        if offered is None:
            raise self._not_offered(api)
        lowest, highest = max(request.lowest_version, offered[0]), min(api.highest, offered[1])
        if max_version is not None:
            highest = min(highest, max_version)
        if highest < lowest:
            raise KafkaUnsupportedError(
                f"{self.where}: {api.name} is offered in {offered[0]}..{offered[1]}, we need "
                f"{request.lowest_version}..{api.highest}; this Kafka version cannot be asked that"
            )
        return highest

    def _not_offered(self, api: Api) -> KafkaWireError:
        if Metadata.api.key not in self.apis and DescribeQuorum.api.key in self.apis:
            return KafkaWrongListenerError(
                f"{self.where}: offers no {api.name}; this is a controller listener, "
                "ask the node's broker listener"
            )
        return KafkaUnsupportedError(
            f"{self.where}: offers no {api.name}; its Kafka version or listener does not have it"
        )

    def _send(
        self, request: Request[ReplyT], version: int, *, urgent: bool = False
    ) -> asyncio.Future[ReplyT]:
        if self.lost is not None:
            raise self.lost.again()
        if len(self._waiting) >= MAX_IN_FLIGHT:
            raise KafkaTimedOutError(
                f"{self.where}: {len(self._waiting)} requests are unanswered; "
                "the process may hang: close this connection and look at the node"
            )
        assert self._transport is not None, "made by connect()"
        self._correlation_id = correlation_id = (self._correlation_id + 1) & 0x7FFFFFFF
        frame = encode_request(request, version, correlation_id)
        future: asyncio.Future[ReplyT] = asyncio.get_running_loop().create_future()
        self._waiting[correlation_id] = future, request, version
        sized = len(frame).to_bytes(4, "big") + frame
        if self._held is None or urgent:
            self._transport.write(sized)
        else:
            self._held.append(sized)
        return future

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        error = lost_error(
            exc, tls=self._tls, replied=self._replied, before_login=self._before_login
        )
        self._lose(error.at(self.where))
        if not self._down.done():
            self._down.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio: take whole frames out of the stream."""
        buffer = self._buffer
        buffer += data
        try:
            while len(buffer) >= 4 and self.lost is None:
                size = int.from_bytes(buffer[:4], "big")
                if not _LEAST_FRAME_BYTES <= size <= self._largest:
                    raise not_kafka_error(bytes(buffer[:16]))
                if len(buffer) < 4 + size:
                    return
                frame = bytes(buffer[4 : 4 + size])
                del buffer[: 4 + size]
                self._reply(frame)
        except KafkaWireError as exc:
            self._lose(exc.at(self.where))

    def _reply(self, frame: bytes) -> None:
        correlation_id = int.from_bytes(frame[:4], "big", signed=True)
        waiting = self._waiting.pop(correlation_id, None)
        if waiting is None:
            raise KafkaProtocolError(
                f"reply number {correlation_id} to a request that was not sent; check the port"
            )
        self._replied = True
        future, request, version = waiting
        if future.done():  # its caller has given up
            return
        try:
            reply = read_reply(request, version, frame)
        except KafkaProtocolError as exc:
            _fail(future, exc.at(self.where))
            if not isinstance(exc, KafkaUnsupportedError):
                raise
        except KafkaWireError as exc:
            _fail(future, exc.at(self.where))
        else:
            future.set_result(reply)

    def _lose(self, error: KafkaWireError) -> None:
        if self.lost is not None:
            return
        self.lost = error
        self._buffer.clear()
        if self._renewal is not None:
            self._renewal.cancel()
        if self._renewing is not None and self._renewing is not asyncio.current_task():
            self._renewing.cancel()
        waiting, self._waiting = self._waiting, {}
        for future, _, _ in waiting.values():
            if not future.done():
                _fail(future, error.again())
        if self._transport is not None:
            self._transport.abort()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(error)


def encode_request(request: Request[Any], version: int, correlation_id: int) -> bytes:
    """Return the frame of `request` (without its size)."""
    api = request.api
    header = _HEADER.pack(api.key, version, correlation_id) + _CLIENT_ID
    if api.is_flexible(version):
        header += b"\0"
    return header + request.encode(version)


def read_reply(request: Request[ReplyT], version: int, frame: bytes) -> ReplyT:
    """Decode one reply frame (without its size) to `request` as sent in `version`.

    Raises what `Request.decode` raises; bytes that are left over are KafkaProtocolError too.
    """
    api = request.api
    reader = Reader(frame, 4, flexible=api.is_flexible(version))
    try:
        if api.key != ApiVersions.api.key:  # its reply header is never flexible
            reader.tags()
        reply = request.decode(reader, version)
        reader.finish()
    except KafkaUnsupportedError:
        raise
    except KafkaProtocolError as exc:
        raise KafkaProtocolError(
            f"broken reply to {api.name} v{version}: {exc}; check that the port is Kafka's"
        ) from None
    return reply


def _expire(future: asyncio.Future[Any], late: Callable[[], str]) -> None:
    if not future.done():
        future.set_exception(KafkaTimedOutError(late()))


def _fail(future: asyncio.Future[Any], error: KafkaWireError) -> None:
    future.set_exception(error)
    future.exception()  # marks it as seen: a dropped future must not make noise
