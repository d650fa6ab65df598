"""`Standing`: one node as of this turn, in the words that rules and guards use."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kafka_self_healing.model.evidence import JvmFact, ServiceFact
from kafka_self_healing.model.node import NodeConfig, NodeId


class Process(StrEnum):
    """What the service manager says of the process."""

    RUNNING = "running"
    ACTIVATING = "activating"
    AUTO_RESTART = "auto-restart"
    DEACTIVATING = "deactivating"
    ENDED = "ended"
    UNKNOWN = "unknown"


class Quorum(StrEnum):
    """What is known of the quorum that keeps the metadata: controllers, or an ensemble."""

    LED = "led"
    LOST = "lost"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Standing:
    """One node as of this turn; None: not known.

    `serves`: of an ensemble member, whether it says that it has a quorum. `counted`: whether the
    others count it in, as broker or as member. `ok`: runs, answers, is counted in (and a fresh
    voter, a serving member). `well`: also in sync, BrokerState 3.
    """

    id: NodeId
    config: NodeConfig
    service: ServiceFact | None
    process: Process
    answers: bool | None
    silent_looks: int
    refused: bool
    host_closed: bool
    jvm: JvmFact | None
    jvm_silent: bool | None
    dark: bool
    gone: bool
    silent: bool
    counted: bool | None
    voter_fresh: bool | None
    voter_stale: bool | None
    in_sync: bool | None
    ok: bool | None
    well: bool | None
    serves: bool | None = None

    @property
    def dropped(self) -> bool | None:
        """Whether the others have dropped it; a combined node is dropped only as both."""
        parts: list[bool | None] = []
        if self.config.is_broker or self.config.is_member:
            parts.append(None if self.counted is None else not self.counted)
        if self.config.is_voter:
            parts.append(self.voter_stale)
        if any(part is False for part in parts):
            return False
        return None if any(part is None for part in parts) or not parts else True
