"""`Ports`: the four ways in which the daemon touches the world. The simulation fills all of them.

Everything else is the same there and in production: what is added here is one more thing that no
simulated run exercises, so a test compares the fields with a written list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import aiosmtplib

from kafka_self_healing.clock import Clock
from kafka_self_healing.hosts import HostPool, Pool
from kafka_self_healing.model.node import Cluster
from kafka_self_healing.monitoring.clients import WireClients

T = TypeVar("T")


class InStore(Protocol):
    """Runs what blocks, one piece after the other, and gives back what it returns or raises."""

    async def __call__(self, work: Callable[[], T]) -> T:
        """Run `work`."""


@contextmanager
def store_thread() -> Iterator[InStore]:
    """Run the store on one thread of its own: one writer, and the loop never waits for it."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, thread_name_prefix="store") as executor:

        async def in_store(work: Callable[[], T]) -> T:
            return await loop.run_in_executor(executor, work)

        yield in_store


@dataclass(frozen=True, slots=True)
class Ports:
    """`wire`: the clients; `hosts`: makes the pool of hosts; `smtp`: makes the client of one mail,
    with aiosmtplib's options; `executor`: runs the store as long as its block lasts.
    """

    wire: WireClients = field(default_factory=WireClients)
    hosts: Callable[[Cluster, Clock], Pool] = HostPool
    smtp: Callable[..., aiosmtplib.SMTP] = aiosmtplib.SMTP
    executor: Callable[[], AbstractContextManager[InStore]] = store_thread
