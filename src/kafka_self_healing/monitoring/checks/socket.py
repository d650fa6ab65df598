"""SocketMonitoringPlugin: does anybody accept a TCP connection on the node's port?"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Sequence

from kafka_self_healing.errors import CheckError
from kafka_self_healing.model.evidence import CheckResult, Kind, Outcome
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.monitoring.checks.look import look
from kafka_self_healing.plugins import CheckContext, MonitoringPlugin

_RESET = frozenset({errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE})


class SocketMonitoringPlugin(MonitoringPlugin):
    """LISTENER. A frozen process still accepts: that proves the kernel, not the node."""

    @property
    def kinds(self) -> frozenset[Kind]:
        """LISTENER."""
        return frozenset({Kind.LISTENER})

    def can_ask(self, target: NodeConfig, kind: Kind) -> bool:  # noqa: ARG002 - one kind
        """Return whether the node has a port."""
        return target.port is not None

    async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:
        """Connect once and close again; nothing is sent."""
        assert target.port is not None
        return await look(context, target.id, _connect(target.host, target.port))


async def _connect(host: str, port: int) -> None:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:  # the kernel's own limit; ours is the caller's
        raise CheckError(Outcome.TIMED_OUT, f"{host}:{port}: the kernel gave up") from None
    except OSError as wrong:
        raise CheckError(_outcome(wrong), f"{host}:{port}: {wrong}") from None
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _outcome(wrong: OSError) -> Outcome:
    if isinstance(wrong, socket.gaierror):
        return Outcome.UNREACHABLE
    if wrong.errno == errno.ECONNREFUSED or isinstance(wrong, ConnectionRefusedError):
        return Outcome.REFUSED
    if wrong.errno in _RESET:
        return Outcome.RESET
    # Several addresses that all fail make one OSError without a number; its text names each.
    return Outcome.REFUSED if "refused" in str(wrong).lower() else Outcome.UNREACHABLE
