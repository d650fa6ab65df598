"""The row of every condition, for people: notices, `explain` and docs/conditions.md read it."""

from __future__ import annotations

from collections.abc import Mapping

from kafka_self_healing.healing.diagnosis import (
    causes,
    certificates,
    cluster,
    network,
    probe,
    process,
    quorum,
    replication,
    resources,
    starting,
    storage,
)
from kafka_self_healing.healing.diagnosis.rule import Row
from kafka_self_healing.model.incident import Condition

ROWS: tuple[Row, ...] = (
    *process.ROWS,
    *causes.ROWS,
    *starting.ROWS,
    *storage.ROWS,
    *resources.ROWS,
    *certificates.ROWS,
    *network.ROWS,
    *quorum.ROWS,
    *replication.ROWS,
    *probe.ROWS,
    *cluster.ROWS,
)

TABLE: Mapping[Condition, Row] = {row.condition: row for row in ROWS}
"""Every condition has one row; a test counts them."""
