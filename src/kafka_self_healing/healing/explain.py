"""Answers for people: how things stand, and why a node is or is not being healed. Pure."""

from __future__ import annotations

from typing import Any

from kafka_self_healing.healing.assessment import Standing
from kafka_self_healing.healing.diagnosis.starting import recovery_words
from kafka_self_healing.healing.diagnosis.table import TABLE
from kafka_self_healing.healing.diagnosis.words import look_words
from kafka_self_healing.healing.digest import lasting
from kafka_self_healing.healing.guards import asked, judge
from kafka_self_healing.healing.guards.subject import Question
from kafka_self_healing.healing.healer import Step
from kafka_self_healing.healing.numbers import numbers
from kafka_self_healing.healing.parts import beside_lines
from kafka_self_healing.healing.planning import draft
from kafka_self_healing.healing.turn import Turn
from kafka_self_healing.healing.waiting import circuit, plan_words, waiting
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.codec import to_plain
from kafka_self_healing.model.incident import HEALABLE, Condition, Diagnosis, Incident, reply
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.model.recovery import RequestState
from kafka_self_healing.model.ways import ways_to

Answer = dict[str, Any]


def status(step: Step, policy: Policy, now: Instant) -> Answer:
    """Return the whole state in one object: mode, switches, incidents, acts, the quorum."""
    cluster, memory = step.cluster, step.memory
    warming = cluster.view.warming
    return {
        "cluster": cluster.view.cluster.name,
        "mode": policy.mode.value,
        "acting": not any(switch.holds(now) for switch in memory.switches) and not warming,
        "warming_up": warming.why if warming else "",
        "switches": [to_plain(switch) for switch in memory.switches if switch.holds(now)],
        "quorum": cluster.quorum.value,
        "leader": cluster.leader,
        "viewpoint_lost": cluster.viewpoint_lost,
        "latched": memory.latch,
        "nodes": {id_: _word(node, dict(step.diagnoses)) for id_, node in cluster.nodes.items()},
        "incidents": [_incident(incident, now) for incident in memory.incidents.values()],
        "acts": [to_plain(request) for request in memory.requests.values()],
        "acts_done": sum(not act.undone for act in memory.acts),
        **waiting(step, policy, now),
    }


def nodes(step: Step, now: Instant) -> Answer:
    """Return a row a node: what each family of evidence says, and how it is reached."""
    rows = (
        {**_row(step, node, now), "reach": ways_to(node.config)}
        for node in step.cluster.nodes.values()
    )
    return {"nodes": list(rows)}


def explain(step: Step, policy: Policy, node: str, now: Instant) -> Answer:
    """Answer "why are you not healing this?": all evidence, the next act, and every reason."""
    standing = step.cluster.nodes[node]
    diagnosis = dict(step.diagnoses).get(node)
    incident = step.memory.incident_of(node)
    known = step.view.statuses.get(node)
    tracks = known.all_tracks() if known else ()
    answer = _row(step, standing, now)
    answer["looks"] = [
        look_words(track, now)
        for track in sorted(tracks, key=lambda track: (track.result.kind, track.result.name))
    ]
    answer["diagnosis"] = to_plain(diagnosis) if diagnosis else None
    answer["incident"] = _incident(incident, now) if incident else None
    answer["story"] = list(incident.story) if incident else []
    answer["beside"] = beside_lines(step.memory, node, now)
    answer["circuit_open"] = circuit(step, policy, node)
    plan = plan_words(step.memory.plan, now)
    mine = plan is not None and any(one["node"] == node for one in plan["steps"])
    answer["plan"] = plan if mine else None
    answer["act"] = None
    answer["reasons"] = []
    answer["guards"] = []
    if diagnosis is not None and diagnosis.condition in HEALABLE and incident is not None:
        question = _question(step, policy, standing, (diagnosis, incident), now)
        reasons = judge(question, asked(question.request.act_class))
        answer["act"] = question.request.action
        answer["reasons"] = [to_plain(reason) for reason in reasons]
        answer["guards"] = _guards(question)
    answer["condition"] = _condition(diagnosis.condition) if diagnosis else None
    answer["sentence"] = _sentence(step, standing, diagnosis, answer)
    answer["paragraph"] = " ".join(
        [f"{answer['sentence']}.", *_more(step, policy, now, (diagnosis, incident), answer)]
    )
    return answer


def _condition(condition: Condition) -> Answer:
    """Return what people need to know of a condition, from its row."""
    row = TABLE[condition]
    return {
        "name": condition.value,
        "answer": reply(condition).value,
        "seen": row.seen,
        "needs": sorted(kind.value for kind in row.needs),
        "contradicted_by": row.contradicted_by,
        "holds": row.holds,
        "done": row.done,
        "you": row.you,
    }


