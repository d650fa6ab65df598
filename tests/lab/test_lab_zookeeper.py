"""ZooKeeper mode on real hosts: a start waits for the old session; members of the ensemble."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kafka_self_healing.clock import boot_seconds
from tests.lab.hosts import Lab, LabDaemon

MODE = "zk"
pytestmark = pytest.mark.lab


@pytest.fixture
def whole(lab: Lab, daemon: LabDaemon) -> Iterator[Lab]:
    """The lab, known to be well before the test and in sync after it."""
    daemon.wait_warm()
    yield lab
    lab.wait_in_sync()


def test_a_crashed_broker_is_started_once_its_session_is_over(
    whole: Lab, daemon: LabDaemon
) -> None:
    """One start is enough: an early one would die of its own old registration."""
    before, done = whole.starts(3), daemon.ask("status")["acts_done"]
    whole.fault("crash", 3)
    began = boot_seconds()

    def held_back(_: object) -> bool:
        guards = daemon.ask("explain", node="3")["guards"]
        refusing = [row["guard"] for row in guards if row["says"] == "refuses"]
        return "registration_released" in refusing

    daemon.wait_until(held_back, "the old registration holds the start back", 60.0)
    daemon.wait_healed(done + 1)

    assert whole.starts(3) == before + 1, "one start, which did not die"
    assert boot_seconds() - began > 12.0, "peers list a dead broker for 12 to 21 s"


def test_a_killed_member_of_the_ensemble_is_started(whole: Lab, daemon: LabDaemon) -> None:
    """The member comes back by one start, and no broker is touched meanwhile."""
    done = daemon.ask("status")["acts_done"]
    brokers = [whole.starts(host) for host in (1, 2, 3)]
    before = whole.starts(2, "zookeeper")
    whole.fault("zk-crash", 2)
    daemon.wait_healed(done + 1)

    assert whole.starts(2, "zookeeper") == before + 1
    assert [whole.starts(host) for host in (1, 2, 3)] == brokers


def test_a_hung_broker_is_killed_and_restarted_once_it_is_dropped(
    whole: Lab, daemon: LabDaemon
) -> None:
    """Its session is over by then, so that the new process may register."""
    pid, done = whole.main_pid(2), daemon.ask("status")["acts_done"]
    before = whole.starts(2)
    whole.fault("hang", 2)
    daemon.wait_healed(done + 1)

    assert whole.main_pid(2) not in {0, pid}
    assert whole.starts(2) == before + 1


def test_a_hung_member_of_the_ensemble_is_killed_and_restarted(
    whole: Lab, daemon: LabDaemon
) -> None:
    """The others serve without it; it comes back as one of them."""
    pid, done = whole.main_pid(1, "zookeeper"), daemon.ask("status")["acts_done"]
    whole.fault("zk-hang", 1)
    daemon.wait_healed(done + 1)

    assert whole.main_pid(1, "zookeeper") not in {0, pid}
