"""A scenario: the cluster, its weather, its faults. Drawn from a seed, or written by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from kafka_self_healing.model.access import ListenerAccess, TlsConfig, ZooKeeperAccess
from kafka_self_healing.model.control import Order
from kafka_self_healing.model.evidence import Family, Kind
from kafka_self_healing.model.node import Cluster, ClusterMode, NodeConfig, Role
from kafka_self_healing.model.policy import Mode
from kafka_self_healing.simulation import faults
from kafka_self_healing.simulation.replicas import Partition, Topic

ALL_KINDS = frozenset({Kind.LISTENER, Kind.PROTOCOL, Kind.JVM, Kind.SERVICE, Kind.HOST})
NOT_OF_MEMBERS = frozenset({Kind.JVM, Kind.LOG})
"""What is not asked of an ensemble member here."""

FIRST_FAULT_S = 45.0
CALM_AT_THE_END_S = 300.0
NAME = "sim"
OUTSIDE = "outside"
"""The reference host."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How many nodes of which role, what is watched, and what the topics are like.

    `combined` nodes are broker and voter. With `members` it is a cluster in ZooKeeper mode. `tls`:
    all listeners, with a certificate for each node. `rf`, `min_isr` of ordinary topics; `unclean`
    adds one that may elect a stale leader. `references`: reference hosts outside are watched.
    """

    combined: int = 3
    controllers: int = 0
    brokers: int = 0
    members: int = 0
    tls: bool = False
    session_s: float = 9.0
    kinds: frozenset[Kind] = ALL_KINDS
    rf: int = 3
    min_isr: int = 2
    unclean: bool = False
    topics: int = 3
    partitions: int = 4
    references: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that a run is made of; the same scenario, the same run.

    `auto_restart`: the units say Restart=on-failure.
    """

    seed: int
    shape: Shape
    faults: tuple[faults.Fault, ...] = ()
    loss: float = 0.0
    mode: Mode = Mode.AUTO
    horizon_s: float = 600.0
    auto_restart: bool = False


def cluster_of(shape: Shape) -> Cluster:
    """Return the inventory: controllers 100…, members 200…, combined nodes and brokers 1…"""
    nodes: dict[str, NodeConfig] = {}
    extra = frozenset({Kind.CERTIFICATE}) if shape.tls else frozenset[Kind]()
    kinds = shape.kinds | extra | {Kind.LOG}
    door = ListenerAccess(tls=TlsConfig()) if shape.tls else ListenerAccess()
    members_door = ZooKeeperAccess(tls=TlsConfig()) if shape.tls else ZooKeeperAccess()
    for i in range(shape.controllers):
        id_ = f"{100 + i}"
        role = frozenset({Role.CONTROLLER})
        nodes[id_] = NodeConfig(id_, role, controller_port=9093, controller=door, kinds=kinds)
    for i in range(shape.members):
        id_, role = f"{200 + i}", frozenset({Role.ENSEMBLE})
        nodes[id_] = NodeConfig(
            id_, role, zookeeper_port=2181, zookeeper=members_door, kinds=kinds - NOT_OF_MEMBERS
        )
    roles = frozenset({Role.BROKER, Role.CONTROLLER})
    for i in range(shape.combined + shape.brokers):
        mine = roles if i < shape.combined else frozenset({Role.BROKER})
        id_ = f"{i + 1}"
        nodes[id_] = NodeConfig(
            id_, mine, kafka_port=9092, controller_port=9093, kafka=door, controller=door,
            kinds=kinds,
        )  # fmt: skip
    mode = ClusterMode.ZOOKEEPER if shape.members else ClusterMode.KRAFT
    outside = ((OUTSIDE, 22),) if shape.references else ()
    session_s = shape.session_s
    return Cluster(NAME, mode, nodes, session_timeout_s=session_s, reference_hosts=outside)


