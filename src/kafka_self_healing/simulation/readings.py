"""From the truth to typed facts: what each kind of look would say at this moment."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from kafka_self_healing.model.evidence import (
    CanaryFact,
    CertificateFact,
    CheckResult,
    DataDirFact,
    DiskFact,
    Fact,
    Family,
    HostFact,
    JvmFact,
    Kind,
    ListenerCertificate,
    LogFact,
    Outcome,
    ProtocolFact,
    QuorumFact,
    ReachFact,
    ServiceFact,
    VoterFact,
)
from kafka_self_healing.simulation.faults import Disk
from kafka_self_healing.simulation.node import Node, Phase
from kafka_self_healing.simulation.world import World
from kafka_self_healing.simulation.zookeeper import ZooKeeperWorld

ORDER = (Kind.LISTENER, Kind.PROTOCOL, Kind.JVM, Kind.SERVICE, Kind.HOST, Kind.CANARY)
Reading = tuple[Outcome, Fact | None]

DATA_DIR = "/var/lib/kafka"
_ALIVE = ProtocolFact()
_OPEN_PHASES = frozenset({Phase.SERVING, Phase.STOPPING})
_STATE = {
    Phase.BOOTING: 0,
    Phase.RECOVERING: 2,
    Phase.WAITING: 1,
    Phase.SERVING: 3,
    Phase.STOPPING: 6,
}
LAG_MS = 100.0
STALE_LAG_MS = 60_000.0


@cache
def _gauges(phase: Phase, raft: str | None, lag_ms: float | None, session: str | None) -> JvmFact:
    """Return what the JVM of a node says; the same object again for the same things."""
    state = _STATE[phase]
    return JvmFact(broker_state=state, raft_state=raft, applied_lag_ms=lag_ms, session=session)


def _of_quorum(world: World, node: Node) -> tuple[str | None, float | None, str | None]:
    """Return a node's raft state, the lag of its metadata, and the state of its session."""
    if isinstance(world, ZooKeeperWorld):
        fine = world.heartbeats(node) and world.led
        return None, None, "CONNECTED" if fine else "CONNECTING"
    out = node.isolated or world.leader is None or (node.cast_out and node.config.is_voter)
    lag_ms = STALE_LAG_MS if out else LAG_MS
    if not node.config.is_voter:
        return "observer", lag_ms, None
    if not node.keeper_up:
        return None, lag_ms, None
    if world.leader == node.id:
        return "leader", lag_ms, None
    lost = "prospective" if node.isolated else "unattached"
    return lost if out else "follower", lag_ms, None


def _host(
    up: bool, same: bool, identity: bool, *, usable: int = 1 << 40, readable: bool = True
) -> HostFact:
    data_dirs = (DataDirFact(DATA_DIR, same, identity, readable=readable),)
    disks = (DiskFact(DATA_DIR, 1 << 41, usable, read_only=False),)
    return HostFact(reachable=up, ping=up, disks=disks, data_dirs=data_dirs)


_HOST_OK = _host(True, True, True)
_HOST_BARE = _host(True, False, False)
_HOST_SHUT = _host(False, True, True)
_HOST_DARK = HostFact(reachable=False, ping=False)
_HOST_FROZEN = HostFact(reachable=False, ping=True)
_HOST_OF = {
    Disk.FULL.value: _host(True, True, True, usable=0),
    Disk.DEAD.value: _host(True, True, True, readable=False),
}
_NOT_LEADER = QuorumFact()
_IDLE = ProtocolFact(ruok=True, serving=False)  # ruok is answered by a member that serves nobody
DAY_S = 86400.0
SEGMENTS_A_SECOND = 200


def looks_good(result: CheckResult) -> bool:
    """Whether this one look shows nothing wrong; only for the rhythm of the eyes."""
    if result.outcome is not Outcome.ANSWERED:
        return False
    fact = result.fact
    if result.kind is Kind.PROTOCOL:
        return not isinstance(fact, ProtocolFact) or fact.serving is not False
    return not isinstance(fact, ServiceFact) or fact.active == "active"


