"""`SshHost`: another machine, asked by the system's ssh client over one kept connection.

The connection (OpenSSH's "master") is made beside the looks and has a time limit of its own: a look
that is shorter than a login does not cut it off, and the next one finds it. A host that says
nothing for the length of a look is given a fresh connection at once, since an old one may hang in
the kernel long after the network is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from kafka_self_healing.clock import Clock
from kafka_self_healing.hosts.command import CommandResult, not_started, run_command
from kafka_self_healing.hosts.conversation import Heard, Talk, converse
from kafka_self_healing.hosts.data_dirs import KnownDevices
from kafka_self_healing.hosts.host import Question, Reading
from kafka_self_healing.hosts.outputs import OUTPUT_LIMIT_BYTES, printable
from kafka_self_healing.hosts.remote_look import (
    KEEP_BYTES,
    Hanging,
    read_answer,
    read_hanging,
    to_reading,
    write_look,
)
from kafka_self_healing.hosts.remote_run import Order, read_end
from kafka_self_healing.hosts.run_dir import RunDirectory
from kafka_self_healing.hosts.ssh_faults import (
    HostUnreachable,
    SshFault,
    is_mute,
    read_fault,
    sudo_denied,
)
from kafka_self_healing.hosts.ssh_options import (
    IDLE_S,
    client_arguments,
    client_environment,
    write_config,
)
from kafka_self_healing.model.access import SshAccess
from kafka_self_healing.model.evidence import Outcome

LOGIN_S: Final = 10.0
"""What a login may take beside the connecting (seconds)."""

PERMANENT_S: Final = 60.0
"""How long a host that only a person can make answer is left alone (seconds)."""

TRANSIENT_S: Final = 0.5
"""How soon after a failed connection another one is tried (seconds)."""

PLAIN_S: Final = 600.0
"""How long readings go without sudo after it has refused (seconds)."""

LOOKS_AT_ONCE: Final = 6
RUNS_AT_ONCE: Final = 3
"""Together they stay below the 10 sessions that a sshd allows on one connection."""

CLIENT_FAILED: Final = 255
"""The ssh client's own exit code."""

LAST_WORDS: Final = 200

ANSWER_SHARE: Final = 0.8
"""Part of a look's time after which the host says what it has."""

REPORT_S: Final = 1.0
"""How much longer than its limit a command's end may take to reach us (seconds)."""

_SHELL: Final = "exec /bin/sh -s"
_SUDO_SHELL: Final = "exec sudo -n /bin/sh -s"
_GOOD_BYE_S: Final = 2.0
_SILENCE: Final = frozenset({Outcome.TIMED_OUT, Outcome.UNREACHABLE})
_LOGGER = logging.getLogger(__name__)


