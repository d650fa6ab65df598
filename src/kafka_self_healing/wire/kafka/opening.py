"""`connect`: from a name and a port to a connection that has answered, and has logged in."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

from kafka_self_healing.wire.handover import speak
from kafka_self_healing.wire.kafka.connection import KafkaConnection
from kafka_self_healing.wire.kafka.errors import (
    KafkaAuthenticationError,
    KafkaClosedError,
    KafkaResetError,
    KafkaSetupError,
    KafkaTimedOutError,
    KafkaTlsError,
    KafkaUnreachableError,
    KafkaWireError,
    connect_error,
    tls_error,
)
from kafka_self_healing.wire.kafka.sasl import SaslLogin
from kafka_self_healing.wire.kafka.sasl_requests import ILLEGAL_SASL_STATE, SaslHandshake
from kafka_self_healing.wire.names import addresses_of, tcp_socket
from kafka_self_healing.wire.tls import TlsContext, load, tls_reason

_FILES: Final = "our own TLS files"
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
    opening = _Opening(host, port, server_name or host)
    made: KafkaConnection | None = None
    try:
        async with asyncio.timeout(timeout_s) as limit:
            made = await opening.open(tls, limit)
            if greet:
                await opening.greet(made, timeout_s)
                if sasl is not None:
                    opening.waits_for = "the login"
                    await made.log_in(sasl, host, timeout_s=timeout_s)
    except TimeoutError:
        if made is not None:
            await made.close()
        raise opening.late(timeout_s).at(opening.where) from None
    except KafkaWireError as exc:
        if made is None:
            raise exc.at(opening.where) from None
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


class _Opening:
    """One attempt to connect, which knows how far it has got. Its errors have no address."""

    def __init__(self, host: str, port: int, name: str) -> None:
        self.where = f"{host}:{port}"
        self.waits_for = ""  # what a peer that accepted owes us, or our own files
        self._host, self._port, self._name = host, port, name
        self._context: ssl.SSLContext | None = None
        self._addresses: list[str] = []
        self._share_s = 0.0

    async def open(self, tls: TlsContext | None, limit: asyncio.Timeout) -> KafkaConnection:
        """Load the TLS files, look up the name, and try each address for its share of the time."""
        if tls is not None:
            self.waits_for = _FILES
            try:
                self._context = await load(tls, self._name)
            except OSError as exc:
                raise KafkaSetupError(f"not asked: {tls_reason(exc)}") from None
        self.waits_for = ""
        try:
            self._addresses = await addresses_of(self._host, self._port)
        except OSError as exc:
            raise connect_error(exc) from None
        ends = limit.when()
        assert ends is not None
        left_s = max(0.0, ends - asyncio.get_running_loop().time())
        self._share_s = _SHARE * left_s / len(self._addresses)
        return await self._try_all()

    async def greet(self, made: KafkaConnection, timeout_s: float) -> None:
        """Ask what the peer offers."""
        self.waits_for = "ApiVersions"
        try:
            await made.hello(timeout_s=timeout_s)
        except KafkaResetError as exc:
            if self._context is None:
                raise
            raise (await _tls_after_all(self._try_all)) or exc from None

    def late(self, limit_s: float) -> KafkaWireError:
        """Say what was waited for when the time was over."""
        if self.waits_for == _FILES:
            return KafkaSetupError(f"not asked: {_FILES} were not read within {limit_s:.3g} s")
        if not self._addresses:
            return KafkaUnreachableError(
                f"no address of the name within {limit_s:.3g} s; check name and resolver"
            )
        if not self.waits_for:
            return KafkaTimedOutError(
                f"no connection within {limit_s:.3g} s; is the host up, is a firewall between?"
            )
        hint = ", or this port is not Kafka" if self.waits_for == "ApiVersions" else ""
        return KafkaTimedOutError(
            f"accepted the connection but did not answer {self.waits_for} within {limit_s:.3g} s; "
            f"the process may hang{hint}"
        )

    async def _try_all(self) -> KafkaConnection:
        # One by one and not by asyncio's own loop over addresses: that one hides the errors of
        # several addresses in a text, and whether a port is refused must not be guessed from it.
        errors: list[KafkaWireError] = []
        for address in self._addresses:
            try:
                return await self._try(address)
            except KafkaWireError as exc:
                errors.append(exc)
        # A refusal says more than a timeout or a missing route: the host is up.
        raise next((error for error in errors if error.outcome == "refused"), errors[-1])

    async def _try(self, address: str) -> KafkaConnection:
        self.waits_for = ""
        try:
            async with asyncio.timeout(self._share_s):
                plain = await tcp_socket(address, self._port)
                self.waits_for = "TLS"
                return await _over(self.where, plain, self._context, self._name, self._share_s)
        except TimeoutError:
            raise self.late(self._share_s) from None
        except OSError as exc:
            if not self.waits_for:
                raise connect_error(exc) from None
            error = tls_error(exc)
        if isinstance(error, (KafkaClosedError, KafkaResetError)):
            error = await _plain_after_all(self.where, address, self._port) or error
        raise error


async def _over(
    where: str, plain: socket.socket, context: ssl.SSLContext | None, name: str, limit_s: float
) -> KafkaConnection:
    _, made = await speak(
        plain,
        lambda: KafkaConnection(where, tls=context is not None),
        context=context,
        name=name,
        handshake_s=limit_s + 1.0,  # ours comes first
    )
    return made


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
            plain = await tcp_socket(address, port)
            made = await _over(where, plain, None, "", _PLAIN_LIMIT_S)
            await made.ping(timeout_s=_PLAIN_LIMIT_S)
    except (TimeoutError, OSError, KafkaWireError):
        return None
    finally:
        if made is not None:
            await made.close()
    return KafkaTlsError("this listener speaks no TLS, it answers in plain text; remove tls")
