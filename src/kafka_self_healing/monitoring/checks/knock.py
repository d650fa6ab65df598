"""`knock`: connect once to a listener, with a TLS handshake if it has TLS, and close again."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl

from kafka_self_healing.errors import CheckError
from kafka_self_healing.model.evidence import Outcome
from kafka_self_healing.wire.handover import speak
from kafka_self_healing.wire.names import addresses_of, tcp_socket
from kafka_self_healing.wire.tls import TlsContext, TlsFileError, is_from_peer, load, tls_reason

_RESET = frozenset({errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE})


async def knock(
    host: str, port: int, *, tls: TlsContext | None, server_name: str, timeout_s: float
) -> None:
    """Connect; nothing is sent but TLS's handshake. Raises CheckError.

    `timeout_s` is that of connecting; the caller sets the deadline of the whole.
    """
    opened = await _connected(host, port, timeout_s)
    context: ssl.SSLContext | None = None
    try:
        if tls is not None:
            context = await load(tls, server_name)
    except TlsFileError as wrong:
        text = f"{host}:{port}: not asked: {wrong}"
        raise CheckError(Outcome.PROTOCOL, text) from None
    finally:
        if context is None:
            opened.close()
    if context is not None:
        await _greet(opened, context, server_name, f"{host}:{port}")


async def _greet(opened: socket.socket, context: ssl.SSLContext, name: str, where: str) -> None:
    try:
        # The rest of the look's time is the limit of the handshake.
        transport, _ = await speak(opened, asyncio.Protocol, context=context, name=name)
    except OSError as wrong:
        outcome = Outcome.CLOSED
        if is_from_peer(wrong):
            outcome = Outcome.TLS
        elif wrong.errno in _RESET and not isinstance(wrong, ssl.SSLError):
            outcome = Outcome.RESET
        raise CheckError(outcome, f"{where}: TLS: {tls_reason(wrong)}") from None
    transport.abort()


async def _connected(host: str, port: int, limit_s: float) -> socket.socket:
    """Try each address of the name for its share of the time."""
    where = f"{host}:{port}"
    errors: list[CheckError] = []
    try:
        addresses = await addresses_of(host, port)
    except OSError as wrong:
        raise CheckError(Outcome.UNREACHABLE, f"{where}: {wrong}") from None
    for address in addresses:
        try:
            async with asyncio.timeout(limit_s / len(addresses)):
                return await tcp_socket(address, port)
        except TimeoutError:
            errors.append(CheckError(Outcome.TIMED_OUT, f"{where}: nothing accepts a connection"))
        except OSError as wrong:
            errors.append(CheckError(_outcome(wrong), f"{where}: {wrong}"))
    # A refusal says more than a missing route: the host is up.
    raise next((one for one in errors if one.outcome == Outcome.REFUSED), errors[-1])


def _outcome(wrong: OSError) -> Outcome:
    if isinstance(wrong, ConnectionRefusedError):
        return Outcome.REFUSED
    return Outcome.RESET if wrong.errno in _RESET else Outcome.UNREACHABLE
