"""Three healers, the same seeds, worlds, looks and delays: ours, port checks, the manager alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

from kafka_self_healing.model.event import Event, IncidentChanged, IncidentClosed, Told
from kafka_self_healing.model.policy import Mode, Policy
from kafka_self_healing.simulation import faults
from kafka_self_healing.simulation.invariants import Judge
from kafka_self_healing.simulation.meter import Count, Episode, Meter, Moment, attach
from kafka_self_healing.simulation.naive import PortChecks, ServiceManagerAlone
from kafka_self_healing.simulation.runner import Actor, let_run, set_stage, world_of
from kafka_self_healing.simulation.scenarios import Scenario, draw
from kafka_self_healing.simulation.shell import Shell
from kafka_self_healing.simulation.zookeeper import ZooKeeperWorld

ALONE_S = 120.0
"""How long a single fault is followed; ZooKeeper mode takes about 20 s."""


class Who(StrEnum):
    """Who heals."""

    OURS = "ours"
    PORT = "3 failed port checks"
    SYSTEMD = "systemd on-failure"


@dataclass(frozen=True, slots=True)
class Run:
    """One scenario healed by somebody. `in_sync_s`: from the fault to all well, of a single one.

    `closed_s`: when incidents were over, `told_s`: when somebody was told (virtual seconds).
    """

    who: Who
    seed: int
    episodes: tuple[Episode, ...]
    count: Count
    notices: int = 0
    incidents: int = 0
    in_sync_s: float | None = None
    closed_s: tuple[float, ...] = ()
    told_s: tuple[float, ...] = ()


def compare(seed: int) -> list[Run]:
    """Run the drawn scenario of a seed with each healer; the healer may act."""
    return [heal(replace(draw(seed), mode=Mode.AUTO), who) for who in Who]


def single(seed: int, kind: type[faults.Crash | faults.Hang]) -> list[Run]:
    """Run one fault of one broker in the shape of a seed, with each healer."""
    drawn = draw(seed)
    rng = Random(f"single {seed}")
    plain = Scenario(seed, replace(drawn.shape, tls=False), loss=drawn.loss)
    broker = rng.choice([n.id for n in world_of(plain).nodes.values() if n.config.is_broker])
    at = rng.uniform(100.0, 110.0)
    scenario = replace(plain, faults=(kind(at, broker),), horizon_s=at + ALONE_S)
    return [heal(scenario, who) for who in Who]


def heal(scenario: Scenario, who: Who, policy: Policy | None = None) -> Run:
    """Run one scenario with one healer, which may act; `policy`: ours, if not the default."""
    policy = replace(policy or Policy(), mode=Mode.AUTO)
    world = world_of(replace(scenario, auto_restart=who is Who.SYSTEMD))
    judge = Judge(world, policy)
    actor: Actor
    match who:
        case Who.OURS:
            actor = Shell(world, policy, judge)
        case Who.PORT:
            actor = PortChecks(world, policy)
        case Who.SYSTEMD:
            actor = ServiceManagerAlone(world, policy)
    stage = set_stage(scenario, policy, judge, actor)
    meter = Meter(world, stage.hands, stage.eyes)
    stage.on_fault = meter.strike
    if isinstance(world, ZooKeeperWorld):
        world.on_refused = meter.refused
    meter.begin()
    let_run(scenario, stage, actor)
    journal: Sequence[Event] = actor.journal if isinstance(actor, Shell) else ()
    attach(meter.episodes, _story(actor, meter.episodes))
    alone = len(scenario.faults) == 1 and meter.whole_since is not None
    since = meter.whole_since or 0.0
    return Run(
        who, scenario.seed, tuple(meter.episodes), meter.count,
        sum(isinstance(event, Told) for event in journal),
        len({e.incident.id for e in journal if isinstance(e, IncidentChanged) and e.incident.told}),
        since - scenario.faults[0].at_s if alone else None,
        tuple(round(e.at.mono_s, 2) for e in journal if isinstance(e, IncidentClosed)),
        tuple(round(e.at.mono_s, 2) for e in journal if isinstance(e, Told)),
    )  # fmt: skip


def _story(actor: Actor, episodes: Sequence[Episode]) -> list[tuple[float, str, Moment]]:
    """Return who noticed what about which node, and when."""
    if isinstance(actor, Shell):
        return [
            (event.at.mono_s, node, moment)
            for event in actor.journal
            if isinstance(event, IncidentChanged)
            for node in event.incident.nodes
            for moment in _reached(event)
        ]
    if isinstance(actor, PortChecks):
        return actor.story
    return [
        (episode.since, episode.node, moment)
        for episode in episodes
        if Moment.ACTED in episode.moments
        for moment in (Moment.DETECTED, Moment.DIAGNOSED)
    ]


def _reached(event: IncidentChanged) -> list[Moment]:
    found = [Moment.DETECTED]
    if event.incident.confirmed is not None:
        found.append(Moment.DIAGNOSED)
    if event.incident.escalation:
        found.append(Moment.HANDED_OVER)
    return found
