"""When each kind of evidence changes after a fault: in a recording, and in the virtual world."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from tests.recordings.adapter import load, node_of, replay_lines

from kafka_self_healing.model.codec import to_plain
from kafka_self_healing.model.evidence import CheckResult
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.simulation import faults
from kafka_self_healing.simulation.invariants import Judge
from kafka_self_healing.simulation.naive import ServiceManagerAlone
from kafka_self_healing.simulation.runner import let_run, set_stage, world_of
from kafka_self_healing.simulation.scenarios import Scenario, Shape
from kafka_self_healing.simulation.world import World
from kafka_self_healing.simulation.zookeeper import ZooKeeperWorld

AT_S = 30.0
"""When the fault strikes in the world."""

SEEDS = range(1, 6)
STALE_MS = 2000
GAP_S = 2.6
"""So long without an account of the quorum is a silence; looks are a second apart."""

KRAFT = Shape(topics=1, partitions=12)
SEPARATE = Shape(combined=0, controllers=3, brokers=3, topics=1, partitions=12)
ZOOKEEPER = Shape(combined=0, brokers=3, members=3, session_s=18.0, topics=1, partitions=12)
SHAPES = {"kraft": KRAFT, "kraft-separate": SEPARATE, "zk": ZOOKEEPER}
REFUSALS = frozenset({"refused", "closed", "reset"})
ENDED = frozenset({"inactive", "failed"})


@dataclass(frozen=True, slots=True)
class Case:
    """One recording and the same in the world; seconds count from the fault.

    `struck`: faults whose target "victim" is the victim, at seconds after the fault. `leads`:
    whether the victim leads the keepers, `controls`: whether it is the controller of ZooKeeper
    mode; None: does not matter. `since`, `until`: the part that is compared. `whole_host`: the
    ensemble member beside the victim is struck too.
    """

    name: str
    struck: tuple[faults.Fault, ...]
    leads: bool | None = None
    controls: bool | None = None
    since: float = 0.0
    until: float | None = None
    auto_restart: bool = False
    whole_host: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """One look, wherever it is from."""

    at: float
    observer: str
    subject: str
    kind: str
    outcome: str
    fact: dict[str, Any]


def recorded(case: Case) -> dict[str, float]:
    """Return when each signal first changed in the recording."""
    header, _ = load(case.name)
    unit = {"c": "kafka-controller", "z": "zookeeper"}.get(header["fault"][:1], "kafka")
    unit = unit if header["fault"].startswith(("ctl-", "zk-")) else "kafka"
    victims = {node_of(header["mode"], str(host), unit) for host in header["nodes"]}
    looks = [
        Look(
            line["check"]["started"], line["check"]["observer"], line["check"]["subject"],
            line["check"]["kind"], line["check"]["outcome"], line["check"].get("fact") or {},
        )
        for line in replay_lines(case.name)[1:]
    ]  # fmt: skip
    return first_changes(looks, victims, case.since, case.until or header["judge_until"])


def simulated(case: Case) -> dict[str, float]:
    """Return when each signal first changes in the world: the median of some seeds."""
    header, _ = load(case.name)
    until = case.until or header["judge_until"]
    found: dict[str, list[float]] = {}
    for seed in SEEDS:
        looks, victims = _play(case, SHAPES[header["mode"]], seed, header["fault"], until)
        for name, at in first_changes(looks, victims, case.since, until).items():
            found.setdefault(name, []).append(at)
    return {
        name: statistics.median(times)
        for name, times in found.items()
        if len(times) > len(SEEDS) // 2
    }


def _play(
    case: Case, shape: Shape, seed: int, fault: str, until: float
) -> tuple[list[Look], set[str]]:
    scenario = Scenario(seed, shape, horizon_s=AT_S + until + 5.0, auto_restart=case.auto_restart)
    victims = _victims(case, world_of(scenario), fault)
    beside = [f"20{int(id_) - 1}" for id_ in victims] if case.whole_host else []
    struck_nodes = victims + beside
    struck = tuple(one for blow in case.struck for one in _aimed(blow, struck_nodes))
    scenario = replace(scenario, faults=struck)
    policy = Policy(interval_s=1.0, timeout_s=2.0, suspect_timeout_s=2.0, silent_interval_s=1.0)
    world = world_of(scenario)
    ear = _Ear(world, policy)
    let_run(scenario, set_stage(scenario, policy, Judge(world, policy), ear), ear)
    return [_look_of(result) for result in ear.heard], set(victims)


class _Ear(ServiceManagerAlone):
    """Hears every look and does nothing."""

    def __init__(self, world: World, policy: Policy) -> None:
        super().__init__(world, policy)
        self.heard: list[CheckResult] = []

    def see(self, results: list[CheckResult], news: bool) -> None:
        self.heard.extend(results)


def _look_of(result: CheckResult) -> Look:
    fact = to_plain(result.fact) or {}
    return Look(
        result.started - AT_S, result.observer, result.subject, result.kind.value,
        result.outcome.value, fact,
    )  # fmt: skip


def _victims(case: Case, world: World, fault: str) -> list[str]:
    """Return nodes of the kind that the fault strikes, leading or not as it was recorded."""
    keepers = fault.startswith(("ctl-", "zk-"))
    count = 2 if fault in {"two-brokers", "quorum-loss", "ctl-quorum-loss", "zk-quorum-loss"} else 1
    nodes = [n.id for n in world.nodes.values() if n.config.is_keeper or not keepers]
    nodes = [id_ for id_ in nodes if world.nodes[id_].config.is_broker or keepers]
    controller = world.controller if isinstance(world, ZooKeeperWorld) else None
    chosen = sorted(
        nodes,
        key=lambda id_: (
            case.leads is not None and (id_ == world.leader) is not case.leads,
            case.controls is not None and (id_ == controller) is not case.controls,
            case.whole_host and f"20{int(id_) - 1}" == world.leader,
        ),
    )
    return chosen[:count]


def _aimed(blow: faults.Fault, victims: list[str]) -> Iterator[faults.Fault]:
    at = AT_S + blow.at_s
    if isinstance(blow, faults.CutHealer | faults.QuorumLoss):
        yield replace(blow, at_s=at, targets=tuple(victims))
    else:
        for victim in victims:
            yield replace(blow, at_s=at, target=victim)  # type: ignore[arg-type]


# --- what of a look is compared -------------------------------------------------------------------


def first_changes(
    looks: Iterable[Look], victims: set[str], since: float, until: float
) -> dict[str, float]:
    """Return when each signal first was another than before `since`; the earliest of a kind."""
    before: dict[tuple[str, str], object] = {}
    found: dict[str, float] = {}
    accounts: list[float] = []
    for look in sorted(looks, key=lambda one: one.at):
        if look.at >= until:
            break
        if look.kind == "QUORUM" and look.fact.get("leader") is not None:
            accounts.append(look.at)
        for name, value in _signals(look, victims):
            key = (name, look.observer + look.subject)
            if look.at < since:
                before[key] = value
            elif key in before and value != before[key]:
                found.setdefault(name, round(look.at, 2))
    gaps = zip(accounts, [*accounts[1:], until], strict=True)
    silent = [at for at, following in gaps if following - at > GAP_S and at > since - GAP_S]
    if silent:
        found["QUORUM: nobody names a leader"] = round(max(0.0, silent[0]) + 1.0, 2)
    return found


def _signals(look: Look, victims: set[str]) -> Iterator[tuple[str, object]]:
    whose = "the victim" if look.subject in victims else "another"
    outcome = "refused" if look.outcome in REFUSALS else look.outcome
    fact = look.fact
    match look.kind:
        case "PEERS":
            yield from _peers(look, victims, outcome)
        case "QUORUM":
            yield from _quorum(look, victims)
        case _:
            yield f"{look.kind} of {whose}: outcome", outcome
    match look.kind, outcome:
        case "JVM", "answered":
            state = fact.get("broker_state")
            yield f"JVM of {whose}: running", state == 3
            yield f"JVM of {whose}: recovering logs", fact.get("remaining_logs") is not None
            yield f"JVM of {whose}: offline directories", bool(fact.get("offline_log_dirs"))
        case "SERVICE", "answered":
            yield f"SERVICE of {whose}: ended", fact.get("active") in ENDED
            yield f"SERVICE of {whose}: deactivating", fact.get("active") == "deactivating"
            yield f"SERVICE of {whose}: process state T", fact.get("process_state") == "T"
        case "PROTOCOL", "answered":
            yield f"PROTOCOL of {whose}: serving", fact.get("serving")
            yield f"PROTOCOL of {whose}: mode", fact.get("mode")


def _peers(look: Look, victims: set[str], outcome: str) -> Iterator[tuple[str, object]]:
    if look.observer in victims:
        yield "PEERS by the victim: outcome", outcome
        if outcome == "answered":
            yield "PEERS by the victim: lists all", len(look.fact["listed"])
        return
    if outcome != "answered":
        return
    yield "PEERS by others: lists the victim", victims <= set(look.fact["listed"])
    parts = [
        part
        for topic in look.fact["topics"] or ()
        for part in topic["partitions"] or ()
        if len(part["replicas"]) > 1 and part["isr"] is not None
    ]
    yield "PEERS by others: in sync", all(victims <= set(part["isr"]) for part in parts)
    yield "PEERS by others: offline partitions", any(part["leader"] == "-1" for part in parts)


def _quorum(look: Look, victims: set[str]) -> Iterator[tuple[str, object]]:
    fact = look.fact
    if fact.get("voters") and fact.get("now_ms"):
        for voter in fact["voters"]:
            if voter["id"] in victims and voter["id"] != fact.get("leader"):
                ago = fact["now_ms"] - (voter["last_fetch_ms"] or 0)
                yield "QUORUM: the victim is stale", ago > STALE_MS
