"""`LocalHost`: this machine. It remembers on which device it first saw each data directory."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from kafka_self_healing.clock import Clock
from kafka_self_healing.hosts.command import CommandOutcome, CommandResult, run_command
from kafka_self_healing.hosts.data_dirs import KnownDevices
from kafka_self_healing.hosts.host import Asked, Question, Reading, pid_named
from kafka_self_healing.hosts.readings import (
    is_local_address,
    lock_holder,
    read_boot_id,
    read_disk,
    read_identity,
    read_process,
    read_tail,
    read_uptime,
)
from kafka_self_healing.model.evidence import DataDirFact, DiskFact

T = TypeVar("T")

READING_SHARE: Final = 0.5
"""Part of a look's time that a reading of a disk may take: a hung disk must stay an answer."""

LOG_BYTES: Final = 64 * 1024
"""How much of the end of a log file is read."""


class LocalHost:
    """The machine that we run on, as a `Host`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._devices = KnownDevices()
        self._reading: dict[tuple[str, str], asyncio.Future[Any]] = {}
        self._here: dict[str, bool] = {}

    @property
    def sudo(self) -> bool:
        """Here we are who we are."""
        return False

    @property
    def ping(self) -> bool | None:
        """Nobody pings himself."""
        return None

    async def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        abandon: bool = False,
    ) -> CommandResult:
        """Run a bounded command; see `hosts.command.run_command`."""
        return await run_command(
            argv, timeout_s=timeout_s, clock=self._clock, env=env, abandon=abandon
        )

    async def is_here(self, address: str, *, timeout_s: float) -> bool:
        """Return whether `address` is this machine; a name is looked up once, while it resolves."""
        if address not in self._here:
            found = await self._off_loop(("address", address), is_local_address, timeout_s)
            if isinstance(found, OSError):
                return False
            self._here[address] = found
        return self._here[address]

    async def close(self) -> None:
        """There is nothing to give back."""

    async def look(self, question: Question, *, timeout_s: float) -> Reading:
        """Return what `question` asks for; a reading that a dead disk blocks stays None."""
        deadline = self._clock.now().mono_s + timeout_s
        limit_s = timeout_s * READING_SHARE / 2
        results = await self._run_all(question.commands, deadline)
        first = results.get(question.commands[0].name) if question.commands else None
        pid = pid_named(first.stdout, question.pid_key) if first and question.pid_key else None
        address = question.address
        if address is not None and not await self.is_here(address, timeout_s=limit_s):
            return Reading(here=False, commands=results, pid=pid)
        held, (data_dirs, disks), log, doors = await asyncio.gather(
            self._lock_held(question.locks, limit_s),
            self._directories(question.data_dirs, limit_s),
            self._log(question, limit_s),
            asyncio.gather(*(_opens(host, port, limit_s) for host, port in question.doors)),
        )
        return Reading(
            commands=results,
            pid=pid,
            process=read_process(pid) if pid else None,
            lock_held=held,
            data_dirs=data_dirs,
            disks=disks,
            log=log,
            boot_id=read_boot_id(),
            uptime_s=read_uptime(),
            clock_offset_s=0.0,
            doors=tuple(doors) or None,
        )

    async def _run_all(
        self, commands: Sequence[Asked], deadline: float
    ) -> dict[str, CommandResult]:
        results: dict[str, CommandResult] = {}
        first = ""
        for asked in commands:
            if set(asked.unless) & set(first.splitlines()):
                continue
            left_s = max(0.0, deadline - self._clock.now().mono_s)
            result = await self.run(asked.argv, timeout_s=left_s)
            results[asked.name] = result
            first = first or result.stdout
            if result.outcome in {CommandOutcome.TIMED_OUT, CommandOutcome.UNKNOWN}:
                break
        return results

    async def _lock_held(self, directories: Sequence[str], timeout_s: float) -> bool | None:
        holders = await self._each("lock", directories, lock_holder, timeout_s)
        if any(isinstance(holder, int) for holder in holders):
            return True
        readable = all(not isinstance(holder, OSError) for holder in holders)
        return False if holders and readable else None

    async def _directories(
        self, paths: Sequence[str], timeout_s: float
    ) -> tuple[tuple[DataDirFact, ...] | None, tuple[DiskFact, ...] | None]:
        if not paths:
            return None, None
        found = await self._each("identity", paths, read_identity, timeout_s)
        sizes = await self._each("disk", paths, read_disk, timeout_s)
        return (
            tuple(self._devices.judge(path, one) for path, one in zip(paths, found, strict=True)),
            tuple(
                DiskFact(path) if isinstance(one, OSError) else one
                for path, one in zip(paths, sizes, strict=True)
            ),
        )

    async def _log(self, question: Question, timeout_s: float) -> tuple[str, ...] | None:
        if question.log_file is None:
            return None
        read = partial(read_tail, lines=question.log_lines, limit=LOG_BYTES)
        found = await self._off_loop(("log", question.log_file), read, timeout_s)
        return None if isinstance(found, OSError) else found

    async def _each(
        self, what: str, paths: Sequence[str], read: Callable[[str], T], timeout_s: float
    ) -> list[T | OSError]:
        return list(
            await asyncio.gather(*(self._off_loop((what, path), read, timeout_s) for path in paths))
        )

    async def _off_loop(
        self, key: tuple[str, str], read: Callable[[str], T], timeout_s: float
    ) -> T | OSError:
        """Run one blocking reading in a thread, one at a time for each key.

        A reading that a dead disk blocks keeps its thread; until it comes back no other is begun.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while key in self._reading:
                    await asyncio.shield(self._reading[key])
                return await asyncio.shield(self._begin(key, read))
        except TimeoutError:
            return OSError(errno.ETIMEDOUT, f"no answer within {timeout_s:g} s", key[1])

    def _begin(self, key: tuple[str, str], read: Callable[[str], T]) -> asyncio.Future[T | OSError]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T | OSError] = loop.create_future()
        self._reading[key] = answer

        def tell(value: T | OSError) -> None:
            del self._reading[key]
            answer.set_result(value)

        def work() -> None:
            try:
                value: T | OSError = read(key[1])
            except OSError as wrong:
                value = wrong
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know
                loop.call_soon_threadsafe(tell, value)

        threading.Thread(target=work, name=f"read-{key[0]}", daemon=True).start()
        return answer


async def _opens(host: str, port: int, timeout_s: float) -> bool | None:
    """Return whether a TCP connection from here opens; None: its name means nothing here."""
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
    except socket.gaierror:
        return None
    except OSError:  # a time limit is one, too
        return False
    writer.close()
    return True
