"""The folder of a run: what lies where, whose it is, and what stays when the run is over."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.leftovers import end_leftovers

MARKER_NAME: Final = "kafka-self-healing-demo.lock"


def default_root(environment: Mapping[str, str] = os.environ) -> Path:
    """Return `$XDG_STATE_HOME/kafka-self-healing/demo` (`~/.local/state/...` if not set).

    It is the same folder each time, so that a run finds what a killed one left behind.
    """
    state = environment.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "kafka-self-healing" / "demo"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The places of one run below `root`."""

    root: Path

    @property
    def cluster(self) -> Path:
        """The embedded cluster: nodes, supervisor, its acts."""
        return self.root / "cluster"

    @property
    def state(self) -> Path:
        """The daemon's state folder: journal, audit file, control socket."""
        return self.root / "state"

    @property
    def mails(self) -> Path:
        """The letters that came."""
        return self.root / "mails"

    @property
    def configuration(self) -> Path:
        """The daemon's configuration file."""
        return self.root / "kafka-self-healing.yaml"

    @property
    def daemon_log(self) -> Path:
        """The daemon's own log."""
        return self.root / "daemon.log"

    @property
    def load_log(self) -> Path:
        """What the producer and the consumer complained about."""
        return self.root / "load.log"

    @property
    def report(self) -> Path:
        """The report, as it was shown."""
        return self.root / "report.txt"

    @property
    def figures(self) -> Path:
        """The report's figures as JSON."""
        return self.root / "report.json"

    @classmethod
    @contextmanager
    def claim(cls, root: Path) -> Iterator[Self]:
        """Take a folder for one run, ending and removing what the last one left there.

        Raises DemoError if another run is at work in it, or if it holds things that are not ours.
        """
        folder = cls(root.resolve())
        _make(folder.root)
        with (folder.root / MARKER_NAME).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DemoError(
                    f"another demo is at work in {folder.root}: end it, or give another --dir"
                ) from None
            if folder.cluster.is_dir():
                end_leftovers(folder.cluster)
            folder.clear()
            yield folder

    def clear(self) -> None:
        """Remove what a run makes; the cluster's own part is removed when it is prepared."""
        for path in (self.state, self.mails, self.cluster):
            shutil.rmtree(path, ignore_errors=True)
        for path in (
            self.configuration, self.daemon_log, self.load_log, self.report, self.figures
        ):  # fmt: skip
            path.unlink(missing_ok=True)

    def remove_data(self) -> None:
        """Remove the brokers' data; logs, journal, mails and reports stay."""
        for data in self.cluster.glob("node-*/data"):
            shutil.rmtree(data, ignore_errors=True)


def _make(root: Path) -> None:
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        strange = any(root.iterdir()) and not (root / MARKER_NAME).exists()
    except OSError as failure:
        raise DemoError(f"{root} cannot be used: {failure}") from failure
    if strange:
        raise DemoError(f"{root} is not empty and no demo's folder: give another --dir")
