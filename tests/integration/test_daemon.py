"""The daemon heals a real cluster: judged by the supervisor's acts and the brokers' metadata."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import MakeCluster
from tests.integration.real_daemon import (
    HEAL_LIMIT_S,
    RealDaemon,
    requests_since,
    spawned_since,
    write_config,
)

from kafka_self_healing.clock import boot_seconds, pause
from kafka_self_healing.demo.cluster import EmbeddedCluster

pytestmark = pytest.mark.cluster

WHOLE_LIMIT_S = 60.0
HANDS_OFF_S = 8.0
"""So long an incident must have been confirmed without an act."""


@pytest.fixture(scope="module")
def own(make_cluster: MakeCluster) -> EmbeddedCluster:
    """One cluster for all faults of this file; each leaves it whole."""
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


def _condition(said: dict[str, Any], node: str, condition: str) -> bool:
    return any(i["nodes"] == [node] and i["condition"] == condition for i in said["incidents"])


def _confirmed(node: str, condition: str) -> Callable[[dict[str, Any]], bool]:
    return lambda said: said["nodes"].get(node) == condition and _condition(said, node, condition)


def test_a_crash_is_healed_by_one_start_and_operators_can_look_in(
    whole: EmbeddedCluster, tmp_path: Path
) -> None:
    """Killed once, started once by us; every question is answered in words and as JSON."""
    with RealDaemon(write_config(tmp_path / "healer.yaml", whole)) as daemon:
        daemon.wait_warm()
        assert {row["state"] for row in daemon.json("nodes")["nodes"]} == {"well"}
        mark = boot_seconds()
        whole.fault(2, "KILL")
        daemon.wait_until(lambda s: bool(s["incidents"]), "an incident", HEAL_LIMIT_S)
        explained = daemon.kheal("explain", "2")
        daemon.wait_healed(1)
        status, story = daemon.kheal("status"), daemon.json("explain", "2")
        assert daemon.stop() == 0

    assert requests_since(whole, mark) == [("start", "2")]
    assert spawned_since(whole, mark) == ["2"]
    whole.wait_whole(timeout_s=WHOLE_LIMIT_S)
    assert explained.stdout.startswith("node 2: ")
    assert "no open incident" in status.stdout
    assert story["state"] == "well"


def test_a_hang_is_restarted_once_the_others_have_dropped_it(
    whole: EmbeddedCluster, tmp_path: Path
) -> None:
    """A stopped process is killed and started, not before the cluster counts it out."""
    with RealDaemon(write_config(tmp_path / "healer.yaml", whole)) as daemon:
        daemon.wait_warm()
        mark = boot_seconds()
        whole.fault(2, "STOP")
        daemon.wait_healed(1)
        assert daemon.stop() == 0

    assert requests_since(whole, mark) == [("kill", "2"), ("start", "2")]
    killed = next(act.boot for act in whole.acts() if act.boot > mark and act.what == "kill")
    assert killed - mark > 3.0, "the session is 3 s: nobody has dropped it before"
    whole.wait_whole(timeout_s=WHOLE_LIMIT_S)


def test_a_stop_on_purpose_is_left_alone_and_a_second_daemon_is_refused(
    whole: EmbeddedCluster, tmp_path: Path
) -> None:
    """Hands off an operator's stop, in mode auto; and one state folder has one daemon."""
    config = write_config(tmp_path / "healer.yaml", whole)
    with RealDaemon(config) as daemon:
        daemon.wait_warm()
        mark = boot_seconds()
        whole.stop(3, by="operator")
        daemon.wait_until(_confirmed("3", "STOPPED_BY_OPERATOR"), "seen", HEAL_LIMIT_S)
        second = subprocess.run(daemon.command_line, capture_output=True, text=True, check=False)
        pause(HANDS_OFF_S)
        said = daemon.json("explain", "3")
        assert requests_since(whole, mark) == []
        assert daemon.stop() == 0

    assert spawned_since(whole, mark) == []
    assert "a person has to look" in said["sentence"]
    assert second.returncode == 1
    assert "another daemon (pid" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_lost_quorum_is_brought_back_and_the_survivor_not_touched(
    whole: EmbeddedCluster, tmp_path: Path
) -> None:
    """Two of three voters killed at once: each is started once, one after the other."""
    with RealDaemon(write_config(tmp_path / "healer.yaml", whole)) as daemon:
        daemon.wait_warm()
        mark = boot_seconds()
        whole.fault(1, "KILL")
        whole.fault(2, "KILL")
        daemon.wait_healed(2)
        assert daemon.stop() == 0

    assert sorted(requests_since(whole, mark)) == [("start", "1"), ("start", "2")]
    assert sorted(map(str, spawned_since(whole, mark))) == ["1", "2"]
    whole.wait_whole(timeout_s=WHOLE_LIMIT_S)


