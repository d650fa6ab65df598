"""What every `Host` keeps, this machine and one behind ssh; the lab's hosts are asked the same.

Each row is a coroutine function of a `Host` and of an empty folder on it: `ROWS` are meant for
parametrisation. Whatever a row needs there it makes through the host itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kafka_self_healing.hosts import Asked, CommandOutcome, Host, Question, Reading
from kafka_self_healing.model.evidence import DataDirFact

LIMIT_S = 20.0
ODD_WORDS = ("", " a  b ", "'", '"', "$HOME `id` $(id)", "\\", "*", "-n", "--", "é\n\t;&|<>!#~%h")
"""Words that a careless shell would take apart."""

_LOCK = (
    "import fcntl, sys, time; f = open(sys.argv[1], 'r+'); fcntl.lockf(f, fcntl.LOCK_EX); "
    "print('held', flush=True); time.sleep(60)"
)
Row = Callable[[Host, str], Awaitable[None]]


async def shell(host: Host, text: str) -> str:
    """Run a line of shell on the host and return what it printed."""
    result = await host.run(["sh", "-c", text], timeout_s=LIMIT_S)
    assert result.ok, result
    return result.stdout


async def look(host: Host, **question: object) -> Reading:
    """Look at the host once."""
    return await host.look(Question(**question), timeout_s=LIMIT_S)  # type: ignore[arg-type]


async def in_background(host: Host, text: str, file: str) -> int:
    """Start a line of shell that outlives us, with its output in a file; return its pid."""
    said = await shell(host, f"{{ {text}; }} >{file} 2>&1 </dev/null & echo $!")
    return int(said)


async def words_arrive_as_they_are(host: Host, folder: str) -> None:
    """An argument is one word, whatever it holds; nothing is expanded."""
    result = await host.run(["printf", "<%s>", *ODD_WORDS], timeout_s=LIMIT_S)
    assert result.stdout == "".join(f"<{word}>" for word in ODD_WORDS)


async def environment_arrives(host: Host, folder: str) -> None:
    """What is given is in the environment, with any value."""
    value = 'it\'s $HOME\n"x"'
    result = await host.run(["printenv", "SECRET_OF_OURS"], timeout_s=LIMIT_S, env={
        "SECRET_OF_OURS": value,
    })  # fmt: skip
    assert result.stdout == f"{value}\n"


async def endings_are_told_apart(host: Host, folder: str) -> None:
    """Exit codes, signals, programs that do not exist, and both outputs."""
    ended = await host.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout_s=LIMIT_S)
    killed = await host.run(["sh", "-c", "kill -KILL $$"], timeout_s=LIMIT_S)
    missing = await host.run([f"{folder}/no-such-program"], timeout_s=LIMIT_S)
    assert (ended.outcome, ended.exit_code) == (CommandOutcome.EXITED, 3)
    assert (ended.stdout, ended.stderr) == ("out\n", "err\n")
    assert (killed.outcome, killed.signal) == (CommandOutcome.SIGNALLED, 9)
    assert missing.outcome is CommandOutcome.NOT_STARTED
    assert "no-such-program" in missing.stderr


async def a_command_at_its_limit_is_killed_with_its_children(host: Host, folder: str) -> None:
    """What hangs is gone, and so is what it started."""
    text = f"sleep 61 & echo $! >{folder}/child; echo begun; wait"
    result = await host.run(["sh", "-c", text], timeout_s=1.0)
    assert result.outcome is CommandOutcome.TIMED_OUT
    assert result.stdout == "begun\n"
    child = int(await shell(host, f"cat {folder}/child"))
    for _ in range(50):
        state = await shell(host, f"cut -d' ' -f3 /proc/{child}/stat 2>/dev/null || echo gone")
        if state.strip() in {"gone", "Z"}:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the child of a killed command still runs")


async def a_start_at_its_limit_is_left_running(host: Host, folder: str) -> None:
    """What may be a broker lives on, and what it said so far is told."""
    text = f"echo begun; sleep 2; touch {folder}/lived"
    result = await host.run(["sh", "-c", text], timeout_s=1.0, abandon=True)
    assert result.outcome is CommandOutcome.UNKNOWN
    assert result.stdout == "begun\n"
    for _ in range(80):
        if "lived" in await shell(host, f"ls {folder}"):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the start did not outlive its limit")


async def what_a_start_leaves_behind_outlives_it(host: Host, folder: str) -> None:
    """A process that a finished start has put into the background goes on."""
    text = f"(sleep 1; touch {folder}/served) >/dev/null 2>&1 & echo $!"
    result = await host.run(["sh", "-c", text], timeout_s=LIMIT_S, abandon=True)
    assert result.ok
    for _ in range(80):
        if "served" in await shell(host, f"ls {folder}"):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("what was started did not outlive the start")


async def output_is_capped(host: Host, folder: str) -> None:
    """Of 10 MB the beginning is kept, and the exit code is still known."""
    text = "head -c 10000000 /dev/zero | tr '\\0' x; exit 7"
    result = await host.run(["sh", "-c", text], timeout_s=LIMIT_S)
    assert (result.exit_code, result.truncated) == (7, True)
    assert result.stdout == "x" * len(result.stdout)
    assert 60_000 < len(result.stdout) <= 64 * 1024


async def one_look_brings_all(host: Host, folder: str) -> None:
    """Commands, process, lock, directories, log and clock come of one look."""
    await shell(host, f"mkdir {folder}/data; echo id >{folder}/data/meta.properties")
    await shell(host, f"touch {folder}/data/.lock; seq 100 >{folder}/log")
    pid = await in_background(host, "exec sleep 60", f"{folder}/null")
    reading = await look(
        host,
        commands=(
            Asked("status", ("printf", "a=1\n pid = %d \n\nlast", str(pid))),
            Asked("more", ("sh", "-c", "echo x; exit 4")),
            Asked("needless", ("touch", f"{folder}/touched"), unless=("b", "a=1")),
            Asked("both", ("sh", "-c", "echo out; echo err >&2"), merged=True),
        ),
        pid_key="pid",
        locks=(f"{folder}/data",),
        data_dirs=(f"{folder}/data",),
        log_file=f"{folder}/log",
        log_lines=3,
    )
    await shell(host, f"kill {pid}")
    assert reading.here
    assert set(reading.commands) == {"status", "more", "both"}
    assert reading.commands["status"].stdout.split("\n")[:2] == ["a=1", f" pid = {pid} "]
    assert (reading.commands["more"].stdout, reading.commands["more"].exit_code) == ("x\n", 4)
    assert reading.process is not None
    assert (reading.pid, reading.process.pid) == (pid, pid)
    assert (reading.process.state, reading.process.tracer_pid) == ("S", 0)
    assert reading.uptime_s is not None
    assert 0.0 < reading.uptime_s - reading.process.started_s < 60.0
    assert reading.lock_held is False
    assert reading.data_dirs == (DataDirFact(f"{folder}/data", True, True, True),)
    assert reading.log == ("98", "99", "100")
    assert reading.boot_id
    assert reading.clock_offset_s is not None
    assert "touched" not in await shell(host, f"ls {folder}")


async def a_frozen_process_shows_it(host: Host, folder: str) -> None:
    """SIGSTOP is state T; a pid of nobody is no process."""
    pid = await in_background(host, "exec sleep 60", f"{folder}/null")
    # The signal has been sent, and not yet taken, when kill returns.
    stops = f"until grep -q ') T ' /proc/{pid}/stat; do sleep 0.02; done"
    await shell(host, f"kill -STOP {pid}; {stops}")
    frozen = await look(host, commands=(Asked("s", ("echo", f"pid={pid}")),), pid_key="pid")
    await shell(host, f"kill -KILL {pid}")
    nobody = await look(host, commands=(Asked("s", ("echo", "pid=4194303")),), pid_key="pid")
    none = await look(host, commands=(Asked("s", ("echo", "pid=x")),), pid_key="pid")
    assert frozen.process is not None
    assert frozen.process.state == "T"
    assert (nobody.pid, nobody.process) == (4194303, None)
    assert (none.pid, none.process) == (0, None)


async def a_held_lock_is_seen(host: Host, folder: str) -> None:
    """A POSIX lock, as Kafka takes it, while its process lives; none without a file is no error."""
    await shell(host, f"mkdir {folder}/free {folder}/held; touch {folder}/free/.lock")
    await shell(host, f"touch {folder}/held/.lock")
    python = (await shell(host, "command -v python3 || true")).strip()
    held_by = f"exec {python} -c {_quoted(_LOCK)}" if python else "exec flock -x --no-fork"
    end = "" if python else " sh -c 'echo held; exec sleep 60'"
    pid = await in_background(host, f"{held_by} {folder}/held/.lock{end}", f"{folder}/said")
    for _ in range(100):
        if "held" in await shell(host, f"cat {folder}/said"):
            break
        await asyncio.sleep(0.1)
    held = await look(host, locks=(f"{folder}/free", f"{folder}/held"))
    await shell(host, f"kill -KILL {pid}; while [ -d /proc/{pid} ]; do sleep 0.1; done")
    free = await look(host, locks=(f"{folder}/free", f"{folder}/held", f"{folder}/nothing"))
    assert held.lock_held is True
    assert free.lock_held is False
    assert (await look(host)).lock_held is None


async def directories_are_told_apart(host: Host, folder: str) -> None:
    """With identity, without one, gone; one without it is never taken for the first seen."""
    await shell(host, f"mkdir {folder}/bare {folder}/zk; echo 1 >{folder}/zk/myid")
    await shell(host, f"mkdir -p {folder}/zk-log/version-2")
    paths = tuple(f"{folder}/{name}" for name in ("bare", "zk", "none", "zk-log"))
    first = await look(host, data_dirs=paths)
    await shell(host, f"rm -r {folder}/zk {folder}/zk-log")
    second = await look(host, data_dirs=paths)
    assert first.data_dirs == (
        DataDirFact(paths[0], None, False, True),
        DataDirFact(paths[1], True, True, True),
        DataDirFact(paths[2], None, False, False),
        DataDirFact(paths[3], True, False, True),
    )
    assert second.data_dirs is not None
    assert second.data_dirs[1] == DataDirFact(paths[1], False, False, False)
    assert second.data_dirs[3] == DataDirFact(paths[3], False, False, False)


async def disks_have_sizes(host: Host, folder: str) -> None:
    """Total and usable bytes of the file system of a directory; of a missing one nothing."""
    reading = await look(host, data_dirs=(folder, f"{folder}/none"))
    assert reading.disks is not None
    found, none = reading.disks
    assert found.total is not None
    assert found.usable is not None
    assert 0 <= found.usable <= found.total
    assert found.read_only is False
    assert (none.path, none.total, none.usable) == (f"{folder}/none", None, None)


async def a_reading_that_hangs_is_none_and_delays_no_other(host: Host, folder: str) -> None:
    """A directory that does not answer is unknown; all else comes, now and at the next look."""
    await shell(host, f"mkdir {folder}/dead {folder}/well; echo 1 >{folder}/well/myid")
    await shell(host, f"mkfifo {folder}/dead/meta.properties")
    paths = (f"{folder}/dead", f"{folder}/well")
    for _ in range(2):
        question = Question(
            commands=(Asked("status", ("echo", "well")),), data_dirs=paths, locks=paths
        )
        reading = await host.look(question, timeout_s=2.0)
        assert reading.commands["status"].stdout == "well\n"
        assert reading.lock_held is False
        assert reading.data_dirs is not None
        dead, well = reading.data_dirs
        assert (dead.readable, dead.same_device) == (None, None)
        assert well == DataDirFact(paths[1], True, True, True)
    # Whoever waits for it, and opens it once more, is let go.
    await shell(host, f"sleep 1 3<>{folder}/dead/meta.properties")


async def a_command_that_hangs_is_timed_out(host: Host, folder: str) -> None:
    """The look ends in its time and says which command did not."""
    question = Question(
        commands=(Asked("status", ("sleep", "3")), Asked("after", ("echo", "x"))),
        log_file="/etc/passwd",
    )
    reading = await host.look(question, timeout_s=1.5)
    assert reading.commands["status"].outcome is CommandOutcome.TIMED_OUT
    assert "after" not in reading.commands
    assert reading.boot_id


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


ROWS: tuple[Row, ...] = (
    words_arrive_as_they_are,
    environment_arrives,
    endings_are_told_apart,
    a_command_at_its_limit_is_killed_with_its_children,
    a_start_at_its_limit_is_left_running,
    what_a_start_leaves_behind_outlives_it,
    output_is_capped,
    one_look_brings_all,
    a_frozen_process_shows_it,
    a_held_lock_is_seen,
    directories_are_told_apart,
    disks_have_sizes,
    a_reading_that_hangs_is_none_and_delays_no_other,
    a_command_that_hangs_is_timed_out,
)