def _guards(question: Question) -> list[Answer]:
    """Return every guard of the act's class: what it says, with numbers, and what lifts it."""
    table = []
    for row in asked(question.request.act_class):
        said = next(iter(judge(question, (row,))), None)
        text = said.text if said is not None else numbers(question, row.name)
        refuses = said is not None and said.blocking
        left = said.until - question.now if said is not None and said.until else None
        table.append(
            {
                "guard": row.name,
                "says": "refuses" if refuses else "reports" if said else "permits",
                "text": text,
                "lifted_by": said.lifted_by if said is not None and refuses else "",
                "again_s": round(max(0.0, left), 1) if refuses and left is not None else None,
            }
        )
    return table


def _more(
    step: Step,
    policy: Policy,
    now: Instant,
    known: tuple[Diagnosis | None, Incident | None],
    answer: Answer,
) -> list[str]:
    """Return the rest of the paragraph: since when, which guards, when it is looked at again."""
    diagnosis, incident = known
    more = []
    if incident is not None:
        since = f"It is {incident.id}, open for {lasting(now.since(incident.opened))}"
        before = " and was so before the healer looked" if incident.onset_before_us else ""
        more.append(f"{since}{before}, with {len(incident.acts)} acts.")
        whole = step.memory.incidents.get(incident.part_of)
        if whole is not None:
            more.append(f"It is part of {whole.id} ({whole.condition}).")
        if incident.acknowledged_by:
            more.append(f"{incident.acknowledged_by} has taken it over.")
        elif incident.escalation:
            more.append(f"A person was called: {incident.escalation}.")
    if answer["guards"]:
        permits = sum(guard["says"] != "refuses" for guard in answer["guards"])
        more.append(f"{permits} of {len(answer['guards'])} guards permit {answer['act']}.")
    if diagnosis is not None:
        waits = [guard["again_s"] for guard in answer["guards"] if guard["again_s"]]
        next_s = policy.suspect_interval_s if not waits else min(*waits, policy.interval_s)
        more.append(f"It is looked at again within {max(next_s, 1.0):.0f} s.")
    return more


def _question(
    step: Step,
    policy: Policy,
    node: Standing,
    found: tuple[Diagnosis, Incident],
    now: Instant,
) -> Question:
    turn = Turn(step.memory, step.view, policy, now)
    diagnosis, incident = found
    open_request = step.memory.open_request(node.id)
    request = open_request or draft(turn, node, diagnosis, incident)
    rungs = len(policy.ladder(node.config, diagnosis.condition))
    proposed = request.proposed.mono_s if request.state is RequestState.PROPOSED else None
    at = proposed if open_request is not None else None
    return Question(request, step.cluster, step.memory, policy, diagnosis, rungs, at)


def _sentence(step: Step, node: Standing, diagnosis: Diagnosis | None, answer: Answer) -> str:
    request = step.memory.open_request(node.id)
    if request is not None and request.state is not RequestState.PROPOSED:
        return f"{request.action} ({request.id}) is {request.state.value}"
    if diagnosis is None:
        return "nothing is wrong with it" if node.ok is True else "not enough is known of it yet"
    if not diagnosis.confirmed:
        return f"{diagnosis.condition} is suspected; waiting for: {diagnosis.waiting}"
    if answer["act"] is None:
        return f"{diagnosis.condition}: no act answers this; a person has to look, or wait"
    blocking = [reason for reason in answer["reasons"] if not reason["allowed"]]
    if not blocking:
        return f"{answer['act']} is about to be done: no guard refuses"
    why = "; ".join(f"{r['text']} (lifted by: {r['lifted_by']})" for r in blocking)
    return f"{answer['act']} is not done: {why}"


def _word(node: Standing, found: dict[str, Diagnosis]) -> str:
    diagnosis = found.get(node.id)
    if diagnosis is not None:
        return diagnosis.condition.value + ("" if diagnosis.confirmed else "?")
    if node.well is True:
        return "well"
    return "ok" if node.ok is True else "unknown"


def _row(step: Step, node: Standing, now: Instant) -> Answer:
    recovery = step.view.recoveries.get(node.id)
    return {
        "node": node.id,
        "roles": sorted(role.value for role in node.config.roles),
        "state": _word(node, dict(step.diagnoses)),
        "process": node.process.value,
        "pid": node.service.pid if node.service else None,
        "answers": node.answers,
        "counted_in": node.counted,
        "in_sync": node.in_sync,
        "voter_fresh": node.voter_fresh,
        "serves": node.serves,
        "leads": node.id in step.cluster.leaders,
        "broker_state": node.jvm.broker_state if node.jvm else None,
        "recovery": recovery_words(recovery, now.mono_s) if recovery else "",
        "well_for_s": round(step.cluster.well_s(node.id), 1),
    }


def _incident(incident: Incident, now: Instant) -> Answer:
    return {
        "id": incident.id,
        "condition": incident.condition.value,
        "state": incident.state.value,
        "nodes": list(incident.nodes),
        "age_s": round(now.since(incident.opened), 1),
        "acts": list(incident.acts),
        "needs": incident.escalation,
        "part_of": incident.part_of,
        "acknowledged_by": incident.acknowledged_by,
        "evidence": list(incident.evidence),
        "last": incident.story[-1] if incident.story else "",
    }
