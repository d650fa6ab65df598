"""The contract of `Host`: this machine keeps it, and one behind ssh, whatever shell it has."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.contracts import host_access as contract
from tests.unit.hosts.ssh_server import World, ssh_world

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.hosts import Host, LocalHost, SshHost
from kafka_self_healing.hosts.run_dir import RunDirectory

BUSYBOX = shutil.which("busybox")
SHELLS = {"ssh": "/bin/sh", "ssh-bash": "bash --posix", "ssh-busybox": "busybox sh"}
"""What answers to /bin/sh; with busybox all the tools are its own, too."""

OF_THE_SHELL = (
    contract.words_arrive_as_they_are,
    contract.endings_are_told_apart,
    contract.a_command_at_its_limit_is_killed_with_its_children,
    contract.a_start_at_its_limit_is_left_running,
    contract.one_look_brings_all,
    contract.directories_are_told_apart,
    contract.a_reading_that_hangs_is_none_and_delays_no_other,
)
"""What another shell may get wrong."""

CASES = [
    *((kind, row) for row in contract.ROWS for kind in ("local", "ssh")),
    *((kind, row) for row in OF_THE_SHELL for kind in ("ssh-bash", "ssh-busybox")),
]


def only_busybox(world: World, folder: Path) -> None:
    """Let the host have no tool but busybox's, and those that the tests themselves call."""
    assert BUSYBOX is not None
    tools = folder / "tools"
    tools.mkdir()
    subprocess.run([BUSYBOX, "--install", "-s", str(tools)], check=True)
    python = shutil.which("python3")
    assert python is not None
    (tools / "python3").symlink_to(Path(python).resolve())
    world.path = str(tools)


@asynccontextmanager
async def host_of(kind: str, folder: Path) -> AsyncIterator[Host]:
    """A host of this kind for the length of a block."""
    if kind == "local":
        yield LocalHost(SystemClock())
        return
    shell = SHELLS[kind]
    if shutil.which(shell.split()[0]) is None:
        pytest.skip(f"this machine has no {shell.split()[0]}")
    async with ssh_world(folder / "ssh") as world:
        world.posix_shell = shell
        if kind == "ssh-busybox":
            only_busybox(world, folder)
        run_dir = RunDirectory()
        there = SshHost(world.access, SystemClock(), run_dir)
        yield there
        await there.close()
        run_dir.remove()


@pytest.mark.parametrize(("kind", "row"), CASES, ids=lambda case: getattr(case, "__name__", case))
async def test_every_host_keeps_the_contract(kind: str, row: contract.Row, tmp_path: Path) -> None:
    """Each row of tests/contracts/host_access.py, on each kind of host."""
    folder = tmp_path / "folder"
    folder.mkdir()
    async with host_of(kind, tmp_path) as host:
        await row(host, str(folder))
