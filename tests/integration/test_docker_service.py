"""Service manager docker on a real daemon of our own, in a network namespace of its own.

Needs root, `dockerd`, `docker`, `ip`, `nsenter` and a static busybox (Debian: docker.io,
busybox-static); skipped with the reason where one of them is missing. No image is pulled.
"""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contracts.service_manager import ROWS, Row
from tests.unit.recovery.hands import Hands, pool, request

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.hosts import DockerServiceManager, HostPool, Question
from kafka_self_healing.model.access import DockerService, LogSource
from kafka_self_healing.model.evidence import ServiceFact
from kafka_self_healing.model.node import NodeConfig, Role
from kafka_self_healing.model.recovery import ActOutcome, StopStyle

pytestmark = pytest.mark.heavy

LIMIT_S = 30.0
NEEDED = ("dockerd", "docker", "ip", "nsenter", "busybox")
SERVES = "trap 'exit 143' TERM; echo ready; while :; do sleep 1 & wait $!; done"
STUBBORN = "trap '' TERM; while :; do sleep 1; done"


class Docker:
    """A daemon with one image that holds a shell."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.socket = folder, f"unix://{folder}/sock"
        self.volume = folder / "volume"
        self.volume.mkdir()

    def __call__(self, *words: str, data: bytes | None = None) -> str:
        """Run a docker command and return what it printed."""
        done = subprocess.run(
            ("docker", "--host", self.socket, *words), input=data, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    def remove(self) -> None:
        """Remove the container, if there is one."""
        remove = ("docker", "--host", self.socket, "rm", "-f", "kafka1")
        subprocess.run(remove, capture_output=True, check=False)

    def create(self, body: str = SERVES, *options: str) -> None:
        """Make a fresh container `kafka1` that is not running."""
        self.remove()
        mount = ("-v", f"{self.volume}:/var/lib/kafka")
        name = ("create", "--name", "kafka1", "--network", "none")
        self(*name, *mount, *options, "tiny", "/bin/sh", "-c", body)

    def start(self, times: int) -> None:
        """Start it and wait until it has set its trap: the init of a container ignores others."""
        self("start", "kafka1")
        self.await_begin(times)

    def await_begin(self, times: int) -> None:
        """Wait until it has begun so many times."""
        for _ in range(100):
            if self("logs", "kafka1").count("ready") == times:
                return
            subprocess.run(("sleep", "0.1"), check=True)
        raise AssertionError("the container does not begin")

    def kill_from_outside(self, signal: str) -> None:
        """End the container's process without asking docker."""
        pid = self("inspect", "--format", "{{.State.Pid}}", "kafka1")
        subprocess.run(("kill", f"-{signal}", pid), check=True)


@pytest.fixture(scope="module")
def docker() -> Iterator[Docker]:
    """A daemon of our own."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing or os.getuid() != 0:
        pytest.skip(f"no real docker here: {'not root' if os.getuid() else ', '.join(missing)}")
    namespace = f"kheal-docker-{os.getpid()}"
    subprocess.run(("ip", "netns", "add", namespace), check=True)
    with tempfile.TemporaryDirectory(prefix="kheal-docker-") as name:
        made = Docker(Path(name))
        where = ("--data-root", f"{name}/data", "--exec-root", f"{name}/exec")
        apart = ("--pidfile", f"{name}/pid", "--iptables=false", "--bridge=none")
        with Path(f"{name}/log").open("w") as log:
            daemon = subprocess.Popen(
                (
                    *("nsenter", f"--net=/run/netns/{namespace}", "dockerd"),
                    *where,
                    *apart,
                    *("--host", made.socket),
                ),
                stdout=log,
                stderr=log,
            )
        try:
            _wait_for(made, daemon)
            made("import", "-", "tiny", data=_image())
            yield made
            made.remove()
        finally:
            daemon.terminate()
            daemon.wait(30)
            subprocess.run(("ip", "netns", "del", namespace), check=True)


def _wait_for(docker: Docker, daemon: subprocess.Popen[bytes]) -> None:
    for _ in range(150):
        if daemon.poll() is not None:
            said = (docker.folder / "log").read_text()[-500:]
            pytest.skip(f"dockerd does not run here: {said}")
        try:
            docker("version")
        except subprocess.CalledProcessError:
            subprocess.run(("sleep", "0.2"), check=True)
        else:
            return
    raise AssertionError("dockerd does not answer")


def _image() -> bytes:
    """Return a root file system with busybox and a few of its names."""
    busybox = shutil.which("busybox")
    assert busybox
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.add(busybox, "bin/busybox")
        for name in ("sh", "sleep", "echo"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return data.getvalue()


@pytest.fixture
def node(docker: Docker) -> NodeConfig:
    """A node that is the container."""
    return NodeConfig(
        "1",
        frozenset({Role.BROKER}),
        data_dirs=("/var/lib/kafka",),
        service=DockerService("kafka1", endpoint=docker.socket, stop_timeout_s=2.0),
        log=LogSource(),
    )


async def status(hosts: HostPool) -> ServiceFact:
    """Look once."""
    manager = hosts.service("1")
    assert isinstance(manager, DockerServiceManager)
    return await manager.status(timeout_s=LIMIT_S)


async def until(hosts: HostPool, active: str) -> ServiceFact:
    """Look until the container is in a state."""
    async with asyncio.timeout(LIMIT_S):
        while (fact := await status(hosts)).active != active:
            await SystemClock().sleep(0.05)
    return fact


async def log_of(hosts: HostPool) -> str:
    """Return what the service manager's command for the log prints."""
    manager = hosts.service("1")
    assert manager is not None
    log = manager.log(10)
    assert log is not None
    seen = await hosts.host("1").look(Question(commands=(log,)), timeout_s=LIMIT_S)
    return seen.commands["log"].stdout


