"""Brings the lab's Kafka: `python -m tests.lab.jars kraft|zk FOLDER`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from kafka_self_healing.demo.jars import JarFetcher, pinned_jars
from kafka_self_healing.demo.progress import PlainProgress


def main(mode: str, folder: Path) -> None:
    """Copy the pinned jars of a mode into a new folder; they come from the cache if they can."""
    assert mode in {"kraft", "zk"}, mode
    folder.mkdir(parents=True)
    for jar in JarFetcher().fetch(pinned_jars(), PlainProgress(sys.stderr)):
        shutil.copy2(jar, folder)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
