"""The contract suite of `ServiceManager`: the fakes pass it, and `command` here and over ssh.

docker passes it in tests/integration, systemd in the lab.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contracts.service_manager import ROWS, Row
from tests.unit.hosts.ssh_server import ssh_world
from tests.unit.recovery.fake_service import FakeServiceManager
from tests.unit.recovery.shell_service import ShellService

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.hosts import CommandServiceManager, LocalHost, ServiceManager, SshHost
from kafka_self_healing.hosts.run_dir import RunDirectory


@pytest.fixture(params=["fake", "fake with a restart", "command", "command over ssh"])
async def manager(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ServiceManager]:
    """A manager of a node that is down."""
    if request.param.startswith("fake"):
        yield FakeServiceManager(running=False, restarts=request.param != "fake")
        return
    (tmp_path / "service").mkdir()
    shell = ShellService(tmp_path / "service")
    if request.param == "command":
        yield CommandServiceManager(shell.config, LocalHost(SystemClock()), (), "127.0.0.1")
    else:
        async with ssh_world(tmp_path / "ssh") as world:
            run_dir = RunDirectory()
            host = SshHost(world.access, SystemClock(), run_dir)
            yield CommandServiceManager(shell.config, host, (), "192.0.2.1")
            await host.close()
            run_dir.remove()
    await shell.clean_up()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
async def test_every_manager_keeps_the_contract(row: Row, manager: ServiceManager) -> None:
    """Each row of tests/contracts/service_manager.py."""
    await row(manager)
