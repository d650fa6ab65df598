"""The audit file follows the real journal of a store."""

from __future__ import annotations

from pathlib import Path

from kafka_self_healing.instant import Instant
from kafka_self_healing.model.event import DaemonStopped, NodesSeen
from kafka_self_healing.observability import AuditComparison, AuditLogger, verify
from kafka_self_healing.storage import Journal, open_store


def test_the_audit_of_a_store_agrees_with_it(tmp_path: Path) -> None:
    """Written, resumed after a restart and compared from a read-only store, nothing differs."""
    state_dir, audit_file = tmp_path / "state", tmp_path / "audit.jsonl"
    for run in range(2):
        store = open_store(state_dir)
        journal = Journal(store, "lab")
        logger = AuditLogger(audit_file, journal)
        at = Instant(1.0 + run, 1_700_000_000.0 + run)
        journal.append([NodesSeen(at, ("1",)), DaemonStopped(at, "a"), DaemonStopped(at, "b")])
        assert logger.catch_up() == 2
        logger.close()
        store.close()

    beside = open_store(state_dir, read_only=True)

    assert verify(audit_file, Journal(beside, "lab")) == AuditComparison(compared=4, behind=0)
    beside.close()
