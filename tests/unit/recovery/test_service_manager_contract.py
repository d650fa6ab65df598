"""The contract suite of `ServiceManager`: the fake passes it, and so does `command`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.recovery.fake_service import FakeServiceManager
from tests.unit.recovery.shell_service import ShellService

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.hosts import CommandServiceManager, LocalHost, ServiceManager
from kafka_self_healing.model.evidence import ServiceFact

LIMIT_S = 10.0


@pytest.fixture(params=["fake", "command"])
async def manager(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ServiceManager]:
    """A manager of a node that is down."""
    if request.param == "fake":
        yield FakeServiceManager(running=False)
        return
    shell = ShellService(tmp_path)
    yield CommandServiceManager(shell.config, LocalHost(SystemClock()), (), "127.0.0.1")
    await shell.clean_up()


async def look_until_ended(manager: ServiceManager) -> ServiceFact:
    """Look until no process is left."""
    while (seen := await manager.status(timeout_s=LIMIT_S)).active == "active":
        await SystemClock().sleep(0.01)
    return seen


async def test_a_node_that_is_down_has_no_process(manager: ServiceManager) -> None:
    """The status of a node that is down shows the pid 0."""
    seen = await manager.status(timeout_s=LIMIT_S)
    assert (seen.active, seen.pid) == ("inactive", 0)


async def test_a_start_brings_a_process_and_a_second_one_changes_nothing(
    manager: ServiceManager,
) -> None:
    """A start of what runs succeeds and leaves the process as it is."""
    first = await manager.start(timeout_s=LIMIT_S)
    one = await manager.status(timeout_s=LIMIT_S)
    second = await manager.start(timeout_s=LIMIT_S)
    assert first.ok
    assert second.ok
    assert one.active == "active"
    assert one.pid
    assert await manager.status(timeout_s=LIMIT_S) == one


@pytest.mark.parametrize("verb", ["stop", "kill"])
async def test_after_an_end_a_start_brings_another_process(
    manager: ServiceManager, verb: str
) -> None:
    """A stop and a kill end the process, and the next start has a pid of its own."""
    await manager.start(timeout_s=LIMIT_S)
    one = await manager.status(timeout_s=LIMIT_S)
    result = await getattr(manager, verb)(timeout_s=LIMIT_S)
    between = await look_until_ended(manager)
    await manager.start(timeout_s=LIMIT_S)
    other = await manager.status(timeout_s=LIMIT_S)
    assert result.ok
    assert between.pid == 0
    assert other.pid not in {0, None, one.pid}