def test_two_crashes_one_after_the_other_get_one_act_each(
    whole: EmbeddedCluster, tmp_path: Path
) -> None:
    """The second node falls when the first is in sync again: both healed, one start each."""
    with RealDaemon(write_config(tmp_path / "healer.yaml", whole)) as daemon:
        daemon.wait_warm()
        mark = boot_seconds()
        whole.fault(1, "KILL")
        daemon.wait_until(lambda s: s["acts_done"] >= 1, "an act", HEAL_LIMIT_S)
        whole.wait_whole(timeout_s=WHOLE_LIMIT_S)
        whole.fault(2, "KILL")
        daemon.wait_healed(2)
        assert daemon.stop() == 0

    assert requests_since(whole, mark) == [("start", "1"), ("start", "2")]
    whole.wait_whole(timeout_s=WHOLE_LIMIT_S)


def test_a_pause_is_kept_over_a_restart_and_resume_heals(
    whole: EmbeddedCluster, tmp_path: Path
) -> None:
    """While paused nothing is done, also by the next daemon; resume lifts it."""
    config = write_config(tmp_path / "healer.yaml", whole)
    with RealDaemon(config) as daemon:
        daemon.wait_until(lambda s: bool(s["nodes"]), "a first look", HEAL_LIMIT_S)
        assert daemon.kheal("pause", "--reason", "upgrade").returncode == 0
        assert daemon.stop() == 0
    with RealDaemon(config) as daemon:
        daemon.wait_warm()
        mark = boot_seconds()
        whole.fault(2, "KILL")
        said = daemon.wait_until(_confirmed("2", "PROCESS_GONE"), "seen", HEAL_LIMIT_S)
        acked = daemon.kheal("ack", said["incidents"][0]["id"])
        why = daemon.kheal("explain", "2").stdout
        pause(HANDS_OFF_S)
        before = requests_since(whole, mark)
        resumed = daemon.kheal("resume")
        daemon.wait_healed(1)
        assert daemon.stop() == 0

    assert before == []
    assert "upgrade (lifted by: kafka-self-healing resume)" in why
    assert (acked.returncode, resumed.returncode) == (0, 0)
    assert requests_since(whole, mark) == [("start", "2")]
    whole.wait_whole(timeout_s=WHOLE_LIMIT_S)


def test_mode_observe_does_nothing_and_a_bad_reload_keeps_it(
    whole: EmbeddedCluster, tmp_path: Path
) -> None:
    """It would act, and says so; a bad file at SIGHUP changes nothing, a good one takes effect."""
    config = write_config(tmp_path / "healer.yaml", whole, mode="observe")
    with RealDaemon(config) as daemon:
        daemon.wait_warm()
        config.write_text("mode: auto\nclusters: {}\n", encoding="utf-8")
        daemon.signal(signal.SIGHUP)
        mark = boot_seconds()
        whole.fault(2, "KILL")
        daemon.wait_until(_confirmed("2", "PROCESS_GONE"), "seen", HEAL_LIMIT_S)
        pause(HANDS_OFF_S)
        why, mode = daemon.json("explain", "2")["sentence"], daemon.ask("status")["mode"]
        before = requests_since(whole, mark)
        write_config(config, whole)
        daemon.signal(signal.SIGHUP)
        daemon.wait_healed(1)
        log = daemon.log
        assert daemon.stop() == 0

    assert before == []
    assert mode == "observe"
    assert "would act: service:start on node 2" in why
    assert "the configuration was not reloaded, the old one stays" in log
    assert requests_since(whole, mark) == [("start", "2")]
    whole.wait_whole(timeout_s=WHOLE_LIMIT_S)
