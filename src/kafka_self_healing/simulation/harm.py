"""Was an act right? Judged on the truth as of the last fresh look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from kafka_self_healing.model.evidence import Family, Kind
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.model.recovery import ActClass, RecoveryRequest
from kafka_self_healing.simulation.node import Node, Phase
from kafka_self_healing.simulation.replicas import NOBODY
from kafka_self_healing.simulation.world import UNUSABLE, World

THEIRS = Family.THEIRS
GRACE_S = 4.0
"""A look takes up to 2 s, a late one 3 s, and from its end to the act up to 2 s pass."""

BAD_WEATHER = 0.25
"""A share of lost looks from which on nobody can be asked to be in time."""

CHOKED_S = 20.0
"""A heap that has had no room for so long is not a long collection of garbage. Of one that answers
nobody any more, nobody can tell it from a hang."""

LOST_S = 27.0
"""Who is not counted in for less may be on its way back in."""

CONFIRM_S = 2.0
"""A process that is gone for less may be on its way back."""

FOREIGN = (
    ("a unit job is queued", "job"),
    ("another tool's lock is held", "host_lock"),
    ("a debugger is attached", "tracer"),
    ("its unit is masked", "masked"),
    ("somebody asked it to stop", "stop_requested"),
)
Broken = Callable[[str, str], None]


@dataclass(slots=True)
class Tally:
    """Harm metrics of one scenario.

    `unwatched`: starts on a missing disk where data directories are not watched: every kind that
    is configured says yes, and the act says what it could not see.
    """

    acts: int = 0
    needless: int = 0
    harmful: int = 0
    missed: int = 0
    overtaken: int = 0
    hasty: int = 0
    unwatched: int = 0


class Harm:
    """Judges the target of an act, the quorum, the replicas, and the others at work."""

    def __init__(
        self, world: World, policy: Policy, broken: Broken, sees: Callable[[], bool]
    ) -> None:
        self.world, self.policy, self.sees = world, policy, sees
        self.tally = Tally()
        self._broken = broken
        self.excused: set[str] = set()
        """Nodes whose latest act a person approved, or was overtaken by what changed before it."""

        self._tries: Counter[str] = Counter()
        self._restarts: dict[str, tuple[float, float]] = {}

    def judge(self, request: RecoveryRequest, latch: str, *, approved: bool) -> None:
        """Judge one act at its beginning."""
        self.tally.acts += 1
        self._tries[request.node] += 1
        node = self.world.nodes[request.node]
        (self.excused.add if approved else self.excused.discard)(node.id)
        restart, overtaken = request.act_class is not ActClass.START, self.tally.overtaken
        self._ours_to_break(request, node)
        if restart:
            self._restart(request, node, latch, approved=approved)
            self._restarts[node.id] = self.world.now, self.world.now + request.limit_s
        else:
            self._start(request, node, approved=approved)
        if self.tally.overtaken > overtaken:
            self.excused.add(node.id)

    def _blame(self, code: str, text: str, since: float | None = None) -> None:
        """What changed within the grace time is counted as overtaken, not blamed.

        `since`: when that which speaks against the act became so; None: when anything changed.
        """
        if self.world.now - (self.world.changed_at if since is None else since) <= GRACE_S:
            self.tally.overtaken += 1
            return
        self.tally.harmful += 1
        self._broken(code, text)

    def _ours_to_break(self, request: RecoveryRequest, node: Node) -> None:
        if not node.commissioned:
            self._blame("I3", f"{request.id} on node {node.id}, never seen alive")
        for what, name in FOREIGN:
            if getattr(node, name) and not (name == "stop_requested" and self._owed(node)):
                since = node.since.get(name, node.snapshots[-1].at)
                self._blame("I4", f"{request.id} while {what}", since)

    def _owed(self, node: Node) -> bool:
        """Whether it was stopped by a restart of ours that did not come to its start."""
        began, ends = self._restarts.get(node.id, (0.0, 0.0))
        return not node.alive and began < node.ended_at < ends

    def _start(self, request: RecoveryRequest, node: Node, *, approved: bool) -> None:
        then = self.world.was(node, self.world.now - GRACE_S)
        if node.alive and then.alive:
            self.tally.needless += 1
            if not node.frozen:  # of a hung one the failure is real; its manager does nothing
                self._blame("I3", f"{request.id}: a start, but its process lives")
        elif node.alive:
            self.tally.overtaken += 1
        if node.storage_missing and Kind.HOST not in node.config.kinds:
            self.tally.unwatched += 1
        elif node.storage_missing:
            text = f"{request.id}: a start on a data directory that is not there"
            self._blame("I3", text, node.since.get("storage_missing"))
        if not node.alive:
            self._dead_for(request, node, approved=approved)
            broken_s = self.world.now - node.since["disk"] if node.disk in UNUSABLE else 0.0
            self.tally.needless += broken_s > GRACE_S  # it can only end of the same again
        if not node.config.is_keeper:
            self._start_broker(request)
        stale = self._stale(node)
        if stale:
            self._blame("I2", f"{request.id} would make a stale copy of {stale} its leader")

    def refused(self, node: Node) -> None:
        """A broker has died of its old registration: by an act of ours, or by somebody else."""
        if not node.ours or node.id in self.excused:
            return
        since_lie = self.world.now - node.since.get("lie", -1.0e9)
        if node.lie is THEIRS or since_lie < node.boot_s + GRACE_S:
            # When it was started the others did not list it: nobody could know.
            self.tally.needless += 1
            return
        self.tally.harmful += 1
        self._broken("registration", f"the start of node {node.id} died of NodeExists")

    def _dead_for(self, request: RecoveryRequest, node: Node, *, approved: bool) -> None:
        dead_s = self.world.now - node.ended_at
        if dead_s < CONFIRM_S:
            self.tally.hasty += 1
        if (
            node.exit_status == 143
            and not (approved or self._owed(node))
            and dead_s < self.policy.terminated_hold_s - GRACE_S
        ):
            self._broken("I5", f"{request.id}: only {dead_s:.0f} s after a SIGTERM")

    def _start_broker(self, request: RecoveryRequest) -> None:
        leaderless = self.world.leaderless_since
        unable = self.world.able < self.world.majority
        if unable and leaderless is not None and self.world.now - leaderless > 20.0:
            self.tally.needless += 1
            text = f"{request.id}: a broker is started while the quorum is lost"
            self._blame("I2", text, leaderless)
        for voter in self.world.keepers:
            gone_s = self.world.now - voter.snapshots[-1].at
            due = self._startable(voter) and 8.0 < gone_s < 30.0
            if due and not self._waits_for(voter, request.node):
                self._blame("order", f"{request.id}: a broker is started before voter {voter.id}")

    def _waits_for(self, node: Node, holder: str) -> bool:
        """Whether partitions without a leader were last in sync on the holder, and not on it."""
        nodes = self.world.nodes
        return any(
            (part.leader == NOBODY or not nodes[part.leader].alive)
            and holder in part.isr
            and node.id not in part.isr
            for part in self.world.replicas.partitions
        )

    def _stale(self, node: Node) -> str:
        """Name a topic of which it would become a stale leader."""
        return self.world.replicas.stale_start(node.id, lambda id_: self.world.nodes[id_].alive)

    def _startable(self, node: Node) -> bool:
        """Whether it was killed, and nothing and nobody stands in the way of its start."""
        kept = node.masked or node.stop_requested or node.dark or bool(node.job or node.host_lock)
        kept = kept or node.storage_missing or node.lie is not None or not node.commissioned
        # Whether one that ended again after a start of ours is started once more, a person says.
        kept = kept or node.id in self.world.excused or self._tries[node.id] > 0
        if not self.sees():
            return False
        # At the port of one that was silent we knock seldom.
        seen = max(node.since.get(name, -1.0e9) for name in ("lie", "dark"))
        kept = kept or self.world.now - seen < self.policy.silent_interval_s + GRACE_S
        return not (node.alive or kept) and node.signal is not None

    def _restart(self, request: RecoveryRequest, node: Node, latch: str, *, approved: bool) -> None:
        world = self.world
        then = world.was(node, world.now - GRACE_S)
        out = node.frozen and not world.counted(node)
        patience = GRACE_S if node.choked >= 1.0 else CHOKED_S
        choked = node.choked > 0.0 and world.now - node.since["choked"] > patience
        lost = any(
            getattr(node, name) and world.now - node.since[name] > LOST_S
            for name in ("cast_out", "zombie")
        )
        if not node.frozen and not then.frozen and not choked and not lost:
            self.tally.needless += 1
            self._blame("I3", f"{request.id}: a restart of a process that is not hung")
        elif not node.frozen and then.frozen:
            self.tally.overtaken += 1
        elif (node.frozen or node.cast_out) and world.counted(node) and not self._denied(node):
            self._blame("I3", f"{request.id}: the others have not dropped node {node.id}")
        if not out and node.config.is_keeper:
            healthy = sum(v.votes for v in world.keepers if v is not node)
            if healthy < world.majority:
                self._blame("I2", f"{request.id} leaves {healthy} of {len(world.keepers)} keepers")
        if not node.config.is_keeper and world.leader is None:
            text = f"{request.id}: a broker is restarted while the quorum is lost"
            self._blame("I2", text, world.leaderless_since)
        if not out and node.config.is_broker:
            hurt = world.replicas.hurt_by_losing(node.id, lambda id_: world.nodes[id_].serves)
            if hurt:
                self._blame("I2", f"{request.id} takes {', '.join(hurt[:3])} under min ISR")
        if node.not_after is not None and world.now >= node.not_after and not approved:
            self._blame("certificate", f"{request.id}: its certificate has expired", node.not_after)
        if not approved:
            self._restart_moment(request, node, latch)

    def _denied(self, node: Node) -> bool:
        """Whether the others lie about it; of an ensemble they tell only how many they count."""
        asked = self.world.keepers if node.config.is_member else (node,)
        return any(one.lie is THEIRS for one in asked)

    def _restart_moment(self, request: RecoveryRequest, node: Node, latch: str) -> None:
        world = self.world
        dark = [n for n in world.nodes.values() if n.dark]
        if 2 * len(dark) > len(world.nodes):
            self._blame("I4", f"{request.id} with {len(dark)} nodes dark: the viewpoint is lost")
        if world.cut_off_at is not None:
            text = f"{request.id} while no reference host is reached: the viewpoint is lost"
            self._blame("I4", text, world.cut_off_at)
        struck = [n for n in world.nodes.values() if self._newly_sick(n)]
        enough = len(struck) >= self.policy.storm_nodes
        if enough and len(struck) / len(world.nodes) >= self.policy.storm_fraction:
            self._blame("I4", f"{request.id} in a storm of {len(struck)} nodes")
        if latch:
            self._broken("latch", f"{request.id} after {latch} did not come back")
        sick = [n.id for n in world.nodes.values() if self._sick_bystander(n, node)]
        if sick:
            self._blame("others", f"{request.id} while {', '.join(sick)} are sick")
        nodes = world.nodes.values()
        # Where one ended again after a start of ours, a person says whether the others are started.
        asked = any(self._tries[n.id] and not n.alive for n in nodes)
        if world.leader == node.id and not asked and any(self._startable(n) for n in nodes):
            self._blame("order", f"{request.id}: the active controller before the others")

    def _newly_sick(self, node: Node) -> bool:
        """Frozen, or its host dark, for less than a storm takes to blow over."""
        last = node.snapshots[-1]
        fresh = self.world.now - last.at < self.policy.storm_window_s
        return node.frozen and fresh

    def _sick_bystander(self, node: Node, target: Node) -> bool:
        """Whether another member of one of the target's groups is sick."""
        mine, theirs = target.config, node.config
        together = (mine.is_broker and theirs.is_broker) or (mine.is_keeper and theirs.is_keeper)
        if node is target or not together:
            return False
        if node.id in self.world.excused or not node.commissioned:
            return False
        then = self.world.was(node, self.world.now - GRACE_S)
        sick = then.phase is not Phase.SERVING or then.frozen
        return sick and not node.serves
