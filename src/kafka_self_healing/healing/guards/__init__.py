"""The guards: each one pure question, asked before every act. All are asked, all reasons kept.

The table says for which class of act a guard is asked and whether a person's approval lifts it.
docs/guards.md shows the same table to operators; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from kafka_self_healing.healing.guards import evidence, history, operator, quorum
from kafka_self_healing.healing.guards.subject import Guard, Question, refuse
from kafka_self_healing.model.decision import Reason, Verdict
from kafka_self_healing.model.recovery import ActClass


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the guard matrix. `other`: asked of acts that say that they disturb nothing."""

    ask: Guard
    start: bool
    restart: bool
    other: bool
    approvable: bool

    @property
    def name(self) -> str:
        """The guard's name, as operators see it."""
        return self.ask.__name__


MATRIX: tuple[Row, ...] = (
    Row(operator.not_paused, start=True, restart=True, other=True, approvable=False),
    Row(operator.not_in_maintenance, start=True, restart=True, other=True, approvable=False),
    Row(operator.has_lease, start=True, restart=True, other=True, approvable=False),
    Row(operator.known_node, start=True, restart=True, other=True, approvable=False),
    Row(operator.mode_permits, start=True, restart=True, other=True, approvable=True),
    Row(evidence.warmed_up, start=True, restart=True, other=True, approvable=False),
    Row(evidence.clock_is_sane, start=True, restart=True, other=True, approvable=False),
    Row(evidence.view_is_fresh, start=True, restart=True, other=True, approvable=False),
    Row(evidence.viewpoint_is_sound, start=False, restart=True, other=False, approvable=False),
    Row(evidence.no_storm, start=False, restart=True, other=False, approvable=True),
    Row(evidence.two_families, start=True, restart=True, other=False, approvable=False),
    Row(history.no_unresolved_act, start=True, restart=True, other=True, approvable=False),
    Row(history.one_at_a_time, start=True, restart=True, other=False, approvable=False),
    Row(history.restart_spacing, start=False, restart=True, other=False, approvable=True),
    Row(operator.no_foreign_work, start=True, restart=True, other=False, approvable=False),
    Row(evidence.data_dirs_present, start=True, restart=False, other=False, approvable=True),
    Row(quorum.registration_released, start=True, restart=False, other=False, approvable=True),
    Row(quorum.start_order, start=True, restart=False, other=False, approvable=True),
    Row(quorum.quorum_is_present, start=True, restart=True, other=False, approvable=False),
    Row(quorum.quorum_is_safe, start=False, restart=True, other=False, approvable=False),
    Row(quorum.replicas_are_safe, start=False, restart=True, other=False, approvable=True),
    Row(evidence.certificates_are_valid, start=False, restart=True, other=False, approvable=True),
    Row(quorum.others_are_well, start=False, restart=True, other=False, approvable=True),
    Row(history.not_latched, start=False, restart=True, other=False, approvable=True),
    Row(quorum.controller_last, start=False, restart=True, other=False, approvable=True),
    Row(history.anti_flap, start=False, restart=True, other=False, approvable=True),
    Row(history.backoff_over, start=True, restart=True, other=False, approvable=True),
    Row(history.within_budget, start=True, restart=True, other=True, approvable=True),
    Row(history.attempts_left, start=True, restart=True, other=True, approvable=True),
    Row(evidence.still_true, start=True, restart=True, other=True, approvable=False),
)

GUARDS = {row.name: row for row in MATRIX}

MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a bug in a guard raises: such a guard refuses."""

ALSO_APPROVABLE = frozenset({Reason.REASSIGNMENT, Reason.SMALL_QUORUM, Reason.FIRST_ONE_DIED})
"""Reasons that an approval lifts although their guard's others stand."""


ASKED = {
    ActClass.START: tuple(row for row in MATRIX if row.start),
    ActClass.RESTART: tuple(row for row in MATRIX if row.restart),
    ActClass.OTHER: tuple(row for row in MATRIX if row.other),
}
"""The matrix by columns: what each class of act is asked."""


def asked(act: ActClass, names: Iterable[str] | None = None) -> Sequence[Row]:
    """Return the rows asked for a class of act; `names` picks some of them."""
    if names is None:
        return ASKED[act]
    wanted = set(names)
    return [row for row in ASKED[act] if row.name in wanted]


def lifts(verdict: Verdict) -> bool:
    """Whether a person's approval lifts a refusal; never that of a guard that has failed."""
    if verdict.reason is Reason.GUARD_FAILED:
        return False
    return GUARDS[verdict.guard].approvable or verdict.reason in ALSO_APPROVABLE


def _ask(row: Row, question: Question) -> Verdict:
    """Ask one guard; one that raises refuses. Guards fail closed."""
    try:
        return row.ask(question)
    except MISTAKES as error:
        return refuse(Reason.GUARD_FAILED, f"the guard itself failed: {error!r}", lifted_by="a fix")


def judge(question: Question, rows: Iterable[Row]) -> list[Verdict]:
    """Ask these guards and return every verdict that refuses or has something to report."""
    approval = question.approval
    found: list[Verdict] = []
    for row in rows:
        verdict = _ask(row, question)
        if verdict.allowed and not verdict.reported:
            continue
        verdict = replace(verdict, guard=row.name)
        shown = approval is not None and (not approval.lifts or row.name in approval.lifts)
        if verdict.blocking and shown and lifts(verdict):
            verdict = replace(verdict, allowed=True, reported=True, until=None)
        found.append(verdict)
    return found
