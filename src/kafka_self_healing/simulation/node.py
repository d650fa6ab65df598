"""One node of the simulated world: its process, and what somebody did to it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from kafka_self_healing.model.evidence import Family, PeersFact
from kafka_self_healing.model.node import NodeConfig

KEPT_SNAPSHOTS = 40
KEPT_STARTS = 8


class Phase(StrEnum):
    """How far a process is on its way."""

    DOWN = "down"
    BOOTING = "booting"
    RECOVERING = "recovering"
    WAITING = "waiting"
    SERVING = "serving"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was true of a node since `at` (virtual seconds)."""

    at: float
    alive: bool
    frozen: bool
    counted: bool
    phase: Phase


@dataclass(slots=True)
class Node:
    """One node's truth. `run` grows with each process, so that late events know they are late.

    `ours`: its process was started by an act; `by_manager`: by its manager itself; `restarting`:
    the manager is about to (`restarts`: how often it did; `starts`: when anybody did).
    `last_words`: of its log. `not_after`: when its certificate expires (virtual seconds; None: it
    has none). `joins_at`: a member follows from then on. `last_fetch`: when a keeper took part.
    `no_shell`: its host is frozen; `muted`: cut from the other brokers; `disk`: how it has failed;
    `choked`: the share of requests that its heap has no room for. `cast_out`: alive, not counted in
    until it is a new process; `zombie`: its partitions serve nobody until then.
    """

    id: str
    config: NodeConfig
    pid: int = 0
    run: int = 0
    phase: Phase = Phase.DOWN
    frozen: bool = False
    keeper_up: bool = False
    exit_status: int | None = None
    signal: int | None = None
    stop_requested: bool = False
    masked: bool = False
    job: str = ""
    tracer: int = 0
    host_lock: str = ""
    by_hand: bool = False
    by_manager: bool = False
    restarting: bool = False
    restarts: int = 0
    starts: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_STARTS))
    without_power: bool = False
    boots: int = 1
    dark: bool = False
    isolated: bool = False
    jmx_off: bool = False
    no_shell: bool = False
    muted: bool = False
    disk: str = ""
    choked: float = 0.0
    cast_out: bool = False
    zombie: bool = False
    storage_missing: bool = False
    lie: Family | None = None
    commissioned: bool = True
    boot_s: float = 2.0
    recovery_s: float = 0.0
    recovery_began: float = 0.0
    dies_after_s: float | None = None
    session: int = 0
    last_fetch: float = 0.0
    joins_at: float = 0.0
    ours: bool = False
    last_words: str = ""
    not_after: float | None = None
    photo: PeersFact | None = None
    version: int = 0
    since: dict[str, float] = field(default_factory=dict)
    ended_at: float = 0.0
    snapshots: deque[Snapshot] = field(default_factory=lambda: deque(maxlen=KEPT_SNAPSHOTS))

    @property
    def alive(self) -> bool:
        """Whether a process of it exists, whoever started it."""
        return self.phase is not Phase.DOWN

    @property
    def serves(self) -> bool:
        """Whether it does its work."""
        return self.phase is Phase.SERVING and not self.frozen

    @property
    def votes(self) -> bool:
        """Whether its controller, or the member, can take part in the quorum."""
        out = self.isolated or self.cast_out
        return self.keeper_up and not self.frozen and not out
