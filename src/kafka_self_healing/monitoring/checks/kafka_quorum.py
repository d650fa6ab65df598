"""The controllers' quorum, as each controller tells it on a connection of its own."""

from __future__ import annotations

from kafka_self_healing.errors import CheckError
from kafka_self_healing.model.evidence import Outcome, QuorumFact, VoterFact
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.monitoring.access import Access
from kafka_self_healing.monitoring.checks.kafka_connections import Connections, Door
from kafka_self_healing.wire.kafka import (
    NOT_LEADER_OR_FOLLOWER,
    DescribeConfigs,
    DescribeQuorum,
    KafkaConnection,
    KafkaTimedOutError,
    KafkaWireError,
    QuorumReply,
)

_FETCH_TIMEOUT = "controller.quorum.fetch.timeout.ms"

NEVER = -1
"""The stamp of a voter that has not fetched from this leader."""


class QuorumReader:
    """Asks controller listeners. Only the leader knows; the others say so at once."""

    def __init__(self, access: Access) -> None:
        self._connections = Connections(access)
        self._fetch_timeouts_ms: dict[str, int | None] = {}

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()

    async def read(self, controller: NodeConfig, timeout_s: float) -> QuorumFact:
        """Return the account of `controller`. Raises CheckError.

        "I am not the leader" is an answer: a fact without a leader.
        """
        door = Door.of_controller(controller)
        if self._connections.known(controller.id, door) is None:
            # A new process may have another setting.
            self._fetch_timeouts_ms.pop(controller.id, None)
        asking = self._connections.using(controller.id, door, timeout_s=timeout_s)
        async with asking as connection:
            reply = await connection.call(DescribeQuorum(), timeout_s=timeout_s)
        if reply.error == NOT_LEADER_OR_FOLLOWER:
            return QuorumFact()
        if reply.error:
            said = f"{connection.where}: DescribeQuorum answered error {reply.error}"
            raise CheckError(Outcome.PROTOCOL, said)
        return _fact(reply, await self._fetch_timeout_ms(controller, connection, timeout_s))

    async def _fetch_timeout_ms(
        self, controller: NodeConfig, connection: KafkaConnection, timeout_s: float
    ) -> int | None:
        """Read the setting once a connection; a controller that cannot be asked for it: None."""
        known = self._fetch_timeouts_ms
        if controller.id not in known and controller.id.isdecimal():
            request = DescribeConfigs.of_broker(int(controller.id), (_FETCH_TIMEOUT,))
            try:
                reply = await connection.call(request, timeout_s=timeout_s)
            except KafkaTimedOutError:
                return None
            except KafkaWireError:
                known[controller.id] = None
            else:
                values = [one.integer(_FETCH_TIMEOUT) for one in reply.results if not one.error]
                known[controller.id] = values[0] if values else None
        return known.get(controller.id)


def _fact(reply: QuorumReply, fetch_timeout_ms: int | None) -> QuorumFact:
    voters = reply.voters or ()
    # The leader stamps itself with the present moment of its own clock.
    now_ms = next((one.last_fetch_ms for one in voters if one.id == reply.leader_id), None)
    return QuorumFact(
        leader=None if reply.leader_id is None else str(reply.leader_id),
        epoch=reply.epoch,
        fetch_timeout_ms=fetch_timeout_ms,
        now_ms=now_ms,
        voters=tuple(
            VoterFact(str(one.id), one.last_caught_up_ms, _stamp(one.last_fetch_ms, now_ms))
            for one in voters
        ),
        observers=tuple(str(one.id) for one in reply.observers or ()),
    )


def _stamp(fetched_ms: int | None, now_ms: int | None) -> int | None:
    """Tell "never fetched from this leader" from "not said", which an old version leaves out."""
    return NEVER if fetched_ms is None and now_ms is not None else fetched_ms
