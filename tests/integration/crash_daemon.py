"""The real daemon with a crash port: `python -m tests.integration.crash_daemon CONFIG [WORLD]`.

The product knows only the port. Which point is deadly is said by an environment variable that
nothing but this file reads: a number (the nth point that is hit), or NAME:N (the nth of a name).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from tests.integration.crash_world import World, WorldEyes

from kafka_self_healing import app
from kafka_self_healing.clock import SystemClock
from kafka_self_healing.config import ConfigurationManager
from kafka_self_healing.monitoring import HostMonitoringPlugin, ServiceMonitoringPlugin
from kafka_self_healing.plugins import MonitoringPlugin

DEADLY = "KHEAL_TEST_DEADLY_POINT"
HITS = "KHEAL_TEST_HITS_FILE"


def crash_port() -> Callable[[str], None]:
    """Return a port that writes down each point that is hit, and dies by SIGKILL at the deadly."""
    deadly, hits = os.environ.get(DEADLY, ""), os.environ.get(HITS)
    file = os.open(hits, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if hits else None
    lock, seen = threading.Lock(), list[str]()

    def hit(name: str) -> None:
        with lock:
            seen.append(name)
            if file is not None:
                os.write(file, f"{name}\n".encode())
            if deadly in {str(len(seen)), f"{name}:{seen.count(name)}"}:
                os.kill(os.getpid(), signal.SIGKILL)

    return hit


def run(config: Path, world: World | None) -> None:
    """Run the daemon until SIGTERM, with the world's eyes or, without a world, with its own."""

    def look_with() -> list[MonitoringPlugin]:
        if world is None:
            return app.checks()
        return [WorldEyes(world), ServiceMonitoringPlugin(), HostMonitoringPlugin()]

    manager = ConfigurationManager(config)
    with app.logging_service(manager.current, SystemClock()):
        asyncio.run(app.run(manager, crash_point=crash_port(), look_with=look_with))


if __name__ == "__main__":
    run(Path(sys.argv[1]), World(Path(sys.argv[2])) if len(sys.argv) > 2 else None)