def topics_of(shape: Shape, brokers: tuple[str, ...]) -> list[Topic]:
    """Return topics whose partitions go round the brokers, like Kafka's own assignment."""
    topics: list[Topic] = []
    for t in range(shape.topics):
        topic = Topic(f"t{t}", shape.min_isr, unclean=shape.unclean and t == 0)
        rf = min(shape.rf, len(brokers))
        for p in range(shape.partitions):
            replicas = tuple(brokers[(t + p + r) % len(brokers)] for r in range(rf))
            topic.partitions.append(Partition(topic, p, replicas, list(replicas), replicas[0]))
        topics.append(topic)
    return topics


def draw(seed: int, horizon_s: float = 600.0, *, plain: bool = False) -> Scenario:
    """Draw a scenario. The last minutes are free of new faults, so that all can settle.

    `plain`: in KRaft without TLS, whatever the seed would have drawn.
    """
    rng, side = Random(seed), Random(f"side {seed}")
    shape = _shape(rng)
    shape = shape if plain else _side_shape(side, shape)
    cluster = cluster_of(shape)
    names = tuple(cluster.nodes)
    source = Draw(rng, names, cluster.keepers)
    count = rng.choice((0, 1, 1, 2, 2, 3, 4, 6))
    end = max(FIRST_FAULT_S, horizon_s - CALM_AT_THE_END_S)
    draft: list[faults.Fault] = []
    if count and rng.random() < 0.06 and len(names) > 3:
        draft.append(faults.NotCommissioned(names[-1]))
    if shape.tls and side.random() < 0.5:
        draft.append(
            faults.CertificateExpires(round(side.uniform(0.0, end), 2), side.choice(names))
        )
    for _ in range(count):
        at = round(rng.uniform(FIRST_FAULT_S if rng.random() < 0.95 else 0.5, end), 2)
        draft.extend(_fault(source, at))
    more = Random(f"more {seed}")
    if not plain and more.random() < 0.3:
        draft.extend(_trouble(replace(source, rng=more), round(more.uniform(45.0, end), 2)))
    blackout = Random(f"blackout {seed}")
    # With unclean election there is no safe order then: controllers that come back alone fence
    # one broker after the other, and the last one stays in sync by itself. And whoever sleeps just
    # before has not seen who was in sync last.
    slept = any(isinstance(fault, faults.Suspend) for fault in draft)
    if not plain and not shape.unclean and blackout.random() < 0.05 and not slept:
        draft.extend(_blackout(replace(source, rng=blackout), round(blackout.uniform(60, end), 2)))
    outside = Random(f"outside {seed}")
    if not plain and outside.random() < 0.03:
        shape = replace(shape, references=True)
        draft.append(faults.CutOff(round(outside.uniform(FIRST_FAULT_S, end), 2), 100.0))
    draft.sort(key=lambda fault: fault.at_s)
    mode = Mode.AUTO if rng.random() < 0.93 else rng.choice((Mode.OBSERVE, Mode.APPROVE))
    if any(isinstance(one, faults.Says) and one.target == faults.PLAN for one in draft):
        mode = blackout.choice((mode, Mode.APPROVE))
    loss = rng.choice((0.0, 0.0, 0.002, 0.01, 0.03))
    restarts = not plain and more.random() < 0.15
    return Scenario(seed, shape, tuple(draft), loss, mode, horizon_s, restarts)


def _shape(rng: Random) -> Shape:
    kind = rng.random()
    if kind < 0.45:
        combined, controllers, brokers = rng.choice((3, 3, 5)), 0, rng.choice((0, 0, 1, 3))
    elif kind < 0.9:
        combined, controllers, brokers = 0, 3, rng.choice((3, 4, 6))
    else:
        combined, controllers, brokers = 0, 5, rng.choice((3, 4))
    kinds = ALL_KINDS
    if rng.random() < 0.15:
        kinds = ALL_KINDS - {rng.choice((Kind.JVM, Kind.JVM, Kind.HOST))}
    return Shape(
        combined,
        controllers,
        brokers,
        session_s=rng.choice((9.0, 9.0, 9.0, 3.0, 18.0)),
        kinds=kinds,
        rf=rng.choice((3, 3, 3, 2)),
        min_isr=rng.choice((2, 2, 1)),
        unclean=rng.random() < 0.2,
        topics=rng.choice((1, 2, 4)),
        partitions=rng.choice((2, 4, 6)),
    )


