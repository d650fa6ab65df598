"""Runs scenarios: the unchanged mind in the virtual world, judged; the same seed, the same run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

from kafka_self_healing.healing.memory import Memory, fold
from kafka_self_healing.model.event import Decided, Event, IncidentChanged, RequestChanged
from kafka_self_healing.model.evidence import CheckResult
from kafka_self_healing.model.node import ClusterMode
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.model.recovery import RecoveryResult, StepReport
from kafka_self_healing.simulation import faults
from kafka_self_healing.simulation.agenda import Agenda
from kafka_self_healing.simulation.eyes import Eyes
from kafka_self_healing.simulation.hands import Hands
from kafka_self_healing.simulation.harm import Tally
from kafka_self_healing.simulation.invariants import Judge
from kafka_self_healing.simulation.kraft import KraftWorld
from kafka_self_healing.simulation.manager import AutoRestart
from kafka_self_healing.simulation.record import Violation
from kafka_self_healing.simulation.replicas import Replicas
from kafka_self_healing.simulation.scenarios import Scenario, cluster_of, draw, topics_of
from kafka_self_healing.simulation.shell import Shell
from kafka_self_healing.simulation.shrinking import Shrinker
from kafka_self_healing.simulation.striking import Healer, Stage
from kafka_self_healing.simulation.world import World
from kafka_self_healing.simulation.zookeeper import ZooKeeperWorld

WATCH_S = 10.0
YEAR_S = 365 * 86400.0


@dataclass(frozen=True, slots=True)
class ActDone:
    """One act as the world saw it begin (virtual seconds)."""

    at_s: float
    node: str
    action: str
    condition: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to. `digest` names the whole journal; `timeline` has a line a change.

    `alone`: guards that were at some time the only reason against an act.
    """

    seed: int
    violations: tuple[Violation, ...]
    metrics: tuple[tuple[str, int], ...]
    acts: tuple[ActDone, ...]
    turns: int
    digest: str
    timeline: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether no invariant was broken."""
        return not self.violations

    def metric(self, name: str) -> int:
        """Return one harm metric: acts, needless, harmful, missed, overtaken, hasty, unwatched."""
        return dict(self.metrics)[name]


def run(
    seed: int, *, policy: Policy | None = None, horizon_s: float = 600.0, trace: bool = False
) -> Outcome:
    """Run the scenario of one seed. `policy`: another one than the default (mode is the seed's)."""
    return play(draw(seed, horizon_s), policy=policy, trace=trace)


def play(
    scenario: Scenario,
    *,
    policy: Policy | None = None,
    mind: Policy | None = None,
    trace: bool = False,
) -> Outcome:
    """Run one scenario. `trace` fills the timeline; `mind`: its policy, if not the judge's."""
    policy = replace(policy or Policy(), mode=scenario.mode)
    mind = policy if mind is None else replace(mind, mode=scenario.mode)
    world = world_of(scenario)
    judge = Judge(world, policy)
    shell = Shell(world, mind, judge)
    stage = set_stage(scenario, mind, judge, shell)
    watch(judge, world.agenda)
    let_run(scenario, stage, shell)
    judge.finish(shell.journal, shell.memory, lambda events: fold(Memory(), events))
    text = "\n".join(f"{type(event).__name__} {event.at.mono_s:.6f}" for event in shell.journal)
    acts = tuple(
        ActDone(round(a.began.mono_s, 3), a.node, a.action, a.condition.value)
        for a in judge.acts
        if a.began is not None
    )
    return Outcome(
        scenario.seed, tuple(judge.violations), metrics_of(judge.tally), acts, shell.turns,
        hashlib.sha256(text.encode()).hexdigest()[:16],
        timeline_of(stage, judge, shell.journal) if trace else (),
        _alone(shell.journal),
    )  # fmt: skip


def world_of(scenario: Scenario) -> World:
    """Return the world of a scenario, up as if it had run for long."""
    rng = Random(scenario.seed * 7919 + 1)
    cluster = cluster_of(scenario.shape)
    missing = {f.target for f in scenario.faults if isinstance(f, faults.NotCommissioned)}
    brokers = tuple(id_ for id_ in cluster.brokers if id_ not in missing)
    replicas = Replicas(topics_of(scenario.shape, brokers), cluster.brokers)
    kraft = cluster.mode is ClusterMode.KRAFT
    world = (KraftWorld if kraft else ZooKeeperWorld)(cluster, replicas, Agenda(), rng)
    world.manager.auto = AutoRestart() if scenario.auto_restart else None
    for id_ in missing:
        world.nodes[id_].commissioned = False
    ends = {f.target: f.at_s for f in scenario.faults if isinstance(f, faults.CertificateExpires)}
    for node in world.nodes.values():
        node.boot_s = rng.uniform(1.3, 4.0)
        if scenario.shape.tls:
            node.not_after = ends.get(node.id, YEAR_S)
    world.begin()
    return world


class Actor(Healer, Protocol):
    """Somebody who heals: sees looks, begins acts, hears their reports."""

    eyes: Eyes
    hands: Hands

    def begin(self) -> None:
        """It comes up."""

    def see(self, results: list[CheckResult], news: bool) -> None:
        """Looks have come back."""

    def report(self, life: int, said: StepReport | RecoveryResult) -> None:
        """The hands say how an act goes."""


def set_stage(scenario: Scenario, policy: Policy, judge: Judge, actor: Actor) -> Stage:
    """Give somebody who heals eyes and hands in the judge's world."""
    world = judge.world
    eyes = Eyes(world, policy, world.rng, actor.see)
    hands = Hands(world, world.rng, actor.report)
    eyes.weather.loss = scenario.loss
    actor.eyes, actor.hands, judge.eyes = eyes, hands, eyes
    if isinstance(world, ZooKeeperWorld):
        world.on_refused = judge.harm.refused
    stage = Stage(world, eyes, hands, actor, judge)
    world.on_closed = stage.hint
    for fault in scenario.faults:
        if not isinstance(fault, faults.NotCommissioned):
            world.agenda.at(fault.at_s, stage.strike, fault)
    return stage


def let_run(scenario: Scenario, stage: Stage, actor: Actor) -> None:
    """Let everything happen."""
    stage.eyes.begin()
    actor.begin()
    stage.world.agenda.run(scenario.horizon_s)


def watch(judge: Judge, agenda: Agenda) -> None:
    """Have the judge look at the truth every few seconds."""
    judge.watch()
    agenda.after(WATCH_S, watch, judge, agenda)


def _alone(journal: Sequence[Event]) -> tuple[str, ...]:
    found: set[str] = set()
    for event in journal:
        if isinstance(event, Decided):
            blocking = {verdict.guard for verdict in event.reasons if verdict.blocking}
            if len(blocking) == 1:
                found |= blocking
    return tuple(sorted(found))


def metrics_of(tally: Tally) -> tuple[tuple[str, int], ...]:
    """Return the harm metrics by name."""
    return (
        ("acts", tally.acts),
        ("needless", tally.needless),
        ("harmful", tally.harmful),
        ("missed", tally.missed),
        ("overtaken", tally.overtaken),
        ("hasty", tally.hasty),
        ("unwatched", tally.unwatched),
    )


def timeline_of(stage: Stage, judge: Judge, journal: Sequence[Event]) -> tuple[str, ...]:
    """Return a line a change, in the order of time."""
    lines = list(stage.lines)
    for event in journal:
        at = f"{event.at.mono_s:7.2f}"
        match event:
            case IncidentChanged(incident=incident, what=what):
                where = ",".join(incident.nodes) or incident.subject
                lines.append(f"{at} incident {incident.id} {where}: {what}")
            case RequestChanged(request=request):
                text = f"{request.id} {request.action} on {request.node}: {request.state.value}"
                lines.append(f"{at} request  {text} {request.reason}".rstrip())
            case Decided(node=node, answer=answer, action=action, reasons=reasons):
                why = ", ".join(verdict.reason for verdict in reasons)
                lines.append(f"{at} decided  {answer.value} {action} on {node} {why}".rstrip())
            case _:
                lines.append(f"{at} event    {type(event).__name__}")
    lines += [f"{v.at_s:7.2f} BROKEN   {v.code}: {v.text}" for v in judge.violations]
    return tuple(sorted(lines, key=lambda line: float(line.split(maxsplit=1)[0])))


def timeline(seed: int) -> str:
    """Return the timeline of one seed, a line a change, with its scenario at the top."""
    return story_of(draw(seed))


def story_of(scenario: Scenario) -> str:
    """Return the timeline of a scenario, a line a change, with its shape at the top."""
    head = f"seed {scenario.seed}: {scenario.shape}, loss {scenario.loss:g}"
    return "\n".join((f"{head}, mode {scenario.mode.value}", *play(scenario, trace=True).timeline))


def shrink(seed: int, code: str = "") -> Scenario:
    """Return the smallest scenario in which the same goes wrong as in a seed's.

    `code`: which invariant; else the first that is broken. Raises ValueError if none is.
    """
    whole = draw(seed)
    if not code:
        broken = play(whole).violations
        if not broken:
            raise ValueError(f"seed {seed} breaks no invariant")
        code = broken[0].code

    def fails(scenario: Scenario) -> float | None:
        return next((v.at_s for v in play(scenario).violations if v.code == code), None)

    return Shrinker(fails).shrink(whole)
