"""A look at another host: the script that asks a `Question`, and the `Reading` of its answer.

Nothing is installed there and no Python is needed: `look.sh` is sent on standard input to a POSIX
shell. Every part of it that may hang runs beside the others; what is late is None, and is not asked
again while it still hangs.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from kafka_self_healing.hosts.command import CommandOutcome, CommandResult
from kafka_self_healing.hosts.data_dirs import FoundDir, KnownDevices
from kafka_self_healing.hosts.host import ProcessReading, Question, Reading
from kafka_self_healing.hosts.outputs import printable
from kafka_self_healing.hosts.readings import holder_by_inode, mounted_read_only
from kafka_self_healing.model.evidence import DataDirFact, DiskFact

LEAST_LIMIT_S: Final = 0.2
DOOR_SHARE: Final = 0.5
"""Part of a look's time that a connection may take to open: silence is an answer, too."""

KEEP_BYTES: Final = 512 * 1024
"""How much of an answer is kept; an ordinary one has 2 KB."""

SHELL_SIGNAL: Final = 128
"""A shell adds this to the number of the signal that ended a program."""

TICKS: Final = 100  # USER_HZ, as all Linux ports but Alpha and IA-64 have it
_NO_STAT_DEVICE: Final = frozenset({"btrfs", "overlayfs"})
_SPACE: Final = re.compile(r"\s(\d+)\s+(\d+)\s+(-?\d+)\s+(?:\d+%|-)\s")
_ERRORS: Final = {
    "no such file or directory": errno.ENOENT,
    "not a directory": errno.ENOTDIR,
    "input/output error": errno.EIO,
    "i/o error": errno.EIO,
    "no such device or address": errno.ENXIO,
    "no such device": errno.ENODEV,
    "structure needs cleaning": errno.EUCLEAN,
    "stale file handle": errno.ESTALE,
    "transport endpoint is not connected": errno.ENOTCONN,
    "permission denied": errno.EACCES,
}


@cache
def script(name: str) -> str:
    """Return one of the shell scripts that stand beside this file."""
    return Path(__file__).with_name(f"{name}.sh").read_text(encoding="utf-8")


def words(argv: tuple[str, ...]) -> str:
    """Return an argument list as a shell reads it: each argument is one word, whatever it holds."""
    return " ".join(shlex.quote(word) for word in argv)


Hanging = dict[str, tuple[str, str]]
"""Parts of earlier looks that did not come back: their process and its start, by their key."""


def write_look(question: Question, nonce: str, limit_s: float, hanging: Hanging) -> bytes:
    """Return what a shell is told so that it answers `question` within `limit_s` seconds."""
    limit = max(LEAST_LIMIT_S, limit_s)
    lines = [f"N={shlex.quote(nonce)} L={limit:.2f}", script("look")]
    lines += _commands(question)
    for key, run in _parts(question, limit):
        pid, start = hanging.get(key, ("0", ""))
        lines.append(f"part {key} {pid} {shlex.quote(start)} {run}")
    return "\n".join([*lines, "finish", ""]).encode("utf-8", "surrogateescape")


def _commands(question: Question) -> Iterator[str]:
    for number, asked in enumerate(question.commands):
        yield f"c{number}() {{ {words(asked.argv)}{' 2>&1' if asked.merged else ''}; }}"
    yield "commands() {\nfirst="
    for number, asked in enumerate(question.commands):
        run = f"ask {number} c{number} {asked.lines:d}"
        yield f"lists {words(asked.unless)} || {run}" if asked.unless else run
        if number == 0:
            yield "first=$o"
            yield f"named {shlex.quote(question.pid_key)}" if question.pid_key else ":"
    yield ":\n}"


def _parts(question: Question, limit_s: float) -> Iterator[tuple[str, str]]:
    if question.commands:
        yield _key("commands", words(question.commands[0].argv)), "commands"
    for number, path in enumerate(question.locks):
        yield _key("lock", path), f"lock {number} {shlex.quote(path)}"
    for number, path in enumerate(question.data_dirs):
        yield _key("dir", path), f"directory {number} {shlex.quote(path)}"
    if question.log_file is not None:
        file = shlex.quote(question.log_file)
        yield _key("log", question.log_file), f"last {file} {question.log_lines:d}"
    for number, (host, port) in enumerate(question.doors):
        run = f"door {number} {shlex.quote(host)} {port:d} {limit_s * DOOR_SHARE:.2f}"
        yield _key("door", f"{host} {port}"), run