def _side_shape(rng: Random, shape: Shape) -> Shape:
    """Make a third of the shapes ZooKeeper clusters, and a fourth secured."""
    if rng.random() < 0.33:
        shape = replace(
            shape,
            combined=0,
            controllers=0,
            brokers=rng.choice((3, 3, 4)),
            members=rng.choice((3, 3, 3, 5)),
            session_s=rng.choice((18.0, 18.0, 6.0)),
        )
    return replace(shape, tls=rng.random() < 0.25)


@dataclass(frozen=True, slots=True)
class Draw:
    """What the makers of faults draw from. `keepers`: who keeps the metadata."""

    rng: Random
    names: tuple[str, ...]
    keepers: tuple[str, ...]


Maker = Callable[[Draw, float], list[faults.Fault]]


def _fault(draw: Draw, at: float) -> list[faults.Fault]:
    makers = tuple(maker for maker, _ in MAKERS)
    (maker,) = draw.rng.choices(makers, weights=[weight for _, weight in MAKERS])
    return maker(draw, at)


def _crash(draw: Draw, at: float) -> list[faults.Fault]:
    rng, names = draw.rng, draw.names
    slow = rng.uniform(10.0, 80.0) if rng.random() < 0.2 else 0.0
    young = rng.choice((3.0, 25.0, 90.0)) if rng.random() < 0.15 else None
    found: list[faults.Fault] = [faults.Crash(at, rng.choice(names), slow, young)]
    if rng.random() < 0.3:
        found.append(faults.Crash(at + rng.uniform(0.0, 40.0), rng.choice(names)))
    if rng.random() < 0.15:
        found.append(faults.StartedBySomebody(at + rng.uniform(0.5, 6.0), names[0]))
    return found


def _hang(draw: Draw, at: float) -> list[faults.Fault]:
    rng, names = draw.rng, draw.names
    for_s = rng.choice((4.0, 8.0, 10.0, 12.0, 20.0)) if rng.random() < 0.35 else None
    young = 5.0 if rng.random() < 0.15 else None
    found: list[faults.Fault] = [faults.Hang(at, rng.choice(names), for_s, young)]
    if rng.random() < 0.25:
        found.append(faults.Hang(at + rng.uniform(0.0, 150.0), rng.choice(names)))
    return found


def _blackout(draw: Draw, at: float) -> list[faults.Fault]:
    """All processes end within a second, and a person approves the cold start that is proposed."""
    rng = draw.rng
    found: list[faults.Fault] = [faults.Crash(at + rng.uniform(0.0, 1.0), n) for n in draw.names]
    if rng.random() < 0.5:
        found.append(faults.Crash(max(46.0, at - 40.0), rng.choice(draw.names), 30.0))
    return [*found, faults.Says(at + rng.uniform(20.0, 60.0), Order.APPROVE, faults.PLAN)]


def _trouble(draw: Draw, at: float) -> list[faults.Fault]:
    rng, node = draw.rng, draw.rng.choice(draw.names)
    for_s = rng.uniform(30.0, 150.0)
    pick = rng.random()
    if pick < 0.15:
        return [faults.OneWayCut(at, node, for_s)]
    if pick < 0.45:
        how = rng.choice(tuple(faults.Disk))
        return [faults.DiskFails(at, node, how, for_s if rng.random() < 0.5 else None)]
    if pick < 0.6:
        return [faults.HeapExhausted(at, node, rng.choice((0.4, 0.65, 1.0)))]
    if pick < 0.75:
        return [faults.HostFreezes(at, node, for_s)]
    if pick < 0.83:
        return [faults.PowerCut(at, node, for_s, starts_it=True)]
    if pick < 0.93:
        return [faults.CastOut(at, node)]
    return [faults.LeaseLost(at, for_s, acts=True), faults.Crash(at + 2.0, node)]


