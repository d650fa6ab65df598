"""What a person is asked to approve: opened when only an approval is missing, with an end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kafka_self_healing.healing.guards import lifts
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.healing.turn import Turn, stamp
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.control import ApprovalRequest, OperatorCommand
from kafka_self_healing.model.decision import Reason, Verdict
from kafka_self_healing.model.event import ApprovalAsked
from kafka_self_healing.model.recovery import RecoveryRequest


def as_shown(turn: Turn, said: OperatorCommand) -> OperatorCommand:
    """Return an approval with its end, and with the refusals that its giver was shown."""
    asked = turn.memory.asked.get(said.target)
    until = turn.now.utc_s + turn.policy.approval_s if said.until is None else said.until
    # A plan is approved as a whole, and an act that was not asked for yet as it will be.
    if asked is None or not asked.node:
        return replace(said, until=until)
    lifts = tuple(sorted(_guards(asked.lifts)))
    return replace(said, until=until, lifts=lifts, action=asked.action)


def _guards(lines: Sequence[str]) -> set[str]:
    return {line.partition(":")[0] for line in lines}


def ask(turn: Turn, request: RecoveryRequest, verdicts: Sequence[Verdict]) -> None:
    """Ask for an approval of an act that nothing but one could permit now.

    What has been asked is not asked again before its end, unless there is more to be lifted. A step
    of a plan is approved with the plan.
    """
    plan = turn.memory.plan
    if plan is not None and plan.open and any(s.node == request.node for s in plan.steps):
        return
    incident = turn.memory.incidents.get(request.incident)
    blocking = [verdict for verdict in verdicts if verdict.blocking]
    only = all(lifts(verdict) and verdict.reason is not Reason.OBSERVE for verdict in blocking)
    if incident is None or not only:
        return
    words = tuple(
        f"{verdict.guard}: {verdict.text}"
        for verdict in verdicts
        if lifts(verdict) and verdict.reason is not Reason.APPROVED
    )
    known = turn.memory.asked.get(request.incident)
    if known is not None and turn.now.utc_s < known.until and _same(known, request, words):
        turn.wake_by(turn.now.mono_s + known.until - turn.now.utc_s)
        return
    until = turn.now.utc_s + turn.policy.approval_s
    asked = ApprovalRequest(
        turn.new_id("approval"), incident.id, request.node, request.action, words, turn.now,
        until, known.id if known is not None else "",
    )  # fmt: skip
    turn.record(ApprovalAsked(turn.now, asked))
    target = asked.id if asked.renews else incident.id
    line = f"asks for an approval ({asked.id}) of {request.action} on node {request.node} until"
    line += f" {stamp(Instant(0.0, until))}: kafka-self-healing approve {target}"
    turn.change(incident, line)


def _same(known: ApprovalRequest, request: RecoveryRequest, words: Sequence[str]) -> bool:
    same = (known.node, known.action) == (request.node, request.action)
    return same and _guards(words) <= _guards(known.lifts)


def approvable(memory: Memory, target: str, now: Instant) -> tuple[str, str]:
    """Return (incident, why it cannot be approved or ""); `target`: a request's id or its incident.

    Whoever has read a request that has expired has to read the one that stands now.
    """
    by_id = {asked.id: asked for asked in memory.asked.values()}
    asked = by_id.get(target) or memory.asked.get(target)
    old = next((one for one in memory.asked.values() if one.renews == target), None)
    if asked is not None and now.utc_s >= asked.until:
        return asked.incident, f"{asked.id} expired at {_time(asked.until)}"
    if old is not None or (asked is not None and asked.renews and target != asked.id):
        stands = old or asked
        assert stands is not None
        what = f"{stands.action} on node {stands.node}" if stands.node else stands.action
        why = f"{stands.renews} no longer stands; now it is {stands.id}: {what}, which lifts "
        why += (
            f"{'; '.join(stands.lifts)}. If that is meant: kafka-self-healing approve {stands.id}"
        )
        return stands.incident, why
    if asked is not None:
        return asked.incident, ""
    if target in memory.incidents:
        return target, ""
    known = ", ".join([*by_id, *memory.incidents]) or "none"
    return "", f"there is no open incident or request for approval {target!r}; open: {known}"


def _time(utc_s: float) -> str:
    return stamp(Instant(0.0, utc_s))
