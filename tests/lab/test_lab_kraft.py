"""KRaft on real hosts: the whole daemon over ssh, judged by systemd's own record on the hosts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kafka_self_healing.clock import pause
from tests.lab.hosts import Lab, LabDaemon

MODE = "kraft"
pytestmark = pytest.mark.lab
SEEN_LIMIT_S = 60.0
HANDS_OFF_S = 15.0
"""So long a stop on purpose must have been known without an act."""


@pytest.fixture
def whole(lab: Lab, daemon: LabDaemon) -> Iterator[Lab]:
    """The lab, known to be well before the test and in sync after it."""
    daemon.wait_warm()
    yield lab
    lab.wait_in_sync()


def _seen(node: str, condition: str) -> Any:
    def is_so(said: dict[str, Any]) -> bool:
        mine = [i for i in said["incidents"] if i["nodes"] == [node]]
        return any(i["condition"] == condition for i in mine)

    return is_so


def test_a_crash_is_healed_by_one_start_over_ssh(whole: Lab, daemon: LabDaemon) -> None:
    """systemd has started the unit once more, and no more than that."""
    before, done = whole.starts(3), daemon.ask("status")["acts_done"]
    whole.fault("crash", 3)
    daemon.wait_healed(done + 1)

    assert whole.starts(3) == before + 1
    assert daemon.ask("status")["acts_done"] == done + 1


def test_a_hang_is_killed_and_restarted_once_it_is_dropped(whole: Lab, daemon: LabDaemon) -> None:
    """The old process is gone, the new one is another; nobody was woken by a TERM."""
    pid, before = whole.main_pid(2), whole.starts(2)
    done = daemon.ask("status")["acts_done"]
    whole.fault("hang", 2)
    daemon.wait_healed(done + 1)

    assert whole.main_pid(2) not in {0, pid}
    assert whole.starts(2) == before + 1
    assert daemon.ask("status")["acts_done"] == done + 1


STOPS = {
    "a clean stop": (1, ""),
    "a unit without SuccessExitStatus=143": (2, "[Service]\\nSuccessExitStatus=\\n"),
    "a stop that times out to KILL": (3, "[Service]\\nTimeoutStopSec=100ms\\n"),
}
"""The host and a change of its unit; a host each, for two stops of one in ten minutes flap."""


@pytest.mark.parametrize(("host", "drop_in"), STOPS.values(), ids=STOPS)
def test_a_stop_on_purpose_is_left_alone(
    whole: Lab, daemon: LabDaemon, host: int, drop_in: str
) -> None:
    """However systemd calls its end, an operator asked for it: hands off until he starts it."""
    done = daemon.ask("status")["acts_done"]
    if drop_in:
        whole.drop_in(host, drop_in)
    whole.ssh(host, "systemctl stop kafka || :")
    daemon.wait_until(_seen(str(host), "STOPPED_BY_OPERATOR"), "a stop on purpose", SEEN_LIMIT_S)
    pause(HANDS_OFF_S)

    assert whole.main_pid(host) == 0
    assert daemon.ask("status")["acts_done"] == done
    whole.ssh(host, "rm -rf /run/systemd/system/kafka.service.d; systemctl daemon-reload")
    whole.ssh(host, "systemctl start kafka")
    daemon.wait_until(lambda said: not said["incidents"], "the incident closed", 90.0)
