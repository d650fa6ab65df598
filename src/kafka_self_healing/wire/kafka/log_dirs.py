"""DescribeLogDirs: a broker's own data directories, without their partitions (cheap)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kafka_self_healing.wire.kafka.errors import raise_for_error
from kafka_self_healing.wire.kafka.primitives import Reader, none_if_unknown, write_array
from kafka_self_healing.wire.kafka.request import Api, Request

_PARTITION_SIZE = 21  # index, size, lag, is_future


@dataclass(frozen=True, slots=True)
class LogDir:
    """One data directory. Sizes are bytes of its file system."""

    path: str
    error: int  # 56: offline after an I/O error
    total_bytes: int | None  # None: not said below v4, or not known
    usable_bytes: int | None
    cordoned: bool | None  # None: not said below v5


@dataclass(frozen=True, slots=True)
class LogDirsReply:
    """The directories of the node that was asked."""

    error: int | None  # None: not said below v3; a missing right then shows as no directories
    directories: tuple[LogDir, ...]


@dataclass(frozen=True, slots=True)
class DescribeLogDirs(Request[LogDirsReply]):
    """Ask a broker for its data directories."""

    api: ClassVar[Api] = Api(key=35, name="DescribeLogDirs", lowest=1, highest=5, first_flexible=2)

    def encode(self, version: int) -> bytes:
        """Return the body: an empty list of topics, so that no partition is listed."""
        flexible = self.api.is_flexible(version)
        nothing: tuple[bytes, ...] = ()
        return write_array(nothing, bytes, flexible=flexible) + (b"\0" if flexible else b"")

    def decode(self, reader: Reader, version: int) -> LogDirsReply:
        """Read the reply; partitions in it are skipped."""
        reader.int32()  # throttle time
        error = reader.int16() if version >= 3 else None
        directories = tuple([_read_directory(reader, version) for _ in range(reader.count(5))])
        reader.tags()
        raise_for_error(self.api.name, error or 0, None)
        return LogDirsReply(error, directories)


def _read_directory(reader: Reader, version: int) -> LogDir:
    error, path = reader.int16(), reader.string()
    for _ in range(reader.count(3)):
        reader.string()
        for _ in range(reader.count(_PARTITION_SIZE)):
            reader.take(_PARTITION_SIZE)
            reader.tags()
        reader.tags()
    total = none_if_unknown(reader.int64()) if version >= 4 else None
    usable = none_if_unknown(reader.int64()) if version >= 4 else None
    cordoned = reader.boolean() if version >= 5 else None
    reader.tags()
    return LogDir(path, error, total, usable, cordoned)
