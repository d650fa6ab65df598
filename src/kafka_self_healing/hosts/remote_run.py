"""A command on another host: the order that a shell there gets, and what is heard of its end."""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from kafka_self_healing.hosts.command import CommandOutcome, CommandResult, not_started
from kafka_self_healing.hosts.conversation import Heard, Talk
from kafka_self_healing.hosts.outputs import OUTPUT_LIMIT_BYTES, printable
from kafka_self_healing.hosts.remote_look import ended, script, words
from kafka_self_healing.hosts.ssh_faults import KINDS, SshFault, sudo_denied

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SUDO: Final = ("sudo", "-n")


@dataclass(frozen=True, slots=True)
class Order:
    """One command with its environment, sent as text of a shell script.

    So neither its words nor its environment stand in a process list of either machine. `limit_s`:
    whole seconds after which it is killed there, or left running (`leave`). Raises ValueError:
    something in it cannot be said to a shell.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    limit_s: int
    leave: bool = False
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def ready(self) -> bytes:
        """The line by which the shell there shows that it listens."""
        return f"@{self.nonce} ready\n".encode()

    @property
    def talk(self) -> Talk:
        """What is said to the shell: first whether it listens, then what is to be done."""
        verb = "leave" if self.leave else "run"
        if any("\0" in word for word in (*self.argv, *self.env.values())):
            raise ValueError("a word with a null byte cannot be given to a program")
        text = [f"N={self.nonce}", script("run")]
        for name, value in self.env.items():
            if _NAME.fullmatch(name) is None:
                raise ValueError(f"{name!r} is no name of an environment variable")
            text.append(f"{name}={shlex.quote(value)}; export {name}")
        text.append(f"{verb} {self.limit_s:d} {words(tuple(self.argv))}\n")
        return Talk(
            opening=f"printf '@%s ready\\n' {self.nonce}\n".encode(),
            end=f"\n@{self.nonce} exit ".encode(),
            ready=self.ready,
            order="\n".join(text).encode("utf-8", "surrogateescape"),
        )


def read_end(order: Order, heard: Heard, started: float, now: float) -> CommandResult:
    """Return what became of an order that was given."""
    span, argv = (started, now), tuple(order.argv)
    _, _, output = heard.stdout.partition(order.ready)
    output, _, _ = output.partition(order.talk.end)
    stdout = printable(output[:OUTPUT_LIMIT_BYTES])
    stderr = heard.stderr
    how = heard.closing.decode("ascii", "replace") if heard.closing is not None else ""
    if how.isdecimal():
        # A question about rights (-l) was answered, whatever the answer.
        acts = argv[: len(SUDO)] == SUDO and argv[len(SUDO) :][:1] != ("-l",)
        denied = sudo_denied(stderr) if acts and how == "1" else ""
        if denied:
            why = f"{KINDS[SshFault.SUDO_DENIED].advice} ({denied})"
            return not_started(argv, why, *span)
        result = ended(argv, int(how), span, stdout, stderr)
        return _truncated(result, heard)
    match how:
        case "missing":
            return not_started(argv, f"command not found there: {argv[0]}", *span)
        case "limit":
            outcome = CommandOutcome.TIMED_OUT
        case _:
            outcome = CommandOutcome.UNKNOWN
            stderr += "" if how == "left" else "(the connection was lost after it was given)"
    return _truncated(CommandResult(argv, outcome, *span, None, None, stdout, stderr), heard)


def _truncated(result: CommandResult, heard: Heard) -> CommandResult:
    return replace(result, truncated=heard.truncated)