def _key(what: str, about: str) -> str:
    """Return one word for a part, the same in every look."""
    return what + hashlib.blake2b(about.encode("utf-8", "replace"), digest_size=8).hexdigest()


@dataclass(slots=True)
class Answer:
    """The lines of an answer, by their first word (and number)."""

    lines: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def one(self, *key: object) -> str | None:
        """Return the last line of this kind, None: there is none."""
        found = self.lines.get(" ".join(map(str, key)))
        return found[-1] if found else None

    def all(self, *key: object) -> list[str]:
        """Return all lines of this kind."""
        return self.lines.get(" ".join(map(str, key)), [])


_NUMBERED: Final = frozenset({"out", "exit"})
_TWICE: Final = frozenset({"lock", "dir"})
_KEYED: Final = frozenset({"log", "door"})


def read_answer(data: bytes, nonce: str) -> Answer:
    """Sort the lines of an answer; lines without the nonce are not part of it."""
    answer, mark = Answer(), f"@{nonce} "
    for line in printable(data).split("\n"):
        if not line.startswith(mark):
            continue
        kind, _, rest = line[len(mark) :].partition(" ")
        words_in_key = 1 if kind in _NUMBERED | _KEYED else 2 if kind in _TWICE else 0
        for _ in range(words_in_key):
            more, _, rest = rest.partition(" ")
            kind = f"{kind} {more}"
        answer.lines[kind].append(rest)
    return answer


def read_hanging(answer: Answer, before: Hanging) -> Hanging:
    """Return the parts that did not come back: of this look, and of earlier ones (`before`).

    What this look did not ask for hangs as before.
    """
    begun = [line.split() for line in answer.all("part")]
    anew = {words_said[0] for words_said in begun if words_said}
    hanging = {key: process for key, process in before.items() if key not in anew}
    done = set(answer.all("done"))
    for words_said in begun:
        if len(words_said) == 3 and words_said[0] not in done and words_said[1].isdecimal():
            hanging[words_said[0]] = (words_said[1], words_said[2])
    return hanging


def to_reading(
    question: Question,
    answer: Answer,
    devices: KnownDevices,
    *,
    span: tuple[float, float],
    clock_at: float,
    stderr: str,
) -> Reading:
    """Return what an answer says. `clock_at`: our UTC when the host read its clock."""
    said = answer.one("pid") or ""
    pid = int(said) if said.isdecimal() else None
    held = [_held(answer, number) for number in range(len(question.locks))]
    return Reading(
        commands=_results(question, answer, span, stderr),
        pid=pid,
        process=_process(answer, pid) if pid else None,
        lock_held=True if True in held else None if None in held or not held else False,
        data_dirs=_data_dirs(question, answer, devices),
        disks=_disks(question, answer),
        log=tuple(answer.all("log line")) if answer.one("log read") is not None else None,
        boot_id=answer.one("boot"),
        uptime_s=_seconds(answer.one("uptime")),
        clock_offset_s=_offset(answer.one("clock"), clock_at),
        doors=_doors(question, answer),
    )


def _results(
    question: Question, answer: Answer, span: tuple[float, float], stderr: str
) -> Mapping[str, CommandResult]:
    results: dict[str, CommandResult] = {}
    all_done = any(key.startswith("commands") for key in answer.all("done"))
    first = answer.all("out", 0)
    for number, asked in enumerate(question.commands):
        code = answer.one("exit", number)
        output = "\n".join(answer.all("out", number)[-asked.lines :])
        output += "\n" if output else ""
        if code is not None and code.isdecimal():
            results[asked.name] = ended(asked.argv, int(code), span, output, stderr)
        elif not all_done and not set(asked.unless) & set(first):
            late = CommandOutcome.TIMED_OUT
            results[asked.name] = CommandResult(asked.argv, late, *span, None, None, output, stderr)
            break
    return results


