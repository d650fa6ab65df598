"""What the eyes see becomes a file that the replay can read."""

from __future__ import annotations

import stat
from pathlib import Path

from kafka_self_healing.model.evidence import (
    HEALER,
    CheckResult,
    Kind,
    LogFact,
    Outcome,
    QuorumFact,
    ServiceFact,
    VoterFact,
)
from kafka_self_healing.model.node import Cluster, NodeConfig, Role
from kafka_self_healing.simulation.recorder import FILE, Recorder
from kafka_self_healing.simulation.replay_format import read

CLUSTER = Cluster(
    "orders",
    nodes={id_: NodeConfig(id_, frozenset({Role.BROKER, Role.CONTROLLER})) for id_ in "12"},
)


def look(at: float, kind: Kind = Kind.SERVICE, node: str = "1") -> CheckResult:
    """A look of the healer that took a tenth of a second."""
    fact = ServiceFact(active="active", sub="running", pid=7)
    return CheckResult(HEALER, node, kind, Outcome.ANSWERED, at - 0.1, at, fact, "a secret text")


def test_a_recording_is_read_back_as_it_was_heard(tmp_path: Path) -> None:
    """Looks of nodes and of the quorum come back, on a clock that begins with the file."""
    fact = QuorumFact(leader="2", epoch=3, voters=(VoterFact("1", 5, 6),))
    quorum = CheckResult("2", "orders", Kind.QUORUM, Outcome.ANSWERED, 100.0, 100.5, fact)
    with Recorder(tmp_path, CLUSTER) as recorder:
        recorder.hear(look(100.1))
        recorder.hear(quorum)

    recording = read(tmp_path / FILE)

    assert [line for _, line in recording.lines] == [
        CheckResult(HEALER, "1", Kind.SERVICE, Outcome.ANSWERED, 0.0, 0.1, look(100.1).fact),
        CheckResult("2", "orders", Kind.QUORUM, Outcome.ANSWERED, 0.0, 0.5, fact),
    ]
    assert tuple(recording.cluster.nodes) == ("1", "2")


def test_a_look_heard_late_keeps_the_file_in_order(tmp_path: Path) -> None:
    """The replay wants lines in the order of their time."""
    with Recorder(tmp_path, CLUSTER) as recorder:
        recorder.hear(look(100.4))
        recorder.hear(look(100.2, node="2"))

    assert [at for at, _ in read(tmp_path / FILE).lines] == [0.1, 0.1]


def test_log_lines_and_errors_are_left_out(tmp_path: Path) -> None:
    """Free texts of a node may hold anything; they are not recorded."""
    log = CheckResult(HEALER, "1", Kind.LOG, Outcome.ANSWERED, 1.0, 1.1, LogFact(("password=x",)))
    with Recorder(tmp_path, CLUSTER) as recorder:
        recorder.hear(log)
        recorder.hear(look(2.0))

    text = (tmp_path / FILE).read_text(encoding="utf-8")
    assert "password" not in text
    assert "secret" not in text
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_at_most_two_files_are_kept(tmp_path: Path) -> None:
    """A recording is bounded: the older half is given up."""
    with Recorder(tmp_path, CLUSTER, max_bytes=2_000) as recorder:
        for second in range(100):
            recorder.hear(look(100.0 + second))

    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert max(sizes) < 3_000
    assert len(list(read(tmp_path / FILE).lines)) > 0
