"""The wire clients of the simulation: objects like the real ones, with answers out of the world.

What they answer is made of the facts of `readings`, which the real checks make into facts again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from kafka_self_healing.errors import CheckError
from kafka_self_healing.model.evidence import JvmFact, Kind, Outcome, ProtocolFact
from kafka_self_healing.monitoring.checks.handshake import Handshake
from kafka_self_healing.monitoring.clients import WireClients
from kafka_self_healing.simulation.node import Node
from kafka_self_healing.simulation.scenarios import OUTSIDE
from kafka_self_healing.simulation.tier_b.answers import Answers
from kafka_self_healing.simulation.tier_b.certificates import certificate_until
from kafka_self_healing.simulation.tier_b.loop import BEGAN_UTC_S
from kafka_self_healing.simulation.tier_b.mbeans import MBeans, gauges, mbeans
from kafka_self_healing.simulation.tier_b.network import Network, Unanswered
from kafka_self_healing.wire import kafka, zookeeper
from kafka_self_healing.wire.jmx import JmxClient, JmxError, JmxNotFound, JmxValue
from kafka_self_healing.wire.jmx.errors import JmxConnectError, JmxTimeout
from kafka_self_healing.wire.kafka.api_versions import ApiVersionsReply
from kafka_self_healing.wire.kafka.errors import (
    KafkaRefusedError,
    KafkaResetError,
    KafkaTimedOutError,
)
from kafka_self_healing.wire.kafka.request import ReplyT, Request
from kafka_self_healing.wire.tls import TlsContext


class SimWire(WireClients):
    """All clients of one daemon process. `cut` ends its connections to a node."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._answers = Answers(network)
        self._open: dict[int, SimConnection | SimJmx] = {}
        self._numbers = 0

    def keep(self, link: SimConnection | SimJmx) -> int:
        """Remember an open connection; return its number."""
        self._numbers += 1
        self._open[self._numbers] = link
        return self._numbers

    def forget(self, number: int) -> None:
        """A connection is closed."""
        self._open.pop(number, None)

    def cut(self, id_: str) -> None:
        """The node's process has ended: its kernel closes all connections."""
        for link in [link for link in self._open.values() if link.node.id == id_]:
            link.cut()

    async def knock(
        self, host: str, port: int, *, tls: TlsContext | None, server_name: str, timeout_s: float
    ) -> None:
        """Connect once and close again. Raises CheckError."""
        del server_name
        where = f"{host}:{port}"
        try:
            if host == OUTSIDE:
                await self._network.go_out(timeout_s)
                return
            node = self._network.node(host)
            outcome, _ = await self._network.read(node, Kind.LISTENER, timeout_s)
            if tls is not None and node.frozen:
                await self._network.silence(timeout_s)
        except Unanswered:
            raise CheckError(Outcome.TIMED_OUT, f"{where}: nothing accepts a connection") from None
        if outcome is not Outcome.ANSWERED:
            raise CheckError(outcome, f"{where}: {outcome.value}")

    async def shake_hands(
        self, host: str, port: int, *, tls: TlsContext, server_name: str, timeout_s: float
    ) -> Handshake:
        """Show the node's certificate."""
        del port, tls, server_name
        node = self._network.node(host)
        try:
            outcome, _ = await self._network.read(node, Kind.CERTIFICATE, timeout_s)
        except Unanswered:
            raise TimeoutError from None
        if outcome is not Outcome.ANSWERED or node.not_after is None:
            raise ConnectionRefusedError(111, "Connection refused")
        return Handshake(certificate_until(int(BEGAN_UTC_S + node.not_after)), None)

    async def connect_kafka(self, host: str, port: int, **how: Any) -> kafka.KafkaConnection:
        """Open a connection: the peer has answered ApiVersions. Raises KafkaWireError."""
        node, where, timeout_s = self._network.node(host), f"{host}:{port}", how["timeout_s"]
        # A combined node has a port for each role; of a controller's port the keeper answers.
        controller = node.config.is_broker and port == node.config.controller_port
        kind = Kind.QUORUM if controller else Kind.PROTOCOL
        try:
            outcome, _ = await self._network.read(node, kind, timeout_s)
        except Unanswered:
            raise KafkaTimedOutError(f"{where}: no answer within {timeout_s:.3g} s") from None
        if outcome is not Outcome.ANSWERED:
            raise KafkaRefusedError(f"{where}: nobody listens")
        return SimConnection(self, self._answers, node, where)

    async def login_wanted(
        self, host: str, port: int, **how: Any
    ) -> kafka.KafkaAuthenticationError | None:
        """Nobody wants a login here."""
        await (await self.connect_kafka(host, port, **how)).close()
        return None

    def jmx(self, host: str, port: int, **how: Any) -> JmxClient:
        """Return the client of one JVM."""
        del how
        return SimJmx(self, self._network, self._network.node(host), f"{host}:{port}")

    async def _member(self, member: zookeeper.Endpoint, timeout_s: float) -> ProtocolFact:
        node = self._network.node(member.host)
        try:
            outcome, fact = await self._network.read(node, Kind.PROTOCOL, timeout_s)
        except Unanswered:
            text = f"{member.where}: no answer within {timeout_s:.3g} s"
            raise zookeeper.ZooKeeperTimedOutError(text) from None
        if outcome is not Outcome.ANSWERED or not isinstance(fact, ProtocolFact):
            raise zookeeper.ZooKeeperRefusedError(f"{member.where}: nobody listens")
        return fact

    async def srvr(self, member: zookeeper.Endpoint, *, timeout_s: float) -> zookeeper.ServerReply:
        """Return whether it serves, and as what. Raises ZooKeeperError."""
        fact = await self._member(member, timeout_s)
        return zookeeper.ServerReply(bool(fact.serving), fact.mode)

    async def mntr(self, member: zookeeper.Endpoint, *, timeout_s: float) -> zookeeper.MonitorReply:
        """Return how many followers are synced. Raises ZooKeeperError."""
        fact = await self._member(member, timeout_s)
        values = {} if fact.synced is None else {"synced_followers": float(fact.synced)}
        return zookeeper.MonitorReply(bool(fact.serving), fact.mode, values=values)

    async def ruok(self, member: zookeeper.Endpoint, *, timeout_s: float) -> bool:
        """Return whether it says `imok`. Raises ZooKeeperError."""
        return bool((await self._member(member, timeout_s)).ruok)

    async def admin_srvr(
        self, member: zookeeper.Endpoint, *, timeout_s: float
    ) -> zookeeper.ServerReply:
        """There is no AdminServer in the simulation."""
        del timeout_s
        raise zookeeper.ZooKeeperRefusedError(f"{member.where}: nobody listens")

    async def admin_monitor(
        self, member: zookeeper.Endpoint, *, timeout_s: float
    ) -> zookeeper.MonitorReply:
        """There is no AdminServer in the simulation."""
        del timeout_s
        raise zookeeper.ZooKeeperRefusedError(f"{member.where}: nobody listens")

    def registered_brokers(self, member: zookeeper.Endpoint, **how: Any) -> tuple[str, ...]:
        """Kazoo has threads of its own, which there are not here."""
        del how
        raise zookeeper.ZooKeeperUnsupportedError(f"{member.where}: no login in the simulation")


