"""What the eyes see, written in the replay format, so that an incident becomes a test."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from kafka_self_healing.errors import StorageError
from kafka_self_healing.model.codec import to_plain
from kafka_self_healing.model.evidence import CheckResult, Kind
from kafka_self_healing.model.node import Cluster
from kafka_self_healing.simulation.replay_format import FORMAT

MAX_BYTES = 64 << 20
"""Size of one file; then it becomes `.1` and a new one begins: at most two are kept."""

FILE = "recording.jsonl"
SECRET_KINDS = frozenset({Kind.LOG})
"""Kinds whose facts are free text of the node; they are left out."""


class Recorder:
    """A context manager; `hear` takes every result of the eyes. Errors' texts are left out."""

    def __init__(self, folder: Path, cluster: Cluster, *, max_bytes: int = MAX_BYTES) -> None:
        """Make `folder` (0700). Raises StorageError if that cannot be done."""
        self._path, self._cluster, self._max = folder / FILE, cluster, max_bytes
        self._file: IO[str] | None = None
        self._size = 0
        self._zero: float | None = None
        self._latest = 0.0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{folder}: recordings cannot be written: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def hear(self, result: CheckResult) -> None:
        """Write one look; `at` counts from the first look of the file."""
        if result.kind in SECRET_KINDS:
            return
        if self._file is None or self._size > self._max:
            self._begin(result.started)
        assert self._zero is not None
        check = {
            "observer": result.observer,
            "subject": result.subject,
            "kind": result.kind.value,
            "outcome": result.outcome.value,
            "started": round(result.started - self._zero, 6),
            "fact": to_plain(result.fact),
        }
        if result.name:
            check["name"] = result.name
        # A look that ended a moment earlier may be heard later; the format wants them in order.
        self._latest = max(self._latest, round(result.ended - self._zero, 6))
        self._write({"at": self._latest, "check": check})

    def _begin(self, zero: float) -> None:
        if self._file is not None:
            self._file.close()
            self._path.replace(self._path.with_suffix(".jsonl.1"))
        self._zero, self._size, self._latest = zero, 0, 0.0
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)
        nodes = [
            {
                "id": node.id,
                "roles": sorted(role.value for role in node.roles),
                "host": node.host,
                "rack": node.rack,
            }
            for node in self._cluster.nodes.values()
        ]
        self._write(
            {
                "format": FORMAT,
                "cluster": self._cluster.name,
                "mode": self._cluster.mode.value,
                "session_timeout_s": self._cluster.session_timeout_s,
                "tick_s": self._cluster.tick_s,
                "warm": False,
                "nodes": nodes,
            }
        )

    def _write(self, row: dict[str, Any]) -> None:
        assert self._file is not None
        text = json.dumps(row, separators=(",", ":")) + "\n"
        self._file.write(text)
        self._size += len(text)
