"""A manager's commands: through `sudo -n` where the host says so, and only on the right machine."""

from __future__ import annotations

from typing import Final

from kafka_self_healing.hosts.command import CommandOutcome, CommandResult
from kafka_self_healing.hosts.host import Host
from kafka_self_healing.hosts.remote_run import SUDO
from kafka_self_healing.hosts.service import elsewhere

_HERE_S: Final = 2.0


class Privileged:
    """Runs the commands of one manager on the host of `address`; None: wherever they are given."""

    def __init__(self, host: Host, address: str | None, *, sudo: bool) -> None:
        self._host, self._address, self._sudo = host, address, sudo

    async def run(
        self, argv: tuple[str, ...], *, timeout_s: float, abandon: bool = False
    ) -> CommandResult:
        """Run one; NOT_STARTED on a machine that is not the node's."""
        address = self._address
        if address is not None and not await self._host.is_here(address, timeout_s=_HERE_S):
            why = str(elsewhere(address, "the node"))
            return CommandResult(argv, CommandOutcome.NOT_STARTED, 0.0, 0.0, stderr=why)
        if self._sudo:
            argv = (*SUDO, *argv)
        return await self._host.run(argv, timeout_s=timeout_s, abandon=abandon)
