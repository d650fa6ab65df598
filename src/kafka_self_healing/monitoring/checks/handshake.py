"""One TLS handshake over memory buffers, which shows the certificate even where it fails.

asyncio's own transport loses what a failed handshake had brought. Here the certificate is read of
the finished handshake or, with TLS 1.2, of the bytes on the wire: a listener that wants a client
certificate and gets none shows its own before it says so.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Final

from kafka_self_healing.wire.handover import streams
from kafka_self_healing.wire.names import socket_to
from kafka_self_healing.wire.tls import TlsContext, load

_CHUNK_BYTES: Final = 1 << 14
_MOST_BYTES: Final = 1 << 18  # a chain of 20 certificates of 8 kB, and what goes around it
_HANDSHAKE: Final = 22
_CERTIFICATE: Final = 11
_RECORD_HEADER: Final = 5
_MESSAGE_HEADER: Final = 4


@dataclass(frozen=True, slots=True)
class Handshake:
    """How a handshake ended. `certificate`: DER of what the peer served; None: it showed none.

    `error` None: it succeeded. An EOFError: the peer closed in the middle of it.
    """

    certificate: bytes | None
    error: OSError | EOFError | None


async def shake_hands_at(
    host: str, port: int, *, tls: TlsContext, server_name: str, timeout_s: float
) -> Handshake:
    """Connect, within `timeout_s`, and shake hands once; the caller sets the deadline.

    Raises OSError when there is no connection, and what `shake_hands` does.
    """
    context = await load(tls)
    plain = await socket_to(host, port, timeout_s=timeout_s)
    reader, writer = await streams(plain)
    try:
        return await shake_hands(reader, writer, context, server_name)
    finally:
        writer.transport.abort()


async def shake_hands(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    context: ssl.SSLContext,
    server_name: str,
) -> Handshake:
    """Go through one handshake as a client. The caller sets the deadline and closes.

    Raises ValueError: `server_name` can be no name.
    """
    received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(received, to_send, server_hostname=server_name)
    seen = bytearray()
    error: OSError | EOFError | None = None
    done = False
    while not done and error is None:
        try:
            tls.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as wrong:
            error = wrong
        try:
            if to_send.pending:
                writer.write(to_send.read())
                await writer.drain()
            if not done and error is None:
                error = await _receive(reader, received, seen)
        except OSError as wrong:
            error = error or wrong
    if done:
        return Handshake(tls.getpeercert(binary_form=True), None)
    return Handshake(first_certificate(bytes(seen)), error)


async def _receive(
    reader: asyncio.StreamReader, received: ssl.MemoryBIO, seen: bytearray
) -> EOFError | OSError | None:
    data = await reader.read(_CHUNK_BYTES)
    if not data:
        return EOFError("closed during the TLS handshake")
    seen += data
    if len(seen) > _MOST_BYTES:
        return OSError(f"sent more than {_MOST_BYTES} bytes and no end of the TLS handshake")
    received.write(data)
    return None


def first_certificate(seen: bytes) -> bytes | None:
    """Return the DER of the peer's own certificate in the bytes of a TLS 1.2 handshake.

    None: there is none, as in TLS 1.3, where it is encrypted.
    """
    messages = _handshake_bytes(seen)
    at = 0
    while at + _MESSAGE_HEADER <= len(messages):
        kind = messages[at]
        end = at + _MESSAGE_HEADER + _number(messages, at + 1)
        if kind == _CERTIFICATE:
            # three bytes: length of the list; three bytes: length of the first one
            first = at + _MESSAGE_HEADER + 3
            begin = first + 3
            size = _number(messages, first)
            return (
                messages[begin : begin + size] if size and begin + size <= len(messages) else None
            )
        at = end
    return None


def _handshake_bytes(seen: bytes) -> bytes:
    """Return the unencrypted handshake messages; records of another kind end them."""
    messages = bytearray()
    at = 0
    while at + _RECORD_HEADER <= len(seen) and seen[at] == _HANDSHAKE:
        size = int.from_bytes(seen[at + 3 : at + _RECORD_HEADER], "big")
        messages += seen[at + _RECORD_HEADER : at + _RECORD_HEADER + size]
        at += _RECORD_HEADER + size
    return bytes(messages)


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "big")
