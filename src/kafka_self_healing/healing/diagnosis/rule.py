"""What a rule is: a pure question about one node or the cluster, and a row that explains it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kafka_self_healing.healing.assessment import ClusterView, Standing
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.incident import Condition, Diagnosis
from kafka_self_healing.model.policy import Policy

NodeRule = Callable[[Standing, ClusterView, Memory, Policy], Diagnosis | None]


@dataclass(frozen=True, slots=True)
class Row:
    """What people need to know of one condition; docs/conditions.md is made of these rows.

    `needs`: the kinds of evidence without which it is never confirmed; `contradicted_by`: what
    speaks against it; `holds`: how long it must be so; `you`: the runbook, which notices and
    `explain` print too.
    """

    condition: Condition
    needs: frozenset[Kind]
    seen: str
    contradicted_by: str
    holds: str
    done: str
    you: str