class SimConnection(kafka.KafkaConnection):
    """One connection to one process. It is of no use any more when that one has ended."""

    def __init__(self, wire: SimWire, answers: Answers, node: Node, where: str) -> None:
        super().__init__(where, tls=False)
        self.node = node
        self._run, self._wire, self._answers = node.run, wire, answers
        self._number = wire.keep(self)

    def cut(self) -> None:
        """The peer's kernel closes it."""
        self._wire.forget(self._number)
        self._lose(kafka.KafkaClosedError(f"{self.where}: closed by the peer"))

    async def call(
        self, request: Request[ReplyT], *, timeout_s: float, max_version: int | None = None
    ) -> ReplyT:
        """Answer out of the world. Raises KafkaWireError."""
        del max_version
        reply: ReplyT = await self._ask(
            lambda: self._answers.to(request, self, timeout_s), timeout_s
        )
        return reply

    async def hello(self, *, timeout_s: float) -> ApiVersionsReply:
        """Answer if the process does. Raises KafkaWireError."""
        await self._ask(lambda: self._answers.hello(self, timeout_s), timeout_s)
        return ApiVersionsReply(0, {}, None, None)

    async def ping(self, *, timeout_s: float) -> None:
        """Answer if the process does. Raises KafkaWireError."""
        await self.hello(timeout_s=timeout_s)

    async def close(self) -> None:
        """Close it."""
        self._wire.forget(self._number)
        await super().close()

    async def _ask(self, ask: Callable[[], Awaitable[Any]], timeout_s: float) -> Any:
        if self.lost is not None:
            raise self.lost.again()
        if self.node.run != self._run or not self.node.alive:
            self._wire.forget(self._number)
            self._lose(KafkaResetError(f"{self.where}: another process answers, or none"))
            assert self.lost is not None
            raise self.lost.again()
        try:
            reply = await ask()
        except Unanswered:
            text = f"{self.where}: no reply within {timeout_s:.3g} s"
            raise KafkaTimedOutError(text) from None
        if self.lost is not None:
            raise self.lost.again()
        return reply


class SimJmx(JmxClient):
    """The JVM's MBeans as far as the world has them; all others are not found."""

    def __init__(self, wire: SimWire, network: Network, node: Node, where: str) -> None:
        self._wire, self._network, self.node, self._where = wire, network, node, where
        self._told: Callable[[JmxError], None] | None = None
        self._number: int | None = None
        self._gauges: MBeans = {}

    def on_lost(self, callback: Callable[[JmxError], None]) -> None:
        """Have `callback` called when the connection is lost."""
        self._told = callback

    def cut(self) -> None:
        """The peer's kernel closes it."""
        self._forget()
        if self._told is not None:
            self._told(JmxConnectError(f"{self._where}: closed by the peer", outcome="closed"))

    async def read(
        self, requests: Sequence[tuple[str, Sequence[str]]], *, timeout_s: float | None = None
    ) -> list[dict[str, JmxValue] | JmxError]:
        """Answer out of the world. Raises JmxError."""
        if self._gauges and all(name in self._gauges for name, _ in requests):
            return [dict(self._gauges[name]) for name, _ in requests]
        limit_s = 10.0 if timeout_s is None else timeout_s
        try:
            outcome, fact = await self._network.read(self.node, Kind.JVM, limit_s)
        except Unanswered:
            self._forget()
            raise JmxTimeout(f"{self._where}: no answer within {limit_s:.3g} s") from None
        if not isinstance(fact, JvmFact):
            self._forget()
            raise JmxConnectError(f"{self._where}: nobody listens", outcome=outcome.value)
        if self._number is None:
            self._number = self._wire.keep(self)
        self._gauges, known = gauges(fact), mbeans(fact)
        return [
            dict(known[name]) if name in known else JmxNotFound(f"no MBean {name}")
            for name, _ in requests
        ]

    async def query(self, pattern: str, *, timeout_s: float | None = None) -> list[str]:
        """Return the gauges of a recovery that is under way."""
        del pattern, timeout_s
        return sorted(self._gauges)

    async def close(self) -> None:
        """Close the session."""
        self._forget()

    def _forget(self) -> None:
        if self._number is not None:
            self._wire.forget(self._number)
            self._number = None
