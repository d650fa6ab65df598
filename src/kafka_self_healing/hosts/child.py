"""A child process in a session of its own: started, watched, killed with its group, reaped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import Final

_REAP_S: Final = 2.0  # a process in state D does not die of KILL: we go on without it
_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def minimal_environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a command: a PATH, HOME, a locale, and what was given."""
    kept = {key: os.environ[key] for key in ("HOME", "USER", "TZ") if key in os.environ}
    path = os.environ.get("PATH", _DEFAULT_PATH)
    return {"PATH": path, "LANG": "C.UTF-8", **kept, **(given or {})}


class Child:
    """One process that leads a session and a process group. `ended` comes true when it has ended.

    It is not reaped before `reap`: its pid, and with it its group's number, stays its own until we
    are done with signals. The constructor raises OSError or ValueError: it cannot be run.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        stdout: int,
        stderr: int,
        stdin: int = subprocess.DEVNULL,
        env: Mapping[str, str],
    ) -> None:
        # Not asyncio's subprocess: its transport kills the child when it is collected.
        self._process = subprocess.Popen(
            list(argv),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=dict(env),
            start_new_session=True,
        )
        self.ended = self._watch()

    def reap(self) -> int:
        """Return how an ended child ended: its exit code, or minus the signal that ended it."""
        return self._process.wait()

    async def kill(self) -> int | None:
        """Kill the whole group; return how the child ended. None: it does not die.

        It waits for a disk (state D), or it has become another user (sudo) whom we may not kill.
        """
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        try:
            async with asyncio.timeout(_REAP_S):
                await asyncio.shield(self.ended)
        except TimeoutError:
            self.abandon()
            return None
        return self.reap()

    def abandon(self) -> None:
        """Leave it alone, but leave no zombie of it, whatever becomes of the event loop."""
        name = f"reap-{self._process.pid}"
        threading.Thread(target=self._process.wait, name=name, daemon=True).start()

    def _watch(self) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def tell() -> None:
            if not ended.done():
                ended.set_result(None)

        def wait() -> None:
            with contextlib.suppress(ChildProcessError):  # reaped by whoever gave up on it
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know
                loop.call_soon_threadsafe(tell)

        threading.Thread(target=wait, name=f"wait-{self._process.pid}", daemon=True).start()
        return ended
