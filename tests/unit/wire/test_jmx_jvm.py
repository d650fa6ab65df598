"""The client against a real JVM, which is killed and started again under it."""

from __future__ import annotations

import math
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kafka_self_healing.wire.jmx import JmxClient, JmxConnectError, JmxNotFound, ObjectName

_PROGRAM = """
public class Idle {
    public static void main(String[] arguments) throws Exception {
        System.out.println("ready");
        while (System.in.read() != -1) { }
    }
}
"""
_RUNTIME = "java.lang:type=Runtime"


class Jvm:
    """A small program with a JMX agent. It ends when the test's end of its pipe is closed."""

    def __init__(self, source: Path, port: int) -> None:
        agent = "-Dcom.sun.management.jmxremote"
        self._command = [
            *("java", "-Xmx64m", "-XX:+UseSerialGC", f"{agent}.port={port}"),
            *(f"{agent}.rmi.port={port}", f"{agent}.host=127.0.0.1"),
            # The JVM believes in an address that nobody answers at, as in many containers.
            "-Djava.rmi.server.hostname=192.0.2.1",
            *(f"{agent}.authenticate=false", f"{agent}.ssl=false", str(source)),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> int:
        """Start it, wait until the agent listens, and return the process id."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != b"ready":
            _, complaint = self._process.communicate()
            pytest.fail(f"the JVM did not start: {complaint.decode(errors='replace')[:2000]}")
        return self._process.pid

    def kill(self) -> None:
        """Kill it as `kill -9` does."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _can_run_source() -> bool:
    if shutil.which("java") is None:
        return False
    modules = subprocess.run(["java", "--list-modules"], capture_output=True, check=False)
    return b"jdk.compiler@" in modules.stdout and b"jdk.management.agent@" in modules.stdout


@pytest.fixture
def jvm_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def jvm(tmp_path: Path, jvm_port: int) -> Iterator[Jvm]:
    """Return a JVM that is not started yet, and is ended after the test."""
    if not _can_run_source():
        pytest.skip("needs a JDK that runs source files (modules jdk.compiler, management.agent)")
    source = tmp_path / "Idle.java"
    source.write_text(_PROGRAM)
    made = Jvm(source, jvm_port)
    yield made
    made.kill()


async def test_a_jvm_is_read_and_found_again_after_a_kill(jvm: Jvm, jvm_port: int) -> None:
    """Reads, searches and misses on a real agent; kill -9 refuses; a restart is one new login."""
    first_pid = jvm.start()
    client = JmxClient("127.0.0.1", jvm_port, timeout_s=20)
    runtime, memory, missing = await client.read(
        [
            (_RUNTIME, ["Pid", "VmName", "NoSuchAttribute", "ObjectName"]),
            ("java.lang:type=Memory", ["HeapMemoryUsage"]),
            ("kafka.server:type=KafkaServer,name=BrokerState", ["Value"]),
        ]
    )
    assert isinstance(runtime, dict)
    assert runtime.keys() == {"Pid", "VmName", "ObjectName"}
    assert runtime["Pid"] == first_pid
    assert runtime["ObjectName"] == ObjectName(_RUNTIME)
    assert isinstance(memory, dict)
    heap = memory["HeapMemoryUsage"]
    assert isinstance(heap, dict)
    assert heap.keys() == {"init", "used", "committed", "max"}
    assert isinstance(missing, JmxNotFound)
    assert _RUNTIME in await client.query("java.lang:*")

    jvm.kill()
    with pytest.raises(JmxConnectError) as caught:
        await client.read([(_RUNTIME, ["Pid"])])
    assert caught.value.outcome == "refused"

    second_pid = jvm.start()
    assert await client.read([(_RUNTIME, ["Pid"])]) == [{"Pid": second_pid}]
    assert client.logins == 2
    (system,) = await client.read([("java.lang:type=OperatingSystem", ["SystemLoadAverage"])])
    assert isinstance(system, dict)
    load = system["SystemLoadAverage"]
    assert isinstance(load, float)
    assert math.isfinite(load)
    await client.close()


async def test_a_jvm_accepts_every_name_that_we_accept(jvm: Jvm, jvm_port: int) -> None:
    """Names at the edges of our grammar do not make the server hang up."""
    jvm.start()
    client = JmxClient("127.0.0.1", jvm_port, timeout_s=20)
    names = ("d:k=", ":k=v", 'd:k="a,b=c:d\\*\\n"', "d:k=a b, x =y", "d:k=a/b'c\\", "d:k=é𝄞\0")
    for name in names:
        (result,) = await client.read([(name, ["a"])])
        assert isinstance(result, JmxNotFound)
    for pattern in ("d*:k=v", "d:*", "d:k=v,*", "d:*,k=v", 'd:k="a*"', "d:k=a\\*", "?:k=v"):
        assert await client.query(pattern) == []
    assert client.logins == 1
    await client.close()
