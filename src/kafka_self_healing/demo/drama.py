"""The drama: the blows, what is waited for, and the end, for each fault and way to run it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from kafka_self_healing.clock import boot_seconds
from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.faults import BLOW_WORDS, Blow, Fault, Strike
from kafka_self_healing.demo.load import Comparison, LoadReport
from kafka_self_healing.demo.stage import Stage
from kafka_self_healing.demo.verdict import Claims, Seen, judge

BACK_HELD_S: Final = 2.0
"""The victims count as back once the observer has seen them so for this long without a break."""
_CALM_S: Final = 2.0
_SAY_LIMIT_S: Final = 60.0
_PAUSED_WATCH_S: Final = 8.0
_OBSERVED_WATCH_S: Final = 8.0
_END_LIMIT_S: Final = 90.0
_FLUSH_S: Final = 20.0
_PAUSE_REASON: Final = "the demo shows a pause"


class Wanted(Protocol):
    """The wishes that decide how the drama goes."""

    @property
    def fault(self) -> Fault:
        """What is broken."""

    @property
    def paused(self) -> bool:
        """Whether the healer is paused before the first blow, and resumed later."""

    @property
    def heal(self) -> bool:
        """Whether the healer may act."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What came of it: everything for the judge's verdict, and the verdict itself.

    `load`: the figures before anybody repaired anything by hand.
    """

    wrong: tuple[str, ...]
    seen: Seen
    claims: Claims
    load: LoadReport


def play(stage: Stage, wanted: Wanted, victims: tuple[int, ...]) -> Ending:
    """Strike, watch, and judge. The nodes are whole again at the end, by hand if need be."""
    fault = wanted.fault
    stage.watch(_CALM_S)
    if wanted.paused:
        stage.daemon.order("pause", reason=_PAUSE_REASON)
        stage.tell("demo", f"paused: {_PAUSE_REASON}")
    paused_until: float | None = None
    late: list[str] = []
    for strike in fault.strikes:
        if strike.after_return and not _wait_for_return(stage, fault, late):
            break
        _strike(stage, strike, victims)
        if wanted.paused and paused_until is None:
            paused_until = _show_pause(stage)
    if not wanted.heal:
        _show_observing(stage, fault)
    elif fault.right.heals:
        _wait_for_healing(stage, fault, late)
    else:
        _watch_hands_off(stage, fault)
    return _end(stage, wanted, late, paused_until)


def _strike(stage: Stage, strike: Strike, victims: tuple[int, ...]) -> None:
    for number in strike.victims:
        node = victims[number]
        stage.struck.append((node, boot_seconds()))
        stage.tell("demo", f"node {node}: {BLOW_WORDS[strike.blow]}")
        if strike.blow is Blow.OPERATOR_STOP:
            stage.cluster.stop(node)
        elif stage.cluster.fault(node, strike.blow.value)["ok"] is not True:
            raise DemoError(f"node {node} could not be struck: it does not run")


def _show_pause(stage: Stage) -> float:
    """Wait until the healer says that it waits for us, show its words, resume; return when."""
    node = str(stage.victims[0])
    stage.until(lambda: node in stage.claims().refused, limit_s=_SAY_LIMIT_S)
    _explain(stage, node)
    stage.watch(_PAUSED_WATCH_S)
    at = boot_seconds()
    stage.daemon.order("resume")
    stage.tell("demo", "resumed")
    return at


def _show_observing(stage: Stage, fault: Fault) -> None:
    """Wait until the healer says what it would do, show its words, and watch that it does not."""
    wanted = {
        str(node) for node, acts in zip(stage.victims, fault.right.acts, strict=False) if acts
    }
    stage.until(lambda: wanted <= stage.claims().would_act, limit_s=_SAY_LIMIT_S)
    for node in sorted(wanted):
        _explain(stage, node)
    stage.watch(max(_OBSERVED_WATCH_S, 0.0 if stage.struck else fault.watch_s))


def _explain(stage: Stage, node: str) -> None:
    answer = stage.daemon.ask("explain", node=node)
    if answer is not None:
        stage.tell("explain", f"node {node}: {answer['sentence']}")
        for line in (answer["diagnosis"] or {}).get("evidence", ()):
            stage.tell("explain", f"  saw: {line}")


def _wait_for_return(stage: Stage, fault: Fault, late: list[str]) -> bool:
    """Wait until the first victims are in sync again and not yet healed."""
    if stage.until(lambda: stage.back_since() is not None, limit_s=fault.limit_s):
        return True
    late.append(f"not in sync again within {fault.limit_s:g} s: nodes {stage.victims}")
    return False


def _wait_for_healing(stage: Stage, fault: Fault, late: list[str]) -> None:
    victims = {str(node) for node in stage.victims}

    def is_over() -> bool:
        claims = stage.claims()
        healed = {subject for subject, how in claims.closed if how == "healed"}
        back = stage.back_since()
        held = back is not None and boot_seconds() - back >= BACK_HELD_S
        return victims <= healed and not claims.open_incidents and held

    if not stage.until(is_over, limit_s=fault.limit_s):
        late.append(f"not over within {fault.limit_s:g} s")


def _watch_hands_off(stage: Stage, fault: Fault) -> None:
    said = fault.right.said
    if said is not None:
        stage.until(
            lambda: any(name == said.value for _, name in stage.claims().conditions),
            limit_s=_SAY_LIMIT_S,
        )
    for node in stage.victims:
        _explain(stage, str(node))
    stage.watch(fault.watch_s)
    for node in stage.victims:
        stage.tell("demo", f"node {node}: started again by its operator")
        stage.cluster.start(node)
    if stage.struck:
        stage.until(
            lambda: stage.back_since() is not None and not stage.claims().open_incidents,
            limit_s=_END_LIMIT_S,
        )


def _end(stage: Stage, wanted: Wanted, late: list[str], paused_until: float | None) -> Ending:
    """Note what was seen, repair what is still broken by hand, compare the records, and judge."""
    ended = boot_seconds()
    claims, load = stage.claims(), stage.load.report()
    sightings = stage.observer.sightings
    acts = tuple(one for one in stage.observer.acts() if stage.began <= one.boot <= ended)
    stage.daemon.close()
    comparison = _compare(stage)
    seen = Seen(
        nodes=tuple(stage.cluster.nodes),
        struck=tuple(stage.struck),
        acts=acts,
        sightings=sightings,
        ended=ended,
        comparison=comparison,
        paused_until=paused_until,
        observing=not wanted.heal,
    )
    return Ending((*late, *judge(wanted.fault.right, seen, claims)), seen, claims, load)


def _compare(stage: Stage) -> Comparison | None:
    """Read the records back; None if the cluster cannot be brought back for it."""
    try:
        if stage.back_since() is None:
            stage.tell("demo", "the demo repairs the nodes by hand, to read the records back")
            for node in stage.victims:
                stage.cluster.kill(node)
                stage.cluster.start(node)
            stage.cluster.wait_whole(timeout_s=_END_LIMIT_S)
        stage.load.stop(flush_s=_FLUSH_S)
        return stage.load.compare()
    except DemoError as failure:
        stage.tell("demo", str(failure).partition("\n")[0])
        return None