def _operator(draw: Draw, at: float) -> list[faults.Fault]:
    rng, names = draw.rng, draw.names
    node = rng.choice(names)
    pick = rng.random()
    if pick < 0.3:
        back = rng.uniform(10.0, 90.0) if rng.random() < 0.5 else None
        return [faults.OperatorStop(at, node, rng.random() < 0.3, back)]
    if pick < 0.5:
        return [faults.Terminate(at, node)]
    if pick < 0.6:
        return [faults.StartedByHand(at, node)]
    if pick < 0.8:
        hold = rng.uniform(20.0, 120.0)
        return [
            faults.Says(at, Order.PAUSE),
            faults.Crash(at + rng.uniform(-3.0, 10.0), node),
            faults.Says(at + hold, Order.RESUME),
        ]
    hold = rng.uniform(20.0, 120.0)
    return [
        faults.Says(at, Order.MAINTENANCE, node),
        faults.Crash(at + rng.uniform(-3.0, 10.0), node),
        faults.Says(at + hold, Order.MAINTENANCE_END, node),
    ]


def _sight(draw: Draw, at: float) -> list[faults.Fault]:
    rng, names = draw.rng, draw.names
    for_s = rng.uniform(15.0, 120.0)
    pick = rng.random()
    if pick < 0.3:
        count = rng.choice((1, 1, 2, len(names)))
        return [faults.CutHealer(at, tuple(rng.sample(names, min(count, len(names)))), for_s)]
    if pick < 0.5:
        return [faults.BadWeather(at, for_s, rng.choice((0.1, 0.3, 0.6)), rng.choice((0.0, 2.0)))]
    if pick < 0.65:
        return [faults.BadWeather(at, for_s, 0.0, rng.choice((1.0, 3.0)))]
    if pick < 0.75:
        return [faults.JmxOff(at, rng.choice(names), for_s)]
    return [faults.Lie(at, rng.choice(names), rng.choice(tuple(Family)), for_s)]


def _cluster(draw: Draw, at: float) -> list[faults.Fault]:
    rng, names = draw.rng, draw.names
    keepers = draw.keepers
    pick = rng.random()
    if pick < 0.5:
        return [faults.QuorumLoss(at, tuple(rng.sample(keepers, len(keepers) // 2 + 1)))]
    if pick < 0.75:
        return [faults.Isolate(at, rng.choice(names), rng.uniform(10.0, 90.0))]
    return [faults.PowerCut(at, rng.choice(names), rng.uniform(20.0, 100.0))]


def _machine(draw: Draw, at: float) -> list[faults.Fault]:
    rng, names = draw.rng, draw.names
    node = rng.choice(names)
    pick = rng.random()
    if pick < 0.3:
        return [faults.StorageMissing(at, node), faults.Crash(at, node)]
    what = rng.choice(("job", "host_lock", "tracer"))
    hold = rng.choice((None, 30.0, 90.0))
    return [faults.ForeignWork(at, node, what, hold), faults.Crash(at + 2.0, node)]


def _healer(draw: Draw, at: float) -> list[faults.Fault]:
    rng, names = draw.rng, draw.names
    node = rng.choice(names)
    pick = rng.random()
    if pick < 0.35:
        blow = faults.HealerCrash(at - 1.0, rng.uniform(0.5, 30.0), True, rng.random() < 0.5)
        trouble = faults.Crash(at, node) if rng.random() < 0.5 else faults.Hang(at, node)
        return [blow, trouble]
    if pick < 0.5:
        return [faults.HealerCrash(at, rng.uniform(0.5, 30.0)), *_crash(draw, at)]
    if pick < 0.65:
        step = rng.choice((-3600.0, 3600.0, 30.0, 90.0))
        return [faults.ClockStep(at, step), *_crash(draw, at - rng.uniform(0, 3))]
    if pick < 0.75:
        return [faults.Suspend(at, rng.choice((5.0, 40.0, 100.0)))]
    if pick < 0.85:
        return [faults.LeaseLost(at, rng.uniform(5.0, 60.0)), faults.Crash(at + 2.0, node)]
    return [
        faults.Clumsy(at, 100.0, rng.choice((0.0, 0.5)), rng.choice((0.3, 0.5))),
        *_crash(draw, at + 1.0),
    ]


MAKERS: tuple[tuple[Maker, int], ...] = (
    (_crash, 30),
    (_hang, 16),
    (_operator, 14),
    (_sight, 14),
    (_cluster, 12),
    (_machine, 6),
    (_healer, 14),
)
