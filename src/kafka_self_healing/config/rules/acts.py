"""Acts: ladders, the budgets that must permit them, and how long their steps may take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kafka_self_healing.config.document import Document, Place
from kafka_self_healing.config.parts import CLUSTER, Parts
from kafka_self_healing.config.policies import policy_budgets, policy_ladders, written_ladders
from kafka_self_healing.config.scalars import nearest
from kafka_self_healing.config.schema_access import CommandSection, DockerSection
from kafka_self_healing.errors import Problem
from kafka_self_healing.model.incident import Condition, Reply, reply
from kafka_self_healing.model.policy import Rung
from kafka_self_healing.model.recovery import ACT_CLASS, ACTS_KEPT_S, ActClass, act_class


def rungs(document: Document, parts: Parts) -> Iterator[Problem]:
    """Each rung answers its condition, with pauses that grow."""
    written = (
        (above, condition, position, rung)
        for above, ladders in parts.all_ladders
        for condition, ladder in ladders.items()
        for position, rung in enumerate(ladder)
    )
    for above, condition, position, rung in written:
        place: Place = (*above, condition.value, position)
        message = _wrong_action(condition, rung.action)
        if message:
            yield document.problem((*place, "action"), message)
        if rung.cap_s < rung.base_s:
            message = f"cap_s ({rung.cap_s:g}) is less than base_s ({rung.base_s:g})"
            key = "cap_s" if document.has((*place, "cap_s")) else "base_s"
            yield document.problem((*place, key), f"{message}; raise it or lower base_s")


def _wrong_action(condition: Condition, action: str) -> str:
    if action not in ACT_CLASS:
        meant = nearest(action, ACT_CLASS)
        hint = f"; did you mean `{meant}`?" if meant else ""
        return f"is no action; known: {', '.join(ACT_CLASS)}{hint}"
    restart = reply(condition) is Reply.RESTART
    if not restart and act_class(action) is ActClass.RESTART:
        return "a process that has ended is started, not restarted; use service:start"
    if restart and act_class(action) is ActClass.START:
        return "starting a process that still runs does nothing; use service:restart"
    return ""


def ladders_within_budgets(document: Document, parts: Parts) -> Iterator[Problem]:
    """No budget is smaller than what a ladder needs for one node."""
    needed: dict[Place, dict[str, int]] = {
        (*above, condition.value): _acts_needed(ladder)
        for above, ladders in _model_ladders(parts)
        for condition, ladder in ladders.items()
        if not any(_wrong_action(condition, rung.action) for rung in ladder)
    }
    for name, budget in policy_budgets(parts.budgets).items():
        most = max(needed, key=lambda place: needed[place][name], default=None)
        if most is None or needed[most][name] <= budget.acts:
            continue
        place: Place = ("budgets", name, "acts")
        message = (
            f"the ladder of {most[-1]} may need {needed[most][name]} acts on one node, "
            f"but budgets.{name} permits {budget.acts}; raise the budget or lower the attempts"
        )
        yield document.problem(place if document.has(place) else most, message)


def _model_ladders(
    parts: Parts,
) -> Iterator[tuple[Place, Mapping[Condition, tuple[Rung, ...]]]]:
    yield ("ladders",), policy_ladders(parts.ladders)
    for duty, ladders in parts.role_ladders.items():
        yield ("role_ladders", duty.value), written_ladders(ladders)


def windows_within_memory(document: Document, parts: Parts) -> Iterator[Problem]:
    """No window is longer than acts are remembered: what is forgotten is not counted."""
    longest = ACTS_KEPT_S
    for name, budget in parts.budgets.items():
        if budget.window_s is not None and budget.window_s > longest:
            message = f"acts are remembered for {longest:.0f} s: make the window no longer"
            yield document.problem(("budgets", name, "window_s"), message)
    for name in ("anti_flap_s", "heap_anti_flap_s", "restart_spacing_s"):
        if _number(document.at(("policy", name))) > longest:
            message = f"acts are remembered for {longest:.0f} s: make it no longer"
            yield document.problem(("policy", name), message)


def _number(written: object) -> float:
    """Return a number as it is written; what is none is told of elsewhere."""
    try:
        return float(str(written))
    except ValueError:
        return 0.0


def _acts_needed(ladder: tuple[Rung, ...]) -> dict[str, int]:
    starts = sum(r.retry.attempts for r in ladder if act_class(r.action) is ActClass.START)
    total = sum(rung.retry.attempts for rung in ladder)
    return {
        "node": total,
        "cluster_start": starts,
        "cluster_restart": total - starts,
        "fleet": total,
    }


def stops_within_limits(document: Document, parts: Parts) -> Iterator[Problem]:
    """A graceful stop ends before its step is cut off. (A unit's own limit is not known here.)"""
    limits = [
        rung.limit_s
        for _, ladders in _model_ladders(parts)
        for ladder in ladders.values()
        for rung in ladder
        if act_class(rung.action) is ActClass.RESTART
    ]
    if not limits:
        return
    written = [(CLUSTER, parts.defaults), *((node.place, node.own) for node in parts.nodes)]
    for above, section in written:
        service = section.service
        if not isinstance(service, CommandSection | DockerSection):
            continue
        if service.stop_timeout_s >= min(limits):
            message = (
                f"a stop may take {service.stop_timeout_s:g} s, but a step of service:restart is "
                f"cut off after {min(limits):g} s; raise limit_s of the rung or lower this"
            )
            yield document.problem((*above, "service", "stop_timeout_s"), message)
