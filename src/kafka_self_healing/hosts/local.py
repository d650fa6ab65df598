"""`LocalHost`: this machine. It remembers on which device it first saw each data directory."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from kafka_self_healing.clock import Clock
from kafka_self_healing.hosts.command import CommandResult, run_command
from kafka_self_healing.hosts.host import ProcessReading
from kafka_self_healing.hosts.readings import (
    is_local_address,
    lock_holder,
    read_boot_id,
    read_disk,
    read_identity,
    read_process,
)
from kafka_self_healing.model.evidence import DataDirFact, DiskFact

T = TypeVar("T")

_BROKEN = frozenset({errno.EIO, errno.ENOENT, errno.ENOTDIR, errno.ENXIO, errno.ENODEV})
_NO_SUCH_DIRECTORY = frozenset({errno.ENOENT, errno.ENOTDIR})


class LocalHost:
    """The machine that we run on, as a `Host`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._devices: dict[str, int] = {}
        self._reading: set[tuple[str, str]] = set()
        self._here: dict[str, bool] = {}

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

    async def process(self, pid: int) -> ProcessReading | None:
        """Return what the kernel says of `pid`; None: no such process."""
        return read_process(pid)

    async def boot_id(self) -> str | None:
        """Return the id that the kernel gave to this boot."""
        return read_boot_id()

    async def lock_held(self, directories: Sequence[str], *, timeout_s: float) -> bool | None:
        """Return whether any process holds the `.lock` of any of these data directories.

        None: there are none, or one that shows no holder cannot be read.
        """
        holders = await self._each("lock", directories, lock_holder, timeout_s)
        if any(isinstance(holder, int) for holder in holders):
            return True
        readable = all(not isinstance(holder, OSError) for holder in holders)
        return False if holders and readable else None

    async def data_dirs(self, paths: Sequence[str], *, timeout_s: float) -> tuple[DataDirFact, ...]:
        """Read each data directory; what does not answer in time stays None, never False."""
        found = await self._each("identity", paths, read_identity, timeout_s)
        return tuple(self._judge(path, one) for path, one in zip(paths, found, strict=True))

    async def disks(self, paths: Sequence[str], *, timeout_s: float) -> tuple[DiskFact, ...]:
        """Return size and free space (bytes) of the file systems that hold `paths`."""
        found = await self._each("disk", paths, read_disk, timeout_s)
        return tuple(
            DiskFact(path) if isinstance(one, OSError) else one
            for path, one in zip(paths, found, strict=True)
        )

    def _judge(self, path: str, found: tuple[int, bool] | OSError) -> DataDirFact:
        known = self._devices.get(path)
        if isinstance(found, OSError):
            missing = found.errno in _NO_SUCH_DIRECTORY
            return DataDirFact(
                path,
                same_device=False if missing and known is not None else None,
                has_identity=False if missing else None,
                readable=False if found.errno in _BROKEN else None,
            )
        device, has_identity = found
        if has_identity and known is None:
            # Only a directory with its identity is worth remembering: an unmounted disk shows an
            # empty directory on the device below it.
            known = self._devices[path] = device
        same = None if known is None else device == known
        return DataDirFact(path, same_device=same, has_identity=has_identity, readable=True)

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
        if key in self._reading:
            return OSError(errno.EBUSY, "an earlier reading has not come back", key[1])
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T | OSError] = loop.create_future()
        self._reading.add(key)

        def tell(value: T | OSError) -> None:
            self._reading.discard(key)
            if not answer.done():
                answer.set_result(value)

        def work() -> None:
            try:
                value: T | OSError = read(key[1])
            except OSError as wrong:
                value = wrong
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know
                loop.call_soon_threadsafe(tell, value)

        threading.Thread(target=work, name=f"read-{key[0]}", daemon=True).start()
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            return OSError(errno.ETIMEDOUT, f"no answer within {timeout_s:g} s", key[1])