class MachineFacts:
    """Facts of the service manager, kept until something becomes true of the node."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[str, tuple[object, ServiceFact]] = {}

    def service(self, node: Node) -> ServiceFact:
        """Return what the service manager and /proc say."""
        key = (node.version, node.lie)
        known = self._known.get(node.id)
        if known is None or known[0] != key:
            fact = replace(_service(node), boot_id=f"boot-{node.boots}")
            known = self._known[node.id] = (key, fact)
        return known[1]


def _service(node: Node) -> ServiceFact:
    unit = "masked" if node.masked else "enabled"
    running = node.alive and not node.by_hand
    held = node.alive
    invocation: str | None = f"run-{node.run}"
    if node.by_hand:
        invocation = f"run-{node.run - 1}"
    if node.lie is Family.MACHINE:
        running = held = not node.alive
    if running:
        # A stray SIGTERM passes the manager by: to it the unit is active until the process ends.
        stopping = node.phase is Phase.STOPPING and node.stop_requested
        return ServiceFact(
            "deactivating" if stopping else "active",
            "stop-sigterm" if stopping else "running",
            "success", None, None, node.pid or 99, _letter(node), node.restarts, unit, node.job,
            node.stop_requested, node.tracer, held, node.host_lock, invocation,
        )  # fmt: skip
    clean = node.exit_status == 143
    if node.restarting and node.lie is not Family.MACHINE:
        result = "signal" if node.signal else "exit-code"
        return ServiceFact(
            "activating", "auto-restart", result, node.exit_status, node.signal, 0, None,
            node.restarts, unit, node.job, False, 0, False, node.host_lock, invocation,
        )  # fmt: skip
    signal = node.signal if node.lie is not Family.MACHINE else 9
    if signal is None and node.exit_status is None:  # not started since its host was booted
        clean, invocation = True, None
    result = "signal" if signal else "success" if clean else "exit-code"
    active = "inactive" if clean else "failed"
    return ServiceFact(
        active, "dead", result, node.exit_status, signal, 0, None, node.restarts, unit, node.job,
        node.stop_requested, node.tracer, held, node.host_lock, invocation,
    )  # fmt: skip


def _letter(node: Node) -> str:
    if node.tracer:
        return "t"
    return "T" if node.frozen else "S"


def _filtered(node: Node) -> bool:
    """Whether a filter drops pings and the data port, so that a false end of it is believed."""
    return node.lie is Family.MACHINE and node.alive and Kind.JVM not in node.config.kinds


def read(world: World, node: Node, kind: Kind, machine: MachineFacts) -> Reading:
    """Return how a look of this kind at this node would end now, and what it would bring."""
    if kind is Kind.HOST:
        return _host_reading(node)
    if node.dark or (node.no_shell and kind is Kind.SERVICE):
        return Outcome.TIMED_OUT, None
    if kind is Kind.SERVICE:
        return Outcome.ANSWERED, machine.service(node)
    if node.lie is Family.OURS:
        return Outcome.TIMED_OUT, None
    if node.lie is not None and _filtered(node):
        return Outcome.TIMED_OUT, None
    if kind is Kind.JVM:
        return _jvm(world, node)
    door = node.phase in _OPEN_PHASES if node.config.is_broker else node.keeper_up
    if not door:
        return Outcome.REFUSED, None
    if kind is Kind.LISTENER:
        return Outcome.ANSWERED, None
    if node.frozen or (node.choked and world.rng.random() < node.choked):
        return Outcome.TIMED_OUT, None
    if kind is Kind.CANARY:
        return _canary(world, node)
    if world.members and node.config.is_member:
        return Outcome.ANSWERED, _member(world, node)
    return Outcome.ANSWERED, _ALIVE


def _canary(world: World, node: Node) -> Reading:
    """Return whether a record goes through a partition that the broker leads."""
    mine = [part for part in world.replicas.partitions if part.leader == node.id]
    if node.zombie or any(len(part.isr) < part.topic.min_isr for part in mine):
        return Outcome.TIMED_OUT, None
    return Outcome.ANSWERED, CanaryFact("canary", 0 if mine else None, 5.0, 5.0)


def with_reach(world: World, node: Node, reading: Reading) -> Reading:
    """Add to a look at a host which of the quorum's ports open from there."""
    outcome, fact = reading
    if outcome is not Outcome.ANSWERED or not isinstance(fact, HostFact):
        return reading
    lies = node.lie is Family.MACHINE
    reaches = tuple(
        ReachFact(keeper.id, (keeper.keeper_up and not _cut(node, keeper)) is not lies)
        for keeper in world.keepers
        if keeper is not node
    )
    return outcome, replace(fact, reaches=reaches)


def _cut(node: Node, other: Node) -> bool:
    return node.isolated or other.isolated


def _host_reading(node: Node) -> Reading:
    if node.dark:
        return Outcome.TIMED_OUT, _HOST_DARK
    if node.no_shell:
        return Outcome.TIMED_OUT, _HOST_FROZEN
    if node.lie is not None and _filtered(node):
        return Outcome.ANSWERED, _HOST_SHUT
    return Outcome.ANSWERED, _HOST_BARE if node.storage_missing else _HOST_OF.get(
        node.disk, _HOST_OK
    )