def ended(
    argv: Sequence[str], code: int, span: tuple[float, float], stdout: str, stderr: str
) -> CommandResult:
    """Return the result of a command of which a shell says the exit code.

    Above 128 that may be a signal or not: both are given, and it counts as one.
    """
    signal = code - SHELL_SIGNAL if code > SHELL_SIGNAL else None
    outcome = CommandOutcome.EXITED if signal is None else CommandOutcome.SIGNALLED
    return CommandResult(tuple(argv), outcome, *span, code, signal, stdout, stderr)


def _process(answer: Answer, pid: int) -> ProcessReading | None:
    stat = answer.one("stat")
    if stat is None or ")" not in stat:
        return None
    fields = stat[stat.rindex(")") + 1 :].split()  # the name before it may hold anything
    if len(fields) < 20 or not fields[19].isdecimal():
        return None
    tracer, fetched = answer.one("tracer"), answer.one("fetched")
    return ProcessReading(
        pid=pid,
        state=fields[0],
        started_s=int(fields[19]) / TICKS,
        tracer_pid=int(tracer) if tracer and tracer.isdecimal() else None,
        read_bytes=int(fetched) if fetched and fetched.isdecimal() else None,
    )


def _held(answer: Answer, number: int) -> bool | None:
    fault = answer.one("lock", number, "fault")
    if fault is not None:
        return False if error_of(fault).errno == errno.ENOENT else None
    file = answer.one("lock", number, "file")
    if file is None or answer.one("lock", number, "read") is None:
        return None
    device, inode, *system = [*file.split(), "", ""]
    if not (device.isdecimal() and inode.isdecimal()):
        return None
    holder = holder_by_inode(
        int(device),
        int(inode),
        answer.all("lock", number, "line"),
        any_device=bool(_NO_STAT_DEVICE & set(system)),
    )
    return holder is not None


def _data_dirs(
    question: Question, answer: Answer, devices: KnownDevices
) -> tuple[DataDirFact, ...] | None:
    if not question.data_dirs:
        return None
    return tuple(
        devices.judge(path, _found(answer, number))
        for number, path in enumerate(question.data_dirs)
    )


def _doors(question: Question, answer: Answer) -> tuple[bool | None, ...] | None:
    if not question.doors:
        return None
    said = [answer.one("door", number) for number in range(len(question.doors))]
    return tuple({"open": True, "closed": False}.get(word or "") for word in said)


def _found(answer: Answer, number: int) -> FoundDir | OSError:
    fault = answer.one("dir", number, "fault")
    if fault is not None:
        return error_of(fault)
    device = _device(answer, number)
    if device is None or answer.one("dir", number, "read") is None:
        return OSError(errno.ETIMEDOUT, "no answer in time")
    has_log = answer.one("dir", number, "log") is not None
    return FoundDir(device, answer.one("dir", number, "identity") is not None, has_log)


def _disks(question: Question, answer: Answer) -> tuple[DiskFact, ...] | None:
    if not question.data_dirs:
        return None
    return tuple(_disk(answer, number, path) for number, path in enumerate(question.data_dirs))


def _disk(answer: Answer, number: int, path: str) -> DiskFact:
    found = _SPACE.search(f" {answer.one('dir', number, 'space') or ''} ")
    device = _device(answer, number)
    read_only = None
    if device is not None:
        read_only = mounted_read_only(path, device, answer.all("dir", number, "mount"))
    if found is None:
        return DiskFact(path, read_only=read_only)
    return DiskFact(path, int(found[1]) * 1024, max(0, int(found[3])) * 1024, read_only)


def _device(answer: Answer, number: int) -> int | None:
    said = answer.one("dir", number, "device") or ""
    return int(said) if said.isdecimal() else None


def error_of(text: str) -> OSError:
    """Return the error that a program's message is about, by the words that libc has for it."""
    low = text.lower()
    number = next((code for words, code in _ERRORS.items() if words in low), errno.EOPNOTSUPP)
    return OSError(number, os.strerror(number))


def _seconds(text: str | None) -> float | None:
    with contextlib.suppress(ValueError):
        return float(text) if text else None
    return None


def _offset(text: str | None, clock_at: float) -> float | None:
    there = _seconds(text.removesuffix(".%N") if text else None)  # busybox knows no %N
    return None if there is None else there - clock_at
