"""The figures of the load, and how they pass between the processes; no broker is needed."""

from __future__ import annotations

import json
import socket
import threading

from kafka_self_healing.demo.load import Comparison, Load
from kafka_self_healing.demo.load_process import serve
from kafka_self_healing.demo.witness import Partition, Picture


def ask_served(load: Load, *requests: dict[str, object]) -> list[dict[str, object]]:
    """Serve a load on a socket pair and return its answers."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        server = threading.Thread(target=serve, args=(theirs, load))
        server.start()
        ours.sendall(b"".join(json.dumps(request).encode() + b"\n" for request in requests))
        ours.shutdown(socket.SHUT_WR)
        with ours.makefile("rb") as lines:
            answers = [json.loads(next(lines)) for _ in requests]
        server.join(10)
    return answers


def test_silence_is_a_gap_from_the_beginning() -> None:
    """A load that nothing was ever acknowledged of has a growing gap, not none."""
    load = Load(["127.0.0.1:9"], "t")

    first, second = load.report(), load.report()

    assert (first.sent, first.acknowledged, first.first_acknowledged_utc_s) == (0, 0, None)
    assert second.longest_gap_s >= first.longest_gap_s > 0


def test_acknowledged_records_are_counted_once() -> None:
    """Acknowledgements in any order are counted, and the gaps kept are few and sorted."""
    load = Load(["127.0.0.1:9"], "t")
    for number in [*range(1, 100), 0, 50]:
        load._note_acknowledged(number)

    report = load.report()

    assert report.acknowledged == 100
    assert len(report.gaps) <= 20
    lengths = [gap.seconds for gap in report.gaps]
    assert lengths == sorted(lengths, reverse=True)


def test_report_passes_between_processes() -> None:
    """A served report has every figure of the report itself."""
    load = Load(["127.0.0.1:9"], "t")
    load._note_acknowledged(0)

    (answer,) = ask_served(load, {"do": "report"})

    assert answer["acknowledged"] == 1
    assert answer["first_acknowledged_utc_s"] == load.report().first_acknowledged_utc_s


def test_lost_records_are_counted_over_ranges() -> None:
    """Lost ranges end before their second number."""
    assert Comparison(10, 7, ((2, 4), (9, 10)), 0).lost_records == 3


def test_picture_tells_whole_from_under_replicated() -> None:
    """A cluster is whole only with all brokers listed, a leader and all replicas in sync."""
    everyone = frozenset({1, 2, 3})
    good = Partition("t", 0, 1, everyone, everyone)
    behind = Partition("t", 1, 1, everyone, frozenset({1, 2}))
    leaderless = Partition("t", 2, -1, everyone, everyone)

    assert Picture(everyone, 1, (good,)).is_whole(everyone)
    assert not Picture(everyone, 1, (good, behind)).is_whole(everyone)
    assert not Picture(everyone, 1, (leaderless,)).is_whole(everyone)
    assert not Picture(frozenset({1, 2}), 1, (good,)).is_whole(everyone)
    assert Picture(everyone, 1, (good, behind)).in_sync_everywhere(2)
    assert not Picture(everyone, 1, (good, behind)).in_sync_everywhere(3)
