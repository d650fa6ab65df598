"""Acts: ladders, the budgets that must permit them, and how long their steps may take."""

from __future__ import annotations

from collections.abc import Iterator

from kafka_self_healing.config.document import Document, Place
from kafka_self_healing.config.parts import CLUSTER, Parts
from kafka_self_healing.config.policies import policy_budgets, policy_ladders
from kafka_self_healing.config.scalars import nearest
from kafka_self_healing.config.schema_access import CommandSection, DockerSection
from kafka_self_healing.errors import Problem
from kafka_self_healing.model.incident import Condition
from kafka_self_healing.model.policy import Rung
from kafka_self_healing.model.recovery import ACT_CLASS, ActClass, act_class


def rungs(document: Document, parts: Parts) -> Iterator[Problem]:
    """Each rung answers its condition, with pauses that grow."""
    for condition, ladder in parts.ladders.items():
        for position, rung in enumerate(ladder):
            place: Place = ("ladders", condition.value, position)
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
    hung = condition is Condition.PROCESS_HUNG
    if not hung and act_class(action) is ActClass.RESTART:
        return "a process that has ended is started, not restarted; use service:start"
    if hung and act_class(action) is ActClass.START:
        return "starting a process that still runs does nothing; use service:restart"
    return ""


def ladders_within_budgets(document: Document, parts: Parts) -> Iterator[Problem]:
    """No budget is smaller than what a ladder needs for one node."""
    needed = {
        condition: _acts_needed(ladder)
        for condition, ladder in policy_ladders(parts.ladders).items()
        if not any(_wrong_action(condition, rung.action) for rung in ladder)
    }
    for name, budget in policy_budgets(parts.budgets).items():
        needs = sorted(needed, key=lambda condition: needed[condition][name], reverse=True)
        if not needs or needed[needs[0]][name] <= budget.acts:
            continue
        place: Place = ("budgets", name, "acts")
        if not document.has(place):
            place = ("ladders", needs[0].value)
        message = (
            f"the ladder of {needs[0].value} may need {needed[needs[0]][name]} acts on one node, "
            f"but budgets.{name} permits {budget.acts}; raise the budget or lower the attempts"
        )
        yield document.problem(place, message)


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
        for ladder in policy_ladders(parts.ladders).values()
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
