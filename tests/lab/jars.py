"""Brings the lab's Kafka: `python -m tests.lab.jars kraft|zk FOLDER`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from kafka_self_healing.demo.jars import JarFetcher, pinned_jars
from kafka_self_healing.demo.progress import PlainProgress
from tests.integration.clusters.servers import listed_jars
from tests.integration.clusters.zookeeper import JARS


def main(mode: str, folder: Path) -> None:
    """Copy the pinned jars of a mode into a new folder; they come from the cache if they can."""
    progress = PlainProgress(sys.stderr)
    match mode:
        case "kraft":
            jars = JarFetcher().fetch(pinned_jars(), progress)
        case "zk":
            jars = listed_jars(JARS, progress)
        case _:
            sys.exit(__doc__)
    folder.mkdir(parents=True)
    for jar in jars:
        shutil.copy2(jar, folder)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