class SshHost:
    """One login on one machine, as a `Host`; nodes on that machine share it.

    `address`: what is pinged while it cannot be asked; None: nothing. `number`: tells its files in
    the run directory from those of other hosts.
    """

    def __init__(
        self,
        access: SshAccess,
        clock: Clock,
        run_dir: RunDirectory,
        *,
        number: int = 1,
        address: str | None = None,
        program: str = "ssh",
    ) -> None:
        assert access.destination, "an ssh host has a destination"
        self._access, self._clock, self._dir = access, clock, run_dir
        self._number, self._address, self._program = number, address, program
        self._destination = access.destination
        self._devices, self._hanging = KnownDevices(), Hanging()
        self._looks = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._runs = asyncio.Semaphore(RUNS_AT_ONCE)
        self._master: Path | None = None
        self._masters = 0
        self._connecting: asyncio.Task[Path | HostUnreachable] | None = None
        self._last: HostUnreachable | None = None
        self._again_at = self._plain_until = -math.inf
        self._ping: bool | None = None
        self._carrying: Counter[Path] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def sudo(self) -> bool:
        """Whether privileged commands go through `sudo -n` here."""
        return self._access.sudo

    @property
    def ping(self) -> bool | None:
        """Whether it answered a ping when it could last not be asked; None: not tried."""
        return self._ping

    async def is_here(self, address: str, *, timeout_s: float) -> bool:  # noqa: ARG002
        """The operator says that the node is on this host."""
        return True

    async def look(self, question: Question, *, timeout_s: float) -> Reading:
        """Return what `question` asks for. Raises HostUnreachable (a CheckError)."""
        deadline = self._clock.now().mono_s + timeout_s
        async with self._turn(self._looks, deadline):
            for _ in range(3):  # once more without sudo, once more on a fresh connection
                reading = await self._look_once(question, deadline)
                if reading is not None:
                    return reading
        raise self._timed_out("its connection is lost again and again")

    async def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        abandon: bool = False,
    ) -> CommandResult:
        """Run a command there: its words arrive as they are, its environment in no process list.

        It is given only once a shell there has answered. So what could not be given is NOT_STARTED,
        and a connection that is lost afterwards is UNKNOWN.
        """
        began = self._clock.now().mono_s
        deadline = began + timeout_s
        why = "no answer"
        try:
            async with self._turn(self._runs, deadline):
                for _ in range(2):
                    control = await self._connected(deadline)
                    left_s = max(0.0, deadline - self._clock.now().mono_s)
                    order = Order(argv, env or {}, max(1, math.ceil(left_s)), leave=abandon)
                    heard = await self._carry(control, order, left_s + REPORT_S)
                    if heard.ordered:
                        return read_end(order, heard, began, self._clock.now().mono_s)
                    fault = await self._lost(control, heard)
                    why = str(fault)
                    if fault.fault is SshFault.MISCONFIGURED:
                        break
        except (HostUnreachable, ValueError) as wrong:
            why = str(wrong)
        return not_started(argv, why, began, self._clock.now().mono_s)

    async def close(self) -> None:
        """End the connection. What it still carries is cut off."""
        for task in (*self._tasks, *([self._connecting] if self._connecting else [])):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._connecting is not None:
            await asyncio.gather(self._connecting, return_exceptions=True)
        kept = {*self._carrying, *([self._master] if self._master else [])}
        await asyncio.gather(*(self._say_good_bye(control) for control in kept))
        self._master = None

    async def _look_once(self, question: Question, deadline: float) -> Reading | None:
        """Return a reading; None: it is worth another try."""
        control = await self._connected(deadline)
        sent = self._clock.now()
        left_s = max(0.0, deadline - sent.mono_s)
        nonce = secrets.token_hex(8)
        may = self._access.sudo and not question.as_user
        elevated = may and sent.mono_s >= self._plain_until
        opening = write_look(question, nonce, left_s * ANSWER_SHARE, self._hanging)
        talk = Talk(opening, f"\n@{nonce} end".encode())
        shell = _SUDO_SHELL if elevated else _SHELL
        heard = await self._talk(control, shell, talk, left_s, keep=KEEP_BYTES)
        answer = read_answer(heard.stdout, nonce)
        if answer.one("clock") is None or heard.first_at is None:
            if elevated and sudo_denied(heard.stderr):
                self._plain_until = sent.mono_s + PLAIN_S
                _LOGGER.info(
                    "%s: sudo refuses /bin/sh, readings are made without it", self._destination
                )
                return None
            fault = await self._lost(control, heard)
            if heard.exit_code is None or fault.fault is SshFault.MISCONFIGURED:
                raise fault
            return None
        ended = self._clock.now()
        self._hanging = read_hanging(answer, self._hanging)
        return to_reading(
            question,
            answer,
            self._devices,
            span=(sent.mono_s, ended.mono_s),
            clock_at=sent.utc_s + (heard.first_at - sent.mono_s) / 2,
            stderr=heard.stderr,
        )

    @asynccontextmanager
    async def _turn(self, places: asyncio.Semaphore, deadline: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(max(0.0, deadline - self._clock.now().mono_s)):
                await places.acquire()
        except TimeoutError:
            raise self._timed_out("too many earlier ones are still waiting") from None
        try:
            yield
        finally:
            places.release()

    async def _connected(self, deadline: float) -> Path:
        """Return the socket of a living connection. Raises HostUnreachable."""
        if self._master is not None and self._master.exists():
            return self._master
        self._master = None
        now = self._clock.now().mono_s
        if self._connecting is None and self._last is not None and now < self._again_at:
            raise HostUnreachable(self._last.fault, self._destination, self._last.said)
        connecting = self._connect_beside()
        try:
            async with asyncio.timeout(max(0.0, deadline - now)):
                made = await asyncio.shield(connecting)
        except TimeoutError:
            last = self._last
            said = f"still connecting; the last time: {last.said}" if last else "still connecting"
            fault = last.fault if last else SshFault.TIMED_OUT
            raise HostUnreachable(fault, self._destination, said) from None
        if isinstance(made, HostUnreachable):
            raise HostUnreachable(made.fault, self._destination, made.said)
        return made

    def _connect_beside(self) -> asyncio.Task[Path | HostUnreachable]:
        if self._connecting is None:
            name = f"ssh to {self._destination}"
            self._connecting = asyncio.create_task(self._connect(), name=name)
            self._connecting.add_done_callback(self._made)
        return self._connecting

    def _made(self, task: asyncio.Task[Path | HostUnreachable]) -> None:
        self._connecting = None
        if task.cancelled():
            return
        made, now = task.result(), self._clock.now().mono_s
        if isinstance(made, Path):
            self._master, self._last, self._ping = made, None, None
            return
        self._last = made
        self._again_at = now + (PERMANENT_S if made.permanent else TRANSIENT_S)
        if made.outcome in _SILENCE and self._address is not None:
            self._beside(self._try_ping(self._address))

    async def _connect(self) -> Path | HostUnreachable:
        access = self._access
        self._masters += 1
        kept = ("-o", "ControlMaster=yes", "-o", f"ControlPersist={IDLE_S}", "-N", "-f")
        try:
            control = self._prepare(f"{self._number}-{self._masters}")
            heard = await self._log_in(control, kept)
            if heard.exit_code == CLIENT_FAILED and is_mute(heard.stderr):
                # Beside a connection that is to be kept, the client of a jump host is silenced.
                again = await self._log_in(control, (), "exit")
                heard = again if again.exit_code != 0 else heard
        except FileNotFoundError as wrong:
            no_file = wrong.filename == access.config_file
            fault = SshFault.MISCONFIGURED if no_file else SshFault.NO_CLIENT
            return HostUnreachable(fault, self._destination, str(wrong))
        except (OSError, ValueError) as wrong:
            return HostUnreachable(SshFault.MISCONFIGURED, self._destination, str(wrong))
        if heard.exit_code == 0:
            return control
        if heard.exit_code is None:
            said = heard.stderr or "the login has not ended"
            return HostUnreachable(SshFault.TIMED_OUT, self._destination, said)
        return read_fault(heard.stderr, self._destination)

    async def _log_in(self, control: Path, options: tuple[str, ...], *command: str) -> Heard:
        access = self._access
        return await converse(
            (
                *client_arguments(self._program, self._config(control), control, access),
                *options,
                *(("-J", access.jump) if access.jump is not None else ()),
                *("--", self._destination, *command),
            ),
            Talk(b"", b"\n@"),
            timeout_s=access.connect_timeout_s + LOGIN_S,
            clock=self._clock,
            env=client_environment(),
        )

    def _prepare(self, name: str) -> Path:
        """Write the client's configuration and return where the socket will be. Raises OSError."""
        if self._access.config_file is not None:
            Path(self._access.config_file).stat()  # ssh says nothing of an Include without a file
        control = self._dir.path() / name
        config = self._config(control)
        config.touch(mode=0o600)
        config.write_text(write_config(self._access), encoding="utf-8")
        return control

    async def _talk(
        self,
        control: Path,
        shell: str,
        talk: Talk,
        timeout_s: float,
        *,
        keep: int = OUTPUT_LIMIT_BYTES,
    ) -> Heard:
        argv = (
            *client_arguments(self._program, self._config(control), control, self._access),
            # Never a connection of its own: it would cost a login, and nobody would know of it.
            *("-o", "ControlMaster=no", "-o", "ProxyCommand=false"),
            *("--", self._destination, shell),
        )
        return await converse(
            argv,
            talk,
            timeout_s=timeout_s,
            clock=self._clock,
            env=client_environment(),
            keep=keep,
        )

    async def _carry(self, control: Path, order: Order, timeout_s: float) -> Heard:
        """Give an order; a look that gives the connection up meanwhile does not cut it off."""
        self._carrying[control] += 1
        try:
            return await self._talk(control, _SHELL, order.talk, timeout_s)
        finally:
            self._carrying -= Counter((control,))
            if control not in self._carrying and control != self._master:
                self._beside(self._say_good_bye(control))

    def _config(self, control: Path) -> Path:
        return control.with_name(f"{self._number}.conf")

    async def _lost(self, control: Path, heard: Heard) -> HostUnreachable:
        """Return why nothing came over this connection, which is not used any more."""
        if heard.exit_code not in {None, CLIENT_FAILED}:
            said = f"the shell there ended at once, with exit code {heard.exit_code}"
            words = (heard.stderr or printable(heard.stdout)).strip()[-LAST_WORDS:]
            said += f": {words}" if words else ""
            return HostUnreachable(SshFault.MISCONFIGURED, self._destination, said)
        if "refused by peer" in heard.stderr:
            said = "sshd takes no more sessions: raise MaxSessions"
            return HostUnreachable(SshFault.MISCONFIGURED, self._destination, said)
        if self._master == control:
            self._master = None
            if control not in self._carrying:
                self._beside(self._say_good_bye(control))
            if heard.exit_code is None:
                self._connect_beside()
        if heard.exit_code is None:
            return self._timed_out(heard.stderr or "it is connected and says nothing")
        return read_fault(heard.stderr, self._destination)

    def _timed_out(self, said: str) -> HostUnreachable:
        return HostUnreachable(SshFault.TIMED_OUT, self._destination, said)

    async def _say_good_bye(self, control: Path) -> None:
        argv = client_arguments(self._program, self._config(control), control, self._access)
        await run_command(
            (*argv, "-O", "exit", "--", self._destination),
            timeout_s=_GOOD_BYE_S,
            clock=self._clock,
        )
        _forget(control)

    async def _try_ping(self, address: str) -> None:
        argv = ("ping", "-n", "-c", "1", "-W", "1", "--", address)
        result = await run_command(argv, timeout_s=_GOOD_BYE_S, clock=self._clock)
        self._ping = {0: True, 1: False}.get(-1 if result.exit_code is None else result.exit_code)

    def _beside(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _forget(control: Path) -> None:
    """Remove the socket of a connection that could not do it itself."""
    with contextlib.suppress(OSError):
        control.unlink()
