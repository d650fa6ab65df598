"""The embedded cluster itself: what its supervisor and its own client say while nodes fail."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kafka_self_healing.demo.acts import count_acts
from kafka_self_healing.demo.cluster import EmbeddedCluster
from kafka_self_healing.demo.load_process import LoadProcess

pytestmark = pytest.mark.cluster

UP_LIMIT_S = 60.0


@pytest.fixture
def whole(cluster: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
    """The session's cluster, whole before and after."""
    cluster.wait_whole(timeout_s=UP_LIMIT_S)
    yield cluster
    cluster.start_all()
    cluster.wait_whole(timeout_s=UP_LIMIT_S)


def told(cluster: EmbeddedCluster, verb: str, node: int, by: str) -> tuple[int, set[str]]:
    """Run the `command` service manager's own line; return its code and its lines."""
    command = [*cluster.control_command(by=by), verb, str(node)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, set(done.stdout.splitlines())


def test_every_node_lists_every_node(whole: EmbeddedCluster) -> None:
    """The cluster is one: three nodes, each of which names the same three and a controller."""
    pictures = [whole.ask(node) for node in whole.nodes]

    assert len(whole.nodes) == 3
    assert all(picture.brokers == frozenset(whole.nodes) for picture in pictures)
    assert {picture.controller in whole.nodes for picture in pictures} == {True}


def test_crash_is_failed_by_signal_9(whole: EmbeddedCluster) -> None:
    """A broker killed from outside is `failed` by signal 9, dropped, and back after a start."""
    whole.fault(2, "KILL")
    others = frozenset({1, 3})
    whole.wait_until(
        lambda: whole.ask(1).brokers == others, "node 2 is dropped", timeout_s=UP_LIMIT_S
    )
    code, lines = told(whole, "status", 2, "healer")
    before = count_acts(whole.acts())["2"].spawned

    assert code == 1
    assert {"state=failed", "signal=9", "stopped_by=unknown"} <= lines
    assert told(whole, "start", 2, "healer")[0] == 0
    assert whole.wait_whole(timeout_s=UP_LIMIT_S) > 0
    assert count_acts(whole.acts())["2"].spawned == before + 1


def test_stop_is_by_the_operator(whole: EmbeddedCluster) -> None:
    """A broker stopped through the supervisor is `stopped` by the operator, whatever its code."""
    code, lines = told(whole, "stop", 3, "operator")

    assert code == 0
    assert {"state=stopped", "stopped_by=operator", "exit_status=143"} <= lines
    assert told(whole, "status", 3, "healer")[0] == 3


def test_acknowledged_records_survive_a_crash(whole: EmbeddedCluster, tmp_path: Path) -> None:
    """All that was acknowledged while a broker crashed and came back is read back."""
    whole.create_topics({"survives": 3})
    log_file = tmp_path / "load.log"
    with LoadProcess(whole.bootstrap, "survives", log_file=log_file, rate_per_s=100) as load:
        whole.wait_until(
            lambda: load.report().acknowledged > 50, "records flow", timeout_s=UP_LIMIT_S
        )
        whole.fault(1, "KILL")
        whole.wait_until(
            lambda: whole.status(1)["state"] == "failed", "node 1 is gone", timeout_s=UP_LIMIT_S
        )
        whole.start(1, by="healer")
        whole.wait_whole(timeout_s=UP_LIMIT_S)
        at_return = load.report().acknowledged
        whole.wait_until(
            lambda: load.report().acknowledged > at_return + 50, "still flow", timeout_s=UP_LIMIT_S
        )
        report = load.stop()
        comparison = load.compare()

    assert report.longest_gap_s > 0
    assert report.consumed >= report.acknowledged - 100
    assert comparison.acknowledged == report.acknowledged > 100
    assert comparison.lost_records == 0
