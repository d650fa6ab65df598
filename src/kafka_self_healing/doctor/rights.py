"""What the healer may do on a node's host: the commands of its service manager, by sudo or not."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

from kafka_self_healing.doctor.finding import Finding, good, problem
from kafka_self_healing.hosts import Hosts
from kafka_self_healing.hosts.command import CommandOutcome
from kafka_self_healing.model.node import NodeConfig

LIMIT_S: Final = 10.0


async def findings_of(node: NodeConfig, hosts: Hosts) -> list[Finding]:
    """Ask sudo (`sudo -n -l COMMAND`) for every command that an act will call on this host."""
    service, host = hosts.service(node.id), hosts.host(node.id)
    wanted = service.privileged() if service is not None and host.sudo else ()
    refused: list[Sequence[str]] = []
    for argv in wanted:
        said = await host.run(("sudo", "-n", "-l", *argv), timeout_s=LIMIT_S)
        if said.outcome in {CommandOutcome.NOT_STARTED, CommandOutcome.UNKNOWN}:
            return []  # the look at SERVICE has told that the host cannot be asked
        if not said.ok:
            refused.append(argv)
    if refused:
        user = node.access.user if node.access is not None and node.access.user else "HEALER"
        commands = ", ".join(shlex.join(argv) for argv in refused)
        return [
            problem(
                node.id,
                f"sudo does not permit {len(refused)} commands that healing needs there",
                f"{user} ALL=(root) NOPASSWD: {commands}",
            )
        ]
    return [good(node.id, f"sudo permits {len(wanted)} commands")] if wanted else []
