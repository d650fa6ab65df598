"""`exchange`: one connection, one request, the whole answer up to its end; bounded in all ways."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass

from kafka_self_healing.wire.handover import streams
from kafka_self_healing.wire.names import socket_to
from kafka_self_healing.wire.tls import TlsContext, load, tls_reason, wants_tls
from kafka_self_healing.wire.zookeeper.errors import (
    ZooKeeperClosedError,
    ZooKeeperError,
    ZooKeeperProtocolError,
    ZooKeeperSetupError,
    ZooKeeperTimedOutError,
    ZooKeeperTlsError,
    connect_error,
    lost_error,
    tls_error,
)

MAX_ANSWER_BYTES = 1 << 20
"""An `mntr` of 3.8 has 17 kB; a member with thousands of metrics of its own stays below this."""

_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One port of a member. `tls` None: plain. `server_name`: what its certificate must bear."""

    host: str
    port: int
    tls: TlsContext | None = None
    server_name: str | None = None

    @property
    def where(self) -> str:
        """The place for messages."""
        return f"{self.host}:{self.port}"


@dataclass(slots=True)
class _Progress:
    """How far an exchange came: what its time limit then says."""

    connected: bool = False
    nudged: bool = False
    data: bytearray | None = None


async def exchange(
    endpoint: Endpoint, request: bytes, *, timeout_s: float, nudge: bytes = b""
) -> bytes:
    """Send `request` and return all that comes until the peer closes, `timeout_s` at most.

    `nudge` is sent after half of the time without a byte: a TLS listener waits for the rest of a
    record header after four bytes, and closes at the fifth; a process that hangs does neither.
    Raises ZooKeeperError.
    """
    progress = _Progress()
    try:
        async with asyncio.timeout(timeout_s):
            return await _exchange(endpoint, request, timeout_s, nudge, progress)
    except TimeoutError:
        raise ZooKeeperTimedOutError(
            f"{endpoint.where}: {_silence(progress, tls=endpoint.tls is not None)} within "
            f"{timeout_s:g} s; look at the node"
        ) from None
    except ZooKeeperError as wrong:
        raise wrong.at(endpoint.where) from None


def _silence(progress: _Progress, *, tls: bool) -> str:
    if not progress.connected:
        return "no connection" + (" or no TLS handshake" if tls else "")
    if progress.data:
        return f"its answer did not end (after {len(progress.data)} bytes)"
    return "it accepted the connection but did not answer"


async def _exchange(
    endpoint: Endpoint, request: bytes, timeout_s: float, nudge: bytes, progress: _Progress
) -> bytes:
    tls = endpoint.tls is not None
    reader, writer = await _open(endpoint, timeout_s)
    progress.connected = True
    progress.data = data = bytearray()
    nudging: asyncio.TimerHandle | None = None

    def send_nudge() -> None:
        if not data:
            progress.nudged = True
            writer.write(nudge)

    try:
        writer.write(request)
        if nudge:
            nudging = asyncio.get_running_loop().call_later(timeout_s / 2, send_nudge)
        while chunk := await _read(reader, data):
            data += chunk
            if len(data) > MAX_ANSWER_BYTES:
                raise ZooKeeperProtocolError(
                    f"answered more than {MAX_ANSWER_BYTES} bytes; this is no answer of ZooKeeper, "
                    "check the port"
                )
    finally:
        if nudging is not None:
            nudging.cancel()
        # Not close(): over TLS that would wait for the peer's farewell.
        writer.transport.abort()
    if not data:
        raise _closed(tls=tls, nudged=progress.nudged)
    if not tls and wants_tls(bytes(data[:1])):
        raise ZooKeeperTlsError("answered with a TLS alert; this port wants TLS")
    return bytes(data)


async def _open(
    endpoint: Endpoint, timeout_s: float
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = await _context(endpoint.tls)
    name = (endpoint.server_name or endpoint.host) if context else None
    plain = await _connected(endpoint, timeout_s)
    try:
        return await streams(plain, context=context, name=name)
    except OSError as wrong:
        raise tls_error(wrong) from None
    except ValueError as wrong:  # a name that no certificate could bear
        raise ZooKeeperSetupError(f"not asked: {wrong}; set tls.server_name") from None


async def _context(tls: TlsContext | None) -> ssl.SSLContext | None:
    if tls is None:
        return None
    try:
        return await load(tls)
    except OSError as wrong:
        raise ZooKeeperSetupError(f"not asked: {tls_reason(wrong)}") from None


async def _connected(endpoint: Endpoint, timeout_s: float) -> socket.socket:
    try:
        return await socket_to(endpoint.host, endpoint.port, timeout_s=timeout_s)
    except OSError as wrong:
        raise connect_error(wrong) from None


async def _read(reader: asyncio.StreamReader, data: bytearray) -> bytes:
    try:
        return await reader.read(_CHUNK_BYTES)
    except OSError as wrong:
        if data:
            # A member that closes while our nudge is unread resets the connection after its
            # answer; whether that is whole is the parser's to judge.
            return b""
        raise lost_error(wrong) from None


def _closed(*, tls: bool, nudged: bool) -> ZooKeeperError:
    if nudged:
        return ZooKeeperTlsError("closed at the fifth byte, as a TLS listener does; it wants TLS")
    if tls:
        return ZooKeeperClosedError(
            "closed after the TLS handshake without an answer; a client certificate that the "
            "member wants and did not get looks like this, and so does a process that ends"
        )
    return ZooKeeperClosedError(
        "closed without an answer; it shuts down, or this port is not ZooKeeper"
    )
