"""The healer itself: open files, and whether what it starts would outlive it."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from typing import Final

from kafka_self_healing.doctor.finding import Finding, good, problem
from kafka_self_healing.hosts.own_unit import unsafe_start
from kafka_self_healing.model.node import Cluster

HEALER: Final = "healer"
FILES_A_NODE: Final = 8
"""Connections to a node: its own, for witnesses, the quorum, JMX, one being made, ssh's pipes."""

FILES_OF_OURS: Final = 256


def findings_of(cluster: Cluster) -> Iterator[Finding]:
    """Yield what the healer's own process lacks."""
    needed = FILES_OF_OURS + FILES_A_NODE * len(cluster.nodes)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        yield problem(HEALER, f"it may open {hard} files; {len(cluster.nodes)} nodes need {needed}",
                      f"[Service] LimitNOFILE={needed}")  # fmt: skip
    else:
        yield good(HEALER, f"it may open {hard} files, {needed} are needed")
    why = unsafe_start()
    if why:
        yield problem(HEALER, why, "[Service] KillMode=process")
