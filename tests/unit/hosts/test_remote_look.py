"""The text of a look at another host: what is asked, and that no answer can do harm."""

from __future__ import annotations

from hypothesis import given, strategies as st

from kafka_self_healing.hosts.data_dirs import KnownDevices
from kafka_self_healing.hosts.host import Asked, Question, Reading
from kafka_self_healing.hosts.remote_look import (
    error_of,
    read_answer,
    read_hanging,
    to_reading,
    write_look,
)

NONCE = "0123456789abcdef"
QUESTION = Question(
    commands=(Asked("status", ("status",)), Asked("more", ("more",), unless=("x",))),
    pid_key="pid",
    locks=("/a", "/b"),
    data_dirs=("/a", "/b"),
    log_file="/log",
)
FIRST_WORDS = (
    "clock", "boot", "uptime", "pid", "stat", "tracer", "fetched", "out 0", "out 1", "exit 0",
    "exit 1", "lock 0 file", "lock 0 line", "lock 0 read", "lock 1 fault", "dir 0 device",
    "dir 0 fault", "dir 0 identity", "dir 0 read", "dir 0 space", "dir 0 mount", "dir 1 device",
    "log line", "log read", "log fault", "part", "busy", "done", "end", "",
)  # fmt: skip
LINES = st.lists(st.tuples(st.sampled_from(FIRST_WORDS), st.text(max_size=60)), max_size=40)


def read(text: str) -> Reading:
    """Return the reading of an answer."""
    return to_reading(
        QUESTION,
        read_answer(text.encode("utf-8", "surrogatepass"), NONCE),
        KnownDevices(),
        span=(1.0, 2.0),
        clock_at=100.0,
        stderr="",
    )


@given(LINES)
def test_any_answer_is_a_reading(lines: list[tuple[str, str]]) -> None:
    """Whatever stands behind the words that we know, nothing raises."""
    text = "\n".join(f"@{NONCE} {word} {rest}" for word, rest in lines)
    reading = read(text)
    assert reading.here
    assert len(reading.data_dirs or ()) == 2
    answer = read_answer(text.encode("utf-8", "surrogatepass"), NONCE)
    assert all(pid.isdecimal() for pid, _ in read_hanging(answer, {}).values())


@given(st.binary(max_size=400))
def test_bytes_without_the_nonce_say_nothing(data: bytes) -> None:
    """The noise of a login, or a forged answer, is no part of it."""
    answer = read_answer(data, NONCE)
    assert not answer.lines


def test_a_line_of_a_log_cannot_forge_a_reading() -> None:
    """Only the nonce of this look opens a line."""
    reading = read(
        f"@{NONCE} log line @{NONCE} pid 1\n@{NONCE} log line \n@{NONCE} log read\n@ffff pid 2\n"
    )
    assert reading.log == (f"@{NONCE} pid 1", "")
    assert reading.pid is None


def test_what_an_answer_says() -> None:
    """The readings of one full answer."""
    stat = "4 (a b) c) T " + " ".join(["0"] * 18) + " 250 0 0"
    reading = read(
        "\n".join(
            f"@{NONCE} {line}"
            for line in (
                "clock 101.5",
                "boot b-1",
                "uptime 9.25",
                "out 0 x",
                "out 0 pid=4",
                "exit 0 137",
                "pid 4",
                f"stat {stat}",
                "tracer 7",
                "fetched 4096",
                "lock 0 file 2049 12 ext2/ext3",
                "lock 0 line 3: POSIX  ADVISORY  WRITE 4 08:01:12 0 EOF",
                "lock 0 read",
                "dir 0 device 2049",
                "dir 0 identity",
                "dir 0 read",
                "dir 0 space /dev/sda1 1000 400 600 40% /a",
                "dir 0 mount 20 1 8:1 / /a rw - ext4 /dev/sda1 rw,emergency_ro",
                "dir 1 fault stat: cannot statx '/b': Input/output error",
            )
        )
    )
    assert (reading.clock_offset_s, reading.boot_id, reading.uptime_s) == (1.5, "b-1", 9.25)
    status = reading.commands["status"]
    assert (status.stdout, status.exit_code, status.signal) == ("x\npid=4\n", 137, 9)
    assert set(reading.commands) == {"status"}
    process = reading.process
    assert process is not None
    assert (process.state, process.tracer_pid, process.read_bytes) == ("T", 7, 4096)
    assert process.started_s == 2.5
    assert reading.lock_held is True
    assert reading.data_dirs is not None
    assert [one.readable for one in reading.data_dirs] == [True, False]
    assert reading.disks is not None
    disk = reading.disks[0]
    assert (disk.total, disk.usable, disk.read_only) == (1000 * 1024, 600 * 1024, True)
    assert reading.log is None


def test_messages_are_known_by_their_words() -> None:
    """As libc says them; what is not known says nothing about the disk."""
    assert error_of("dd: error reading 'x': Input/output error").errno == 5
    assert error_of("ls: cannot access '/x': No such file or directory").errno == 2
    assert error_of("surprise").errno not in {2, 5}


def test_a_path_with_odd_characters_stays_one_word() -> None:
    """Paths and arguments are quoted in the script; a hanging part is named by no path."""
    question = Question(
        commands=(Asked("s", ("a b", "$(c)")),), locks=("/x'; rm -rf /",), log_file="/l\ng"
    )
    hanging = {"lockffff": ("1", "2")}
    text = write_look(question, NONCE, 1.0, hanging).decode()
    assert "c0() { 'a b' '$(c)'; }" in text
    assert "lock 0 '/x'\"'\"'; rm -rf /'" in text
    assert "last '/l\ng' 50" in text
    assert "ffff" not in text
