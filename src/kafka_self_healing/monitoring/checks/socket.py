"""SocketMonitoringPlugin: does anybody accept a connection on the node's port, with TLS if set?"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Sequence

from kafka_self_healing.errors import CheckError
from kafka_self_healing.model.access import TlsConfig
from kafka_self_healing.model.evidence import CheckResult, Kind, Outcome
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.monitoring.access import Access
from kafka_self_healing.monitoring.checks.look import look
from kafka_self_healing.plugins import CheckContext, MonitoringPlugin
from kafka_self_healing.wire.names import addresses_of, tcp_socket
from kafka_self_healing.wire.tls import TlsFileError, is_from_peer, load, tls_reason

_RESET = frozenset({errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE})


class SocketMonitoringPlugin(MonitoringPlugin):
    """LISTENER. A frozen process still accepts: that proves the kernel, not the node.

    Where the listener has TLS a handshake is done, which a frozen process does not answer.
    """

    def __init__(self, access: Access | None = None) -> None:
        """Take the TLS contexts of `access`, which all checks may share."""
        self._access = access or Access()

    @property
    def kinds(self) -> frozenset[Kind]:
        """LISTENER."""
        return frozenset({Kind.LISTENER})

    def can_ask(self, target: NodeConfig, kind: Kind) -> bool:  # noqa: ARG002 - one kind
        """Return whether the node has a port."""
        return target.port is not None

    async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:
        """Connect once and close again; nothing is sent but TLS's handshake."""
        return await look(context, target.id, self._knock(target, context.timeout_s))

    async def _knock(self, target: NodeConfig, limit_s: float) -> None:
        assert target.port is not None
        where = f"{target.host}:{target.port}"
        opened = await _connected(target.host, target.port, limit_s)
        try:
            tls = _tls(target)
            if tls is not None:
                await self._greet(opened, tls, target.host, where)
        finally:
            opened.close()

    async def _greet(self, opened: socket.socket, tls: TlsConfig, host: str, where: str) -> None:
        files, name = self._access.tls_context(tls), tls.server_name or host
        assert files is not None
        transport: asyncio.BaseTransport | None = None
        try:
            context = await load(files, name)
            # The rest of the look's time is the limit of the handshake.
            transport, _ = await asyncio.get_running_loop().create_connection(
                asyncio.Protocol,
                sock=opened,
                ssl=context,
                server_hostname=name,
            )
        except TlsFileError as wrong:
            raise CheckError(Outcome.PROTOCOL, f"{where}: not asked: {wrong}") from None
        except OSError as wrong:
            outcome = Outcome.CLOSED
            if is_from_peer(wrong):
                outcome = Outcome.TLS
            elif wrong.errno in _RESET and not isinstance(wrong, ssl.SSLError):
                outcome = Outcome.RESET
            raise CheckError(outcome, f"{where}: TLS: {tls_reason(wrong)}") from None
        finally:
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()


def _tls(target: NodeConfig) -> TlsConfig | None:
    """Return how the port is spoken to on which the node answers for itself."""
    if target.is_broker or target.is_voter:
        return target.listener.tls
    return target.zookeeper.tls


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
