"""CanaryMonitoringPlugin: a record produced and consumed through each broker's own leadership."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from kafka_self_healing.errors import CheckError
from kafka_self_healing.model.access import CanaryConfig, SaslMechanism
from kafka_self_healing.model.evidence import CanaryFact, CheckResult, Kind, Outcome
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.monitoring.access import Access
from kafka_self_healing.monitoring.checks.canary_client import (
    Broker,
    create_topic,
    security_options,
    send_and_fetch,
)
from kafka_self_healing.monitoring.checks.kafka_connections import Connections, Door
from kafka_self_healing.monitoring.checks.look import look
from kafka_self_healing.monitoring.checks.threads import Threads
from kafka_self_healing.plugins import CheckContext, MonitoringPlugin
from kafka_self_healing.wire.kafka import Metadata, MetadataReply, TopicMetadata
from kafka_self_healing.wire.tls import TlsFileError, load

TIMEOUT_S: Final = 10.0
REPLICAS: Final = 3
"""Of a topic that we make; fewer where there are fewer brokers."""

_UNKNOWN_TOPIC: Final = 3
_TOPIC_AUTHORISATION: Final = 29
_SETTLE_S: Final = 0.2
_SETTLE_LOOKS: Final = 10
_MARGIN: Final = 0.9


class CanaryMonitoringPlugin(MonitoringPlugin):
    """CANARY, if it is configured. A broker that leads none of the topic is not tried.

    Who leads what is asked of the broker itself, on a connection of ours whose errors have names;
    only the record itself goes through kafka-python. Records are cleaned up by the topic's own
    retention; nothing is ever deleted.
    """

    def __init__(self, access: Access | None = None, canary: CanaryConfig | None = None) -> None:
        self._access = access or Access()
        self._canary = canary
        self._connections = Connections(self._access)
        self._threads = Threads("the canary")
        self._making = asyncio.Lock()
        self._turns: dict[str, int] = {}

    @property
    def kinds(self) -> frozenset[Kind]:
        """CANARY."""
        return frozenset({Kind.CANARY})

    def can_ask(self, target: NodeConfig, kind: Kind) -> bool:  # noqa: ARG002 - one kind
        """Return whether a canary is wanted, and the node is a broker that can be reached."""
        return self._canary is not None and target.is_broker and target.kafka_port is not None

    def interval_s(self, target: NodeConfig, kind: Kind) -> float | None:  # noqa: ARG002
        """As configured: each look writes."""
        return None if self._canary is None else self._canary.interval_s

    def timeout_s(self, target: NodeConfig, kind: Kind) -> float | None:  # noqa: ARG002
        """Several connections in a row, and a replication."""
        return TIMEOUT_S

    async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:
        """Send one record through a partition that the broker leads, and read it back."""
        return await look(context, target.id, self._try(target, context))

    async def close(self) -> None:
        """Close our connections. kafka-python's end with each look."""
        await self._connections.close()

    async def _try(self, target: NodeConfig, context: CheckContext) -> CanaryFact:
        assert self._canary is not None
        deadline = context.clock.now().mono_s + context.timeout_s * _MARGIN
        look = _Look(target, context, self._canary.topic, deadline)
        led = await self._led(look)
        if not led:
            return CanaryFact(topic=look.topic)
        turn = self._turns[target.id] = self._turns.get(target.id, -1) + 1
        partition = led[turn % len(led)]
        broker = await self._broker(target)
        value = f"{context.cluster.name} {target.id} {turn} {context.clock.now().utc_s}".encode()
        limit_s = look.left_s()
        send = partial(send_and_fetch, broker, look.topic, partition, value, timeout_s=limit_s)
        took = await self._threads.run(target.id, send, timeout_s=limit_s)
        if partition not in look.led_in(await self._ask(look)):
            # Its leader has changed meanwhile, so the record was perhaps another broker's.
            return CanaryFact(topic=look.topic)
        return CanaryFact(look.topic, partition, took.produce_ms, took.consume_ms)

    async def _led(self, look: _Look) -> tuple[int, ...]:
        """Return the partitions that the broker leads; the topic is made if it is not there."""
        assert self._canary is not None
        reply = await self._ask(look)
        if not look.is_missing_in(reply):
            return look.led_in(reply)
        if not self._canary.create:
            raise CheckError(
                Outcome.PROTOCOL,
                f"there is no topic {look.topic}; create it with a partition led by each "
                "broker and a short retention, or set canary.create",
            )
        async with self._making:
            reply = await self._ask(look)
            if look.is_missing_in(reply):
                await self._create(look, reply, self._canary.retention_s)
            for _ in range(_SETTLE_LOOKS):
                led = look.led_in(await self._ask(look))
                if led:
                    return led
                await look.context.clock.sleep(_SETTLE_S)
        return ()

    async def _create(self, look: _Look, seen: MetadataReply, retention_s: float) -> None:
        live = sorted(broker.id for broker in seen.brokers)
        if absent := set(look.context.cluster.brokers) - {str(one) for one in live}:
            # Made now it would have no partition for them, and nothing here changes a topic.
            raise CheckError(
                Outcome.NOT_ASKED,
                f"topic {look.topic} is made once all brokers are there; "
                f"absent: {', '.join(sorted(absent))}",
            )
        ring, copies = live * 2, min(REPLICAS, len(live))
        replicas = [ring[number : number + copies] for number in range(len(live))]
        retention_ms = str(int(retention_s * 1000))
        configs = {
            "retention.ms": retention_ms,
            "segment.ms": retention_ms,
            "cleanup.policy": "delete",
            "min.insync.replicas": "1",  # it tries the leader, not the health of its followers
        }
        broker, limit_s = await self._broker(look.target), look.left_s()
        make = partial(create_topic, broker, look.topic, replicas, configs, timeout_s=limit_s)
        await self._threads.run(look.target.id, make, timeout_s=limit_s)
        look.context.logger.info("made topic %s for the canary", look.topic)

    async def _ask(self, look: _Look) -> MetadataReply:
        """Return what the broker says of the topic. Raises CheckError."""
        limit_s, door = look.left_s(), Door.of_broker(look.target)
        async with self._connections.using(look.target.id, door, timeout_s=limit_s) as connection:
            reply = await connection.call(Metadata((look.topic,)), timeout_s=limit_s)
        if any(topic.error == _TOPIC_AUTHORISATION for topic in reply.topics):
            raise CheckError(
                Outcome.AUTHORISATION,
                f"we may not see topic {look.topic}; grant our user DESCRIBE, WRITE and READ on it",
            )
        return reply

    async def _broker(self, target: NodeConfig) -> Broker:
        """Return the broker with all that its listener wants."""
        tls, sasl = target.kafka.tls, target.kafka.sasl
        make = self._access.tls_context(tls)
        try:
            context = None if make is None else await load(make)
        except TlsFileError as wrong:
            raise CheckError(Outcome.PROTOCOL, f"not asked: {wrong}") from None
        token = None
        if sasl is not None and sasl.mechanism is SaslMechanism.OAUTHBEARER:
            token = await self._access.token(sasl)
        name = None if tls is None else tls.server_name
        # In a thread: its first use imports kafka-python.
        options = await asyncio.to_thread(security_options, context, name, sasl, token)
        host = f"[{target.host}]" if ":" in target.host else target.host
        return Broker(f"{host}:{target.kafka_port}", options)


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at one broker, which ends at `deadline` (boot-clock seconds)."""

    target: NodeConfig
    context: CheckContext
    topic: str
    deadline: float

    def left_s(self) -> float:
        """Return the seconds that are left."""
        return max(0.0, self.deadline - self.context.clock.now().mono_s)

    def is_missing_in(self, reply: MetadataReply) -> bool:
        """Whether there is no such topic."""
        return all(one.error == _UNKNOWN_TOPIC for one in self._topics_of(reply))

    def led_in(self, reply: MetadataReply) -> tuple[int, ...]:
        """Return the topic's partitions that the broker leads."""
        parts = (part for one in self._topics_of(reply) for part in one.partitions)
        return tuple(sorted(part.id for part in parts if str(part.leader_id) == self.target.id))

    def _topics_of(self, reply: MetadataReply) -> list[TopicMetadata]:
        return [one for one in reply.topics if one.name == self.topic]