def _member(world: World, node: Node) -> ProtocolFact:
    assert isinstance(world, ZooKeeperWorld)
    mode = world.mode(node)
    if mode is None:
        return _IDLE
    return ProtocolFact(ruok=True, mode=mode, serving=True, synced=_synced(world, node, mode))


def _synced(world: ZooKeeperWorld, node: Node, mode: str) -> int | None:
    if mode != "leader":
        return None
    return sum(
        world.synced(member) and member.lie is not Family.THEIRS
        for member in world.keepers
        if member is not node
    )


def log(node: Node) -> Reading:
    """Return the last lines of a node's log."""
    if node.dark or node.no_shell:
        return Outcome.TIMED_OUT, None
    return Outcome.ANSWERED, LogFact((node.last_words,) if node.last_words else ())


def certificate(world: World, node: Node) -> Reading:
    """Return the certificate that a node serves; one that hangs shows none."""
    if node.dark or node.frozen or node.lie is Family.OURS:
        return Outcome.TIMED_OUT, None
    if not node.alive:
        return Outcome.REFUSED, None
    days = None if node.not_after is None else (node.not_after - world.now) / DAY_S
    # Each role has a listener of its own; both show the one certificate of the node.
    served = tuple(
        ListenerCertificate(role.value, "", days_left=days, problem="")
        for role in sorted(node.config.roles)
    )
    return Outcome.ANSWERED, CertificateFact(served)


def _jvm(world: World, node: Node) -> Reading:
    if not node.alive:
        return Outcome.REFUSED, None
    if node.jmx_off or node.frozen:
        return Outcome.TIMED_OUT, None
    if node.phase is Phase.RECOVERING:
        left = max(0.0, node.recovery_began + node.recovery_s - world.now)
        logs, segments = int(left) // 5, int(left * SEGMENTS_A_SECOND) % (5 * SEGMENTS_A_SECOND)
        return Outcome.ANSWERED, JvmFact(2, logs, segments)
    if node.choked or node.disk == Disk.ONE_OF_TWO:
        lost = int(node.disk == Disk.ONE_OF_TWO)
        heap = 0.97 if node.choked else 0.5
        return Outcome.ANSWERED, JvmFact(_STATE[node.phase], offline_log_dirs=lost, heap=heap)
    return Outcome.ANSWERED, _gauges(node.phase, *_of_quorum(world, node))


def peers(world: World, node: Node) -> Reading:
    """Return a broker's metadata: who is listed, and all partitions."""
    if node.dark or node.frozen or node.lie is Family.OURS:
        return Outcome.TIMED_OUT, None
    if node.choked and world.rng.random() < node.choked:
        return Outcome.TIMED_OUT, None
    if node.phase not in _OPEN_PHASES:
        return Outcome.REFUSED, None
    if node.photo is not None:
        return Outcome.ANSWERED, node.photo
    others = (n for n in world.nodes.values() if n is not node)  # of itself it says the truth
    hidden = frozenset(n.id for n in others if n.lie is Family.THEIRS)
    return Outcome.ANSWERED, world.replicas.fact(hidden)


def quorum(world: World, node: Node) -> Reading:
    """Return a controller's answer; only the leader has an account to give."""
    shut = node.lie is Family.OURS and not node.config.is_broker
    if node.dark or node.frozen or shut:  # of a combined node only the data port is shut
        return Outcome.TIMED_OUT, None
    if not node.keeper_up:
        return Outcome.REFUSED, None
    if world.members:
        return Outcome.ANSWERED, _ensemble(world, node)
    if world.leader != node.id:
        return Outcome.ANSWERED, _NOT_LEADER
    now = world.now
    fetch_ms = int(world.cluster.fetch_timeout_s * 1000)
    now_ms = 1_000_000_000 + int(now * 1000)
    voters = []
    for voter in world.keepers:
        if voter.id == node.id:
            last = now_ms
        elif voter.votes and voter.lie is not Family.THEIRS:
            last = now_ms - world.rng.randrange(20, 450)
        elif voter.last_fetch >= world.leader_since and voter.lie is not Family.THEIRS:
            last = 1_000_000_000 + int(voter.last_fetch * 1000)
        else:
            last = -1
        voters.append(VoterFact(voter.id, last, last))
    return Outcome.ANSWERED, QuorumFact(node.id, world.epoch, fetch_ms, now_ms, tuple(voters), ())


def _ensemble(world: World, node: Node) -> QuorumFact:
    """Return what a member says of its ensemble."""
    assert isinstance(world, ZooKeeperWorld)
    mode = world.mode(node)
    if mode is None:
        return _NOT_LEADER
    leader = node.id if mode == "leader" else None
    return QuorumFact(leader, mode=mode, synced=_synced(world, node, mode))