async def test_a_crash_and_a_stop_are_told_apart(docker: Docker, node: NodeConfig) -> None:
    """By the daemon's events, whatever the exit code, from the first look on."""
    hosts = pool(node)
    docker.create()
    docker.start(1)
    running = await status(hosts)
    docker.kill_from_outside("KILL")
    crashed = await until(hosts, "failed")
    docker.start(2)
    docker.kill_from_outside("TERM")
    stray = await until(hosts, "failed")
    docker.start(3)
    docker("stop", "kafka1")
    stopped = await status(hosts)
    assert (running.active, running.process_state, running.stop_requested) == ("active", "S", False)
    assert (crashed.signal, crashed.stop_requested) == (9, False)
    assert (stray.exit_status, stray.stop_requested) == (143, False)
    assert (stopped.exit_status, stopped.stop_requested) == (143, True)
    assert stopped.lock_held is False
    assert stopped.oom_killed is False


async def test_a_stop_that_needs_a_kill_is_seen_on_its_way(
    docker: Docker, node: NodeConfig
) -> None:
    """First deactivating, then ended by SIGKILL, and asked for all along."""
    hosts = pool(node)
    docker.create(STUBBORN)
    docker("start", "kafka1")
    stopping = asyncio.create_task(asyncio.to_thread(docker, "stop", "-t", "2", "kafka1"))
    dying = await until(hosts, "deactivating")
    ended = await until(hosts, "failed")
    await stopping
    assert (dying.stop_requested, ended.stop_requested, ended.signal) == (True, True, 9)


@pytest.mark.parametrize("style", list(StopStyle))
async def test_a_restart_puts_another_process_there(
    docker: Docker, node: NodeConfig, style: StopStyle
) -> None:
    """Frozen or not, in two steps, and only another run is a success."""
    hosts = pool(node)
    docker.create()
    docker("start", "kafka1")
    before = await status(hosts)
    if style is StopStyle.KILL:
        docker.kill_from_outside("STOP")
    hands = Hands(hosts=hosts)
    wanted = request(
        "service:restart",
        limit_s=LIMIT_S,
        stop_style=style,
        pid_before=before.pid,
        invocation_before=before.invocation,
    )
    result = await hands.engine.execute(wanted, node)
    after = await status(hosts)
    assert result.outcome is ActOutcome.DONE, result.message
    assert after.active == "active"
    assert after.invocation != before.invocation
    assert hands.steps[-1] == ("start", True)


async def test_a_start_of_what_is_down(docker: Docker, node: NodeConfig) -> None:
    """A crashed container is started; the log of its last run can be read."""
    hosts = pool(node)
    docker.create()
    docker.start(1)
    docker.kill_from_outside("KILL")
    before = await until(hosts, "failed")
    wanted = request(limit_s=LIMIT_S, pid_before=0, invocation_before=before.invocation)
    result = await Hands(hosts=hosts).engine.execute(wanted, node)
    assert result.outcome is ActOutcome.DONE, result.message
    assert (await status(hosts)).active == "active"
    docker.await_begin(2)
    assert await log_of(hosts) == "ready\n"


async def test_the_words_of_what_ended_at_once_are_read(docker: Docker, node: NodeConfig) -> None:
    """All that a container says which ends as soon as it is started, and nothing of before."""
    hosts = pool(node)
    docker.create("read n < /var/lib/kafka/n; echo $n; exit 1")
    for number in ("1", "2"):
        (docker.volume / "n").write_text(f"{number}\n")
        docker("start", "kafka1")
        await until(hosts, "failed")
        said = await log_of(hosts)
        assert said.split()[-1] == number


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
async def test_docker_keeps_the_contract(row: Row, docker: Docker, node: NodeConfig) -> None:
    """Each row of tests/contracts/service_manager.py."""
    docker.create()
    manager = pool(node).service("1")
    assert manager is not None
    await row(manager)
