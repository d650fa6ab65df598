"""Service manager docker by what a real one said: states, endings, requests to stop, mounts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.unit.hosts.recorded_programs import DOCKER, asked, put_docker

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.errors import CheckError
from kafka_self_healing.hosts import CommandOutcome, DockerServiceManager, LocalHost
from kafka_self_healing.hosts.docker_events import Container, read_events, stop_asked
from kafka_self_healing.model.access import DockerService
from kafka_self_healing.model.evidence import Outcome, ServiceFact

LIMIT_S = 20.0
SIGKILL, SIGTERM = 9, 15
NO_SOCKET = (
    "failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is "
    "correct and if the daemon is running: dial unix /var/run/docker.sock: connect: no such file "
    "or directory"
)
NO_NAME = (
    "error during connect: Get http://kafka-1:2375/v1.24/containers/kafka1/json: dial tcp: "
    "lookup kafka-1: no such host"
)
"""What newer clients say: nothing of a container."""


@pytest.fixture
def bin_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is first in the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def manager(
    data_dirs: tuple[str, ...] = (), *, endpoint: str | None = None, address: str = "127.0.0.1"
) -> DockerServiceManager:
    """Return the manager of a container on this machine."""
    service = DockerService("kafka1", endpoint=endpoint, stop_timeout_s=2.0)
    clock = SystemClock()
    return DockerServiceManager(service, LocalHost(clock), data_dirs, address, clock)


async def status(folder: Path, situation: dict[str, Any]) -> ServiceFact:
    """Return what is made of a situation."""
    put_docker(folder, situation)
    return await manager().status(timeout_s=LIMIT_S)


SITUATIONS = {
    # situation: active, sub, result, exit status, signal, stop asked for
    "created": ("inactive", "dead", None, None, None, False),
    "running": ("active", "running", None, None, None, False),
    "paused": ("active", "paused", None, None, None, False),
    "killed": ("failed", "failed", "signal", 137, 9, False),
    "stray_term": ("failed", "failed", "exit-code", 143, None, False),
    "stopped": ("failed", "failed", "exit-code", 143, None, True),
    "docker_killed": ("failed", "failed", "signal", 137, 9, True),
    "stop_timed_out": ("failed", "failed", "signal", 137, 9, True),
    "exit_1": ("failed", "failed", "exit-code", 1, None, False),
    "stopped_always": ("failed", "failed", "exit-code", 1, None, True),
    "oom": ("failed", "failed", "oom-kill", 137, 9, False),
}


@pytest.mark.parametrize("name", SITUATIONS)
async def test_states_and_endings(name: str, bin_: Path) -> None:
    """A stop is a request that the daemon remembers; 137 is the kernel's only if docker says so."""
    fact = await status(bin_, DOCKER[name])
    assert (
        fact.active, fact.sub, fact.result, fact.exit_status, fact.signal, fact.stop_requested,
    ) == SITUATIONS[name]  # fmt: skip
    assert fact.oom_killed is (name == "oom")
    assert (fact.invocation is None) is (name == "created")


async def test_what_else_docker_says(bin_: Path) -> None:
    """Health, the pid, the time of a stop, a pause as foreign work, and a run's own name."""
    running, ill = await status(bin_, DOCKER["running"]), await status(bin_, DOCKER["unhealthy"])
    paused = await status(bin_, DOCKER["paused"])
    assert running.pid
    assert running.invocation
    assert running.invocation != ill.invocation
    assert (running.health, ill.health, running.stop_timeout_s) == (None, "unhealthy", 2.0)
    assert (running.job, paused.job, paused.process_state) == ("", "paused by docker", "T")


async def test_a_container_that_docker_removes_at_its_end_is_not_ours_to_restart(
    bin_: Path,
) -> None:
    """With `--rm` a kill or a stop would lose the container and the data in unnamed volumes."""
    text = DOCKER["running"]["inspect"] + "AutoRemove=true\n"
    fact = await status(bin_, {**DOCKER["running"], "inspect": text})
    assert "--rm" in str(fact.job)


async def test_a_container_that_docker_starts_again_itself(bin_: Path) -> None:
    """Restarting, with nothing to do for us."""
    text = DOCKER["running"]["inspect"].replace("Status=running", "Status=restarting")
    fact = await status(bin_, {**DOCKER["running"], "inspect": text})
    assert (fact.active, fact.sub) == ("activating", "auto-restart")


