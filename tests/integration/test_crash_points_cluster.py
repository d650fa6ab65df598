"""The daemon dies at five crash points on a real cluster; the next one ends what it began.

The points are those where the world outside has changed and the journal does not say so yet, or
the other way round. The judge is the supervisor, which wrote down every request.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.integration import crash_daemon
from tests.integration.conftest import MakeCluster
from tests.integration.real_daemon import (
    HEAL_LIMIT_S,
    RealDaemon,
    requests_since,
    spawned_since,
    write_config,
)

from kafka_self_healing.clock import boot_seconds
from kafka_self_healing.demo.cluster import EmbeddedCluster
from kafka_self_healing.healing.memory import Memory, fold
from kafka_self_healing.storage import Journal, open_store

pytestmark = [pytest.mark.cluster, pytest.mark.heavy]

WHOLE_LIMIT_S = 60.0
PROGRAM = ("-m", "tests.integration.crash_daemon")

# A start that is written down, before and after it was given; a stop, the same; and, between stop
# and start, when the end of the stop and the beginning of the start are written down.
POINTS = [
    ("KILL", "dispatch:before:1", [("start", "2")]),
    ("KILL", "dispatch:after:1", [("start", "2")]),
    ("STOP", "dispatch:before:1", [("kill", "2"), ("start", "2")]),
    ("STOP", "dispatch:after:1", [("kill", "2"), ("start", "2")]),
    ("STOP", "dispatch:before:2", [("kill", "2"), ("start", "2")]),
]


@pytest.fixture(scope="module")
def own(make_cluster: MakeCluster) -> EmbeddedCluster:
    """One cluster for all points; each leaves it whole."""
    made = make_cluster(None)
    made.create_topics({"orders": 6})
    return made


@pytest.fixture
def whole(own: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
    """The cluster, whole before and after."""
    own.wait_whole(timeout_s=WHOLE_LIMIT_S)
    yield own
    for node in own.nodes:
        own.fault(node, "CONT")
        own.start(node)
    own.wait_whole(timeout_s=WHOLE_LIMIT_S)


@pytest.mark.parametrize(("fault", "point", "right"), POINTS)
def test_a_death_at_this_point_is_made_good_by_the_next_daemon(
    whole: EmbeddedCluster, tmp_path: Path, fault: str, point: str, right: list[tuple[str, str]]
) -> None:
    """Each command was given once in the two lives together, and the cluster is whole again."""
    ladders = {"PROCESS_HUNG": [{"action": "service:restart", "limit_s": 15}]}
    config = write_config(tmp_path / "healer.yaml", whole, ladders=ladders)
    with RealDaemon(config, PROGRAM, {crash_daemon.DEADLY: point}) as first:
        first.wait_warm()
        mark = boot_seconds()
        whole.fault(2, fault)
        assert first.wait(HEAL_LIMIT_S) == -signal.SIGKILL
    with RealDaemon(config, PROGRAM) as second:
        second.wait_healed(1)
        assert second.stop() == 0

    assert requests_since(whole, mark) == right
    assert spawned_since(whole, mark) == ["2"]
    whole.wait_whole(timeout_s=WHOLE_LIMIT_S)
    with closing(open_store(tmp_path / "state", read_only=True)) as store:
        journal = Journal(store, "demo")
        journal.verify()
        memory = fold(Memory(), (entry.event for entry in journal.entries()))
    assert (dict(memory.incidents), dict(memory.requests)) == ({}, {})
    assert dict(memory.owed_starts) == {}
