"""`connect`: from a name and a port to a connection that has answered, and has logged in."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from kafka_self_healing.wire.kafka.connection import KafkaConnection
from kafka_self_healing.wire.kafka.errors import (
    KafkaAuthenticationError,
    KafkaClosedError,
    KafkaResetError,
    KafkaSetupError,
    KafkaTimedOutError,
    KafkaTlsError,
    KafkaWireError,
    connect_error,
    tls_error,
)
from kafka_self_healing.wire.kafka.sasl import SaslLogin
from kafka_self_healing.wire.kafka.sasl_requests import ILLEGAL_SASL_STATE, SaslHandshake
from kafka_self_healing.wire.names import addresses_of, tcp_socket
from kafka_self_healing.wire.tls import TlsContext, load, tls_reason

_NO_MECHANISM: Final = "?"  # none that exists, so that no login begins
_PLAIN_LIMIT_S: Final = 1.0
_ALERT_LIMIT_S: Final = 0.5
_SHARE: Final = 0.98  # of the time left: who tries an address can say how far it got


async def connect(
    host: str,
    port: int,
    *,
    tls: TlsContext | None = None,
    server_name: str | None = None,
    sasl: SaslLogin | None = None,
    greet: bool = True,
    timeout_s: float,
) -> KafkaConnection:
    """Connect to `host`:`port`, learn what it offers, and log in, within `timeout_s` in all.

    Each address of the name (four at most) is tried, for its share of the time. `server_name`: the
    name that the certificate must bear, if it is not `host`. `greet` False: it is not asked what it
    offers and nobody logs in, so nothing but `ping` can be used. Raises KafkaWireError.
    """
    where = f"{host}:{port}"
    made: KafkaConnection | None = None
    try:
        async with asyncio.timeout(timeout_s) as limit:
            context = None if tls is None else await _context(tls)
            addresses = await _addresses(host, port)
            secured = None if context is None else (context, server_name or host)
            share_s = _SHARE * _left_s(limit) / len(addresses)
            made = await _open(where, addresses, port, secured, share_s)
            if greet:
                try:
                    await made.hello(timeout_s=timeout_s)
                except KafkaResetError as exc:
                    again = partial(_open, where, addresses, port, secured, share_s)
                    raise (secured and await _tls_after_all(again)) or exc from None
                if sasl is not None:
                    await made.log_in(sasl, host, timeout_s=timeout_s)
    except TimeoutError:
        if made is not None:
            await made.close()
            raise KafkaTimedOutError(f"{where}: {_unanswered(made, timeout_s)}") from None
        raise _no_connection(timeout_s).at(where) from None
    except KafkaWireError as exc:
        if made is None:
            raise exc.at(where) from None
        await made.close()
        raise
    except asyncio.CancelledError:
        if made is not None:
            await made.close()
        raise
    return made


async def login_wanted(
    host: str,
    port: int,
    *,
    tls: TlsContext | None = None,
    server_name: str | None = None,
    timeout_s: float,
) -> KafkaAuthenticationError | None:
    """Ask a listener that cut us off whether it wanted a login; None: it did not.

    A listener with SASL closes at the first request that is not a login. Raises KafkaWireError.
    """
    asked = await connect(host, port, tls=tls, server_name=server_name, timeout_s=timeout_s)
    try:
        reply = await asked.call(SaslHandshake(_NO_MECHANISM), timeout_s=timeout_s)
    finally:
        await asked.close()
    if reply.error == ILLEGAL_SASL_STATE:
        return None
    offered = ", ".join(reply.mechanisms) or "no mechanism"
    return KafkaAuthenticationError(
        f"{host}:{port}: this listener wants a login (it takes {offered}); set sasl"
    )


def _left_s(limit: asyncio.Timeout) -> float:
    ends = limit.when()
    assert ends is not None
    return max(0.0, ends - asyncio.get_running_loop().time())


async def _context(tls: TlsContext) -> ssl.SSLContext:
    try:
        return await load(tls)
    except OSError as exc:
        raise KafkaSetupError(f"not asked: {tls_reason(exc)}") from None


async def _addresses(host: str, port: int) -> list[str]:
    try:
        return await addresses_of(host, port)
    except OSError as exc:
        raise connect_error(exc) from None


_Secured = tuple[ssl.SSLContext, str]


async def _open(
    where: str, addresses: list[str], port: int, secured: _Secured | None, share_s: float
) -> KafkaConnection:
    # One by one and not by asyncio's own loop over addresses: that one hides the errors of several
    # addresses in a text, and whether a port is refused must not be guessed from a text.
    errors: list[KafkaWireError] = []
    for address in addresses:
        try:
            return await _open_one(where, address, port, secured, share_s)
        except KafkaWireError as exc:
            errors.append(exc)
    # A refusal says more than a timeout or a missing route: the host is up.
    raise next((error for error in errors if error.outcome == "refused"), errors[-1])


async def _open_one(
    where: str, address: str, port: int, secured: _Secured | None, share_s: float
) -> KafkaConnection:
    accepted = False
    try:
        async with asyncio.timeout(share_s):
            plain = await tcp_socket(address, port)
            accepted = True
            return await _over(where, plain, secured, share_s)
    except TimeoutError:
        if accepted:
            raise KafkaTimedOutError(
                f"accepted the connection but did not answer TLS within {share_s:g} s; "
                "the process may hang"
            ) from None
        raise _no_connection(share_s) from None
    except OSError as exc:
        if not accepted:
            raise connect_error(exc) from None
        error = tls_error(exc)
    if isinstance(error, (KafkaClosedError, KafkaResetError)):
        error = await _plain_after_all(where, address, port) or error
    raise error


async def _over(
    where: str, plain: socket.socket, secured: _Secured | None, share_s: float
) -> KafkaConnection:
    loop = asyncio.get_running_loop()
    context, name = secured or (None, None)
    try:
        _, connection = await loop.create_connection(
            lambda: KafkaConnection(where, tls=context is not None),
            sock=plain,
            ssl=context,
            server_hostname=name,
            ssl_handshake_timeout=None if context is None else share_s + 1.0,
        )
    except BaseException:
        plain.close()
        raise
    return connection


async def _tls_after_all(again: Callable[[], Awaitable[KafkaConnection]]) -> KafkaWireError | None:
    """Return the alert that a node sent when it cut us off after the handshake, if it did.

    With TLS 1.3 it looks at our certificate when for us the handshake is over. What we send then
    may meet a closed connection, and the answer to that may destroy the alert: so this time
    nothing is sent.
    """
    made: KafkaConnection | None = None
    told: asyncio.Future[KafkaWireError] = asyncio.get_running_loop().create_future()
    try:
        async with asyncio.timeout(_ALERT_LIMIT_S):
            made = await again()
            made.on_lost(told.set_result)
            error = await told
            return error if isinstance(error, KafkaTlsError) else None
    except (TimeoutError, KafkaWireError):
        return None
    finally:
        if made is not None:
            await made.close()


async def _plain_after_all(where: str, address: str, port: int) -> KafkaTlsError | None:
    """Return the error that says so if the listener that cut our TLS answers without it.

    A process that ends cuts TLS in the same way; only this tells them apart.
    """
    made: KafkaConnection | None = None
    try:
        async with asyncio.timeout(_PLAIN_LIMIT_S):
            made = await _over(where, await tcp_socket(address, port), None, _PLAIN_LIMIT_S)
            await made.ping(timeout_s=_PLAIN_LIMIT_S)
    except (TimeoutError, OSError, KafkaWireError):
        return None
    finally:
        if made is not None:
            await made.close()
    return KafkaTlsError("this listener speaks no TLS, it answers in plain text; remove tls")


def _unanswered(made: KafkaConnection, timeout_s: float) -> str:
    asked = "the login" if made.apis else "ApiVersions"
    hint = "" if made.apis else ", or this port is not Kafka"
    return (
        f"accepted the connection but did not answer {asked} within {timeout_s:g} s; "
        f"the process may hang{hint}"
    )


def _no_connection(limit_s: float) -> KafkaTimedOutError:
    return KafkaTimedOutError(
        f"no connection within {limit_s:g} s; is the host up, is a firewall between?"
    )