async def test_a_container_that_is_not_there(bin_: Path) -> None:
    """It is a readable answer."""
    fact = await status(bin_, DOCKER["not_found"])
    assert (fact.unit_file, fact.pid, fact.active) == ("not-found", 0, "inactive")


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (DOCKER["no_daemon"]["inspect_err"], Outcome.UNREACHABLE),
        (NO_SOCKET, Outcome.UNREACHABLE),
        (NO_NAME, Outcome.UNREACHABLE),
        ("permission denied while trying to connect to the docker API", Outcome.AUTHORISATION),
        ("template parsing error", Outcome.PROTOCOL),
    ],
)
async def test_a_daemon_that_cannot_be_asked(said: str, outcome: Outcome, bin_: Path) -> None:
    """Its words are told, and no state is claimed."""
    with pytest.raises(CheckError) as caught:
        await status(bin_, {**DOCKER["no_daemon"], "inspect_err": said})
    assert caught.value.outcome == outcome


async def test_a_missing_program_is_said_so(bin_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No docker program is no state of a container."""
    monkeypatch.setenv("PATH", str(bin_))
    with pytest.raises(CheckError, match="docker inspect"):
        await manager().status(timeout_s=LIMIT_S)


async def test_a_stop_under_way_is_seen_while_it_has_time(bin_: Path) -> None:
    """A SIGTERM by docker a moment ago is a stop; one that the process outlived is none."""
    situation = DOCKER["stopping"]
    clock = SystemClock().now().utc_s
    old = situation["events"].splitlines()
    now = [f"{round(clock * 1e9)} {line.partition(' ')[2]}" for line in old]
    young = await status(bin_, {**situation, "events": "\n".join(now)})
    late = await status(bin_, situation)
    assert (young.active, young.sub, young.stop_requested) == ("deactivating", "stop-sigterm", True)
    assert (late.active, late.stop_requested) == ("active", False)


def ended(policy: str = "no", error: str = '""', status: str = "exited") -> Container:
    """Return a container that has ended."""
    return Container.read(f"Id=c\nStatus={status}\nRestartPolicy={policy}\nError={error}\n")


def asked_by(*events: str, container: Container | None = None) -> bool | None:
    """Return whether these events (action and signal) show that a stop was asked for."""
    text = "".join(
        f"{number} {action} c {signal}\n"
        for number, (action, _, signal) in enumerate(event.partition(" ") for event in events)
    )
    return stop_asked(container or ended(), read_events(text, "c"))


def test_events_before_the_last_start_and_of_others_do_not_count() -> None:
    """Only what came after the last start, and only of this container."""
    assert asked_by("kill 15", "die", "stop", "start", "die") is False
    assert asked_by("start", "kill 1", "die") is False
    assert asked_by("start", "kill 2", "die") is True  # nobody interrupts a JVM for anything else
    assert read_events("1 die other \nnonsense\n", "c") == ()


def test_without_the_end_in_the_events_nothing_is_claimed() -> None:
    """The daemon forgets; the restart policy tells only where docker would have restarted it."""
    assert asked_by("start") is None
    assert stop_asked(ended(), None) is None
    assert asked_by("start", container=ended("unless-stopped")) is True
    assert asked_by("start", "die", container=ended("always")) is False
    assert asked_by("start", container=ended("always", '"no such mount"')) is None
    assert asked_by("start", container=ended("on-failure")) is None


def test_paths_are_found_on_the_host() -> None:
    """By the longest mount; a path in no mount is only the container's."""
    container = Container.read(
        'Mount="/var/lib" "/srv/lib"\nMount="/var/lib/kafka" "/disk"\nMount=broken\nMount="/x" ""\n'
    )
    assert container.on_host("/var/lib/kafka/data") == "/disk/data"
    assert container.on_host("/var/lib/kafka") == "/disk"
    assert container.on_host("/var/lib/kafka2") == "/srv/lib/kafka2"
    assert (container.on_host("/etc"), container.on_host("/x")) == (None, None)


def calls(folder: Path) -> int:
    """Return how often docker was called for a look."""
    return sum(line.startswith(("inspect ", "events ")) for line in asked(folder))


async def test_locks_are_looked_for_where_the_mounts_are(bin_: Path, tmp_path: Path) -> None:
    """The first look learns the mounts and looks again; from then on it is one each time."""
    (tmp_path / "volume").mkdir()
    text = DOCKER["killed"]["inspect"].replace('"/srv/kafka"', f'"{tmp_path}/volume"')
    put_docker(bin_, {**DOCKER["killed"], "inspect": text})
    one = manager(("/var/lib/kafka",))
    assert (await one.status(timeout_s=LIMIT_S)).lock_held is False
    first = calls(bin_)
    await one.status(timeout_s=LIMIT_S)
    assert (first, calls(bin_) - first) == (4, 2)
    there = await one.on_host(("/var/lib/kafka/a", "/etc"), timeout_s=LIMIT_S)
    assert there == {"/var/lib/kafka/a": f"{tmp_path}/volume/a"}


async def test_a_directory_of_the_container_alone_is_held_by_nobody_after_its_end(
    bin_: Path,
) -> None:
    """No other process can have it; while it runs nothing is claimed."""
    for name, held in (("killed", False), ("running", None)):
        put_docker(bin_, DOCKER[name])
        assert (await manager(("/data",)).status(timeout_s=LIMIT_S)).lock_held is held


async def test_the_four_acts_and_the_log(bin_: Path) -> None:
    """The endpoint comes first; a restart after a kill waits for nothing."""
    put_docker(bin_, DOCKER["killed"])
    one = manager(endpoint="unix:///run/docker.sock")
    for act in (one.start, one.stop, one.kill, one.restart):
        assert (await act(timeout_s=LIMIT_S)).ok
    before = "--host unix:///run/docker.sock"
    expected = [
        f"{before} start kafka1",
        f"{before} stop -t 2 kafka1",
        f"{before} kill kafka1",
        f"{before} restart -t 0 kafka1",
    ]
    assert asked(bin_) == expected
    assert [" ".join(argv[1:]) for argv in one.privileged()] == expected
    await one.status(timeout_s=LIMIT_S)
    log = one.log(7)
    assert log is not None
    since = ("--since", "2026-11-25T23:19:26.816407+00:00")
    assert log.argv[3:] == ("logs", "--tail", "7", *since, "kafka1")


BEGUN = "2026-11-26T05:44:04.698686674Z"
SECOND_BEFORE = "2026-11-26T05:44:03.698686+00:00"


@pytest.mark.parametrize(
    ("status", "started", "finished", "since"),
    [
        ("created", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", ""),
        ("", "", "", ""),
        ("running", "2026-11-26 05:44:04 +0000 UTC", "", ""),
        ("running", "2026-11-26T05:44:04", "2026-11-26T05:44:03Z", ""),
        ("running", BEGUN, "0001-01-01T00:00:00Z", SECOND_BEFORE),
        ("running", BEGUN, "2026-11-26T05:44:04.1Z", "2026-11-26T05:44:04.1Z"),
        ("running", BEGUN, "2026-11-26T05:44:03.6Z", SECOND_BEFORE),
        ("exited", BEGUN, "2026-11-26T05:44:04.8Z", SECOND_BEFORE),
        ("exited", BEGUN, "2026-11-26T05:44:04.6Z", SECOND_BEFORE),
    ],
    ids=[
        "never started", "nothing said", "not docker's way", "no zone", "first run",
        "one before ended just now", "one before ended long ago", "ended", "ended at once",
    ],
)  # fmt: skip
def test_a_log_begins_with_the_first_line_of_the_last_run(
    status: str, started: str, finished: str, since: str
) -> None:
    """Docker tells a start late: from a second before it on, but not what the run before said."""
    text = f"Status={status}\nStartedAt={started}\nFinishedAt={finished}\n"
    assert Container.read(text).log_since == since


async def test_another_machine_is_asked_only_by_its_endpoint(bin_: Path) -> None:
    """With our own docker: refused. With an endpoint of its own: asked, and not read from here."""
    put_docker(bin_, DOCKER["running"])
    away = manager(address="192.0.2.1")
    with pytest.raises(CheckError) as caught:
        await away.status(timeout_s=LIMIT_S)
    refused = await away.kill(timeout_s=LIMIT_S)
    there = manager(("/var/lib/kafka",), endpoint="ssh://kafka-1", address="192.0.2.1")
    fact = await there.status(timeout_s=LIMIT_S)
    assert caught.value.outcome == Outcome.NOT_ASKED
    assert refused.outcome is CommandOutcome.NOT_STARTED
    assert (fact.active, fact.process_state, fact.lock_held) == ("active", None, None)
    assert await there.on_host(("/var/lib/kafka",), timeout_s=LIMIT_S) == {}
    assert (await there.kill(timeout_s=LIMIT_S)).ok
