"""Write examples/replay/*.jsonl: `python -m tests.unit.healing.write_examples`."""

from __future__ import annotations

from pathlib import Path

from tests.unit.healing.scenes import Scene, zookeeper

FOLDER = Path(__file__).parents[3] / "examples" / "replay"


def crash() -> Scene:
    """Node 2 is killed at 5 s, started, and healed a minute later."""
    scene = Scene()
    scene.run(5)
    scene.crash("2")
    scene.until(lambda: scene.closed)
    scene.run(15)
    return scene


def hang() -> Scene:
    """Node 2 hangs at 5 s, is restarted once the others have dropped it, and healed."""
    scene = Scene()
    scene.run(5)
    scene.hang("2")
    scene.until(lambda: scene.closed)
    scene.run(15)
    return scene


def zookeeper_crash() -> Scene:
    """In ZooKeeper mode: node 2 is killed at 5 s, and started when its registration is gone."""
    scene = Scene(zookeeper())
    scene.run(5)
    scene.crash("2")
    scene.until(lambda: scene.closed)
    scene.run(15)
    return scene


EXAMPLES = {"crash.jsonl": crash, "hang.jsonl": hang, "zookeeper-crash.jsonl": zookeeper_crash}


def write_all(folder: Path) -> None:
    """Write every example into `folder`: dense until the act, then every five seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, play in EXAMPLES.items():
        play().write(folder / name)


if __name__ == "__main__":
    write_all(FOLDER)
