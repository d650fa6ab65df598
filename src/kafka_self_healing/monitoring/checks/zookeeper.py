"""ZookeeperMonitoringPlugin: what ensemble members say of themselves and of their ensemble."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeVar

from kafka_self_healing.errors import CheckError
from kafka_self_healing.model.evidence import CheckResult, Kind, ProtocolFact, QuorumFact
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.monitoring.access import Access
from kafka_self_healing.monitoring.checks.look import look
from kafka_self_healing.monitoring.checks.threads import Threads
from kafka_self_healing.monitoring.clients import WireClients
from kafka_self_healing.plugins import CheckContext, MonitoringPlugin
from kafka_self_healing.wire import zookeeper as wire

T = TypeVar("T")

LEADER: Final = "leader"
ASK_AGAIN_S: Final = 300.0
"""A word that was refused is left alone for so long: each refusal is a line in the member's log."""

_MARGIN: Final = 0.1
"""Part of the time limit that is kept back, so that a slow extra costs itself and not the look."""


class ZookeeperMonitoringPlugin(MonitoringPlugin):
    """PROTOCOL and QUORUM of ensemble members, by `srvr` and what else the member allows.

    `srvr` goes first and alone: of a silent member nothing more is asked, since each connection
    takes a place in its backlog. `ruok` is kept as a fact, and proves nothing: a member without a
    quorum says `imok` for ever.
    """

    def __init__(self, access: Access | None = None) -> None:
        self._access = access or Access()
        self._members: dict[str, _Memory] = {}
        self._threads = Threads("kazoo")

    @property
    def kinds(self) -> frozenset[Kind]:
        """PROTOCOL and QUORUM."""
        return frozenset({Kind.PROTOCOL, Kind.QUORUM})

    def can_ask(self, target: NodeConfig, kind: Kind) -> bool:  # noqa: ARG002 - both the same way
        """Return whether the node is a member with a client port."""
        return target.is_member and target.zookeeper_port is not None

    async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:
        """Ask for the kind that is wanted."""
        member = self._member(target, context)
        if context.kind is Kind.QUORUM:
            asking = _quorum(target, member)
            return await look(context, context.cluster.name, asking, observer=target.id)
        return await look(context, target.id, self._protocol(target, member))

    def _member(self, target: NodeConfig, context: CheckContext) -> _Member:
        assert target.zookeeper_port is not None
        how = target.zookeeper
        client = wire.Endpoint(
            target.host,
            target.zookeeper_port,
            self._access.tls_context(how.tls),
            how.tls.server_name if how.tls else None,
        )
        admin = None
        if how.admin_port is not None:
            admin = wire.Endpoint(
                target.host,
                how.admin_port,
                self._access.tls_context(how.admin_tls),
                how.admin_tls.server_name if how.admin_tls else None,
            )
        memory = self._members.setdefault(target.id, _Memory())
        began = context.clock.now().mono_s
        return _Member(self._access.wire, client, admin, context, began, memory)

    async def _protocol(self, target: NodeConfig, member: _Member) -> ProtocolFact:
        fact = await member.server()
        if fact.serving:
            ruok, monitor, registered = await asyncio.gather(
                member.ruok(), member.monitor(), self._registered(target, member)
            )
        else:  # without a quorum it has no numbers and takes no login
            ruok, monitor, registered = await member.ruok(), None, None
        if monitor is not None:
            fact = member.memory.with_numbers(fact, monitor)
        refused = member.memory.refused_words()
        return replace(fact, ruok=ruok, registered=registered, refused=refused)

    async def _registered(self, target: NodeConfig, member: _Member) -> tuple[str, ...] | None:
        """Return the registered brokers, where a login for kazoo is configured."""
        how, limit_s = target.zookeeper, member.left_s()
        if how.username is None:
            return None
        ask = partial(
            self._access.wire.registered_brokers,
            member.client,
            timeout_s=limit_s,
            username=how.username,
            password=how.password,
        )
        return await member.readable(self._threads.run(target.id, ask, timeout_s=limit_s))


@dataclass(slots=True)
class _Memory:
    """What is remembered of a member from look to look. Times: boot-clock seconds.

    `refused`: words and when each was refused; `fsyncs`: how many there were and their sum (ms).
    """

    refused: dict[str, float] = field(default_factory=dict)
    fsyncs: tuple[float, float] | None = None
    told: str = ""

    def refused_words(self) -> tuple[str, ...]:
        """The words that its whitelist does not have."""
        return tuple(sorted(self.refused))

    def with_numbers(self, fact: ProtocolFact, monitor: wire.MonitorReply) -> ProtocolFact:
        """Return `fact` with what `mntr` adds."""
        latency_ms = monitor.values.get("avg_latency")
        return replace(
            fact,
            version=fact.version or monitor.version,
            synced=monitor.whole("synced_followers") if fact.mode == LEADER else None,
            latency_ms=fact.latency_ms if latency_ms is None else latency_ms,
            outstanding=(
                monitor.whole("outstanding_requests")
                if fact.outstanding is None
                else fact.outstanding
            ),
            fsync_ms=self._fsync_ms(monitor),
            open_files=monitor.whole("open_file_descriptor_count"),
            max_files=monitor.whole("max_file_descriptor_count"),
        )

    def _fsync_ms(self, monitor: wire.MonitorReply) -> float | None:
        """Return what an fsync took since the last look; None: there was none.

        The member itself only knows averages since its start, which show no disk that becomes slow.
        """
        count, total = (monitor.values.get(f"{name}_fsynctime") for name in ("cnt", "sum"))
        if count is None or total is None:
            return monitor.values.get("avg_fsynctime")
        before, self.fsyncs = self.fsyncs, (count, total)
        if before is None or count < before[0]:  # a first look, or a new process
            before = (0.0, 0.0)
        number = count - before[0]
        return (total - before[1]) / number if number > 0 else None


