"""What a reading of a data directory means; each host remembers where it first saw each one."""

from __future__ import annotations

import errno
from typing import Final, NamedTuple

from kafka_self_healing.model.evidence import DataDirFact

_MISSING: Final = frozenset({errno.ENOENT, errno.ENOTDIR})
_BROKEN: Final = _MISSING | {
    errno.EIO, errno.ENXIO, errno.ENODEV, errno.EUCLEAN, errno.ESTALE, errno.ENOTCONN,
}  # fmt: skip
"""Errors by which the storage itself says that it is not there; others only keep us from seeing."""


class FoundDir(NamedTuple):
    """What was read of a directory: its device, whether it has its identity file.

    `has_log`: whether it has what a ZooKeeper's transaction log has instead.
    """

    device: int
    has_identity: bool
    has_log: bool = False


class KnownDevices:
    """The device on which each data directory was first seen with what belongs into it."""

    def __init__(self) -> None:
        self._devices: dict[str, int] = {}

    def judge(self, path: str, found: FoundDir | OSError) -> DataDirFact:
        """Return the fact: `found` is what was read, or why nothing was."""
        known = self._devices.get(path)
        if isinstance(found, OSError):
            missing = found.errno in _MISSING
            return DataDirFact(
                path,
                same_device=False if missing and known is not None else None,
                has_identity=False if missing else None,
                readable=False if found.errno in _BROKEN else None,
            )
        device, has_identity, has_log = found
        if (has_identity or has_log) and known is None:
            # Only a directory that is not empty is worth remembering: an unmounted disk shows an
            # empty one on the device below it.
            known = self._devices[path] = device
        same = None if known is None else device == known
        return DataDirFact(path, same_device=same, has_identity=has_identity, readable=True)