@dataclass(frozen=True, slots=True)
class _Member:
    """One member during one look that began at `began`."""

    clients: WireClients
    client: wire.Endpoint
    admin: wire.Endpoint | None
    context: CheckContext
    began: float
    memory: _Memory

    def left_s(self) -> float:
        """Return the seconds that an extra question may take."""
        limit_s = self.context.timeout_s
        spent = self.context.clock.now().mono_s - self.began
        return max(limit_s * _MARGIN, limit_s * (1.0 - _MARGIN) - spent)

    async def server(self) -> ProtocolFact:
        """Return mode and version by whatever the member allows; `imok` alone is an answer too.

        Raises ZooKeeperError: that of `srvr`, or of the whitelist if nothing may be asked.
        """
        try:
            return _fact_of(await self.server_reply())
        except wire.ZooKeeperNotWhitelistedError:
            if await self.ruok():
                return ProtocolFact()
            raise

    async def server_reply(self) -> wire.ServerReply:
        """Return the answer to `srvr`, or what the AdminServer or `mntr` say instead of it."""
        try:
            reply = await self.clients.srvr(self.client, timeout_s=self.left_s())
        except wire.ZooKeeperNotWhitelistedError:
            self.memory.refused["srvr"] = self.began
            return await self._instead()
        self.memory.refused.pop("srvr", None)
        return reply

    async def _instead(self) -> wire.ServerReply:
        if self.admin is not None:
            reply = await self.readable(
                self.clients.admin_srvr(self.admin, timeout_s=self.left_s())
            )
            if reply is not None:
                return reply
        monitor = await self._mntr()
        if monitor is not None:
            return wire.ServerReply(monitor.serving, monitor.mode, monitor.version)
        raise wire.ZooKeeperNotWhitelistedError(
            f"{self.client.where}: srvr is not in the member's whitelist, and nothing else says "
            "how it stands; add srvr to 4lw.commands.whitelist in zoo.cfg"
        )

    async def monitor(self) -> wire.MonitorReply | None:
        """Return the numbers of `mntr`, or the AdminServer's; None: neither may be read."""
        reply = await self._mntr()
        if reply is None and self.admin is not None:
            reply = await self.readable(
                self.clients.admin_monitor(self.admin, timeout_s=self.left_s())
            )
        return reply

    async def _mntr(self) -> wire.MonitorReply | None:
        return await self._word("mntr", self.clients.mntr(self.client, timeout_s=self.left_s()))

    async def ruok(self) -> bool | None:
        """Return whether it says `imok`; None: not readable."""
        return await self._word("ruok", self.clients.ruok(self.client, timeout_s=self.left_s()))

    async def _word(self, word: str, asking: Coroutine[object, object, T]) -> T | None:
        since = self.memory.refused.get(word)
        if since is not None and self.began - since < ASK_AGAIN_S:
            asking.close()
            return None
        try:
            answer = await asking
        except wire.ZooKeeperNotWhitelistedError:
            self.memory.refused[word] = self.began
            return None
        except wire.ZooKeeperError as wrong:
            self._tell(wrong)
            return None
        self.memory.refused.pop(word, None)
        return answer

    async def readable(self, asking: Awaitable[T]) -> T | None:
        """Return the answer to what is only an addition; None: not readable."""
        try:
            return await asking
        except CheckError as wrong:
            self._tell(wrong)
            return None

    def _tell(self, wrong: CheckError) -> None:
        if str(wrong) != self.memory.told:  # once, not at every look
            self.memory.told = str(wrong)
            self.context.logger.warning("part of a member's answer is missing: %s", wrong)


def _fact_of(reply: wire.ServerReply) -> ProtocolFact:
    return ProtocolFact(
        serving=reply.serving,
        mode=reply.mode,
        version=reply.version,
        latency_ms=reply.latency_ms,
        outstanding=reply.outstanding,
    )


async def _quorum(target: NodeConfig, member: _Member) -> QuorumFact:
    """Return the member's word about the ensemble. One that does not serve says nothing of it."""
    reply = await member.server_reply()
    if not reply.serving or reply.mode != LEADER:
        return QuorumFact(epoch=reply.epoch, mode=reply.mode)
    monitor = await member.monitor()
    return QuorumFact(
        leader=target.id,
        epoch=reply.epoch,
        mode=reply.mode,
        synced=None if monitor is None else monitor.whole("synced_followers"),
    )
