"""Small JVMs with Java's own JMX agent in every state of security, for tests of the client."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, pkcs12
from tests.integration.clusters.pki import Authority, Issued

SOURCES: Final = Path(__file__).parent / "java"
STORE_PASSWORD: Final = "store-S3cret"
MONITOR: Final = ("monitor", "monitor-S3cret")
"""May read."""
STRANGER: Final = ("stranger", "stranger-S3cret")
"""May log in, no more."""
_HERE: Final = "127.0.0.1"
_AGENT: Final = "com.sun.management.jmxremote"
_ATTEMPTS: Final = 3


def compiled(name: str, into: Path) -> list[str]:
    """Compile a program of tests/integration/java and return the command that runs it.

    Skips the test where there is no javac: a Java that only runs programs is enough for all else.
    """
    javac = shutil.which("javac")
    if javac is None:
        pytest.skip("no javac on this machine: install a JDK (17 or newer) to run this test")
    subprocess.run([javac, "-d", into, SOURCES / f"{name}.java"], check=True, timeout=120)
    return [str(Path(javac).with_name("java")), "-cp", str(into), name]


@dataclass
class Agent:
    """A JVM. `port`: of its registry; `rmi_port`: of its JMX server."""

    command: Sequence[str]
    options: Mapping[str, str]
    same_port: bool = True
    port: int = 0
    rmi_port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it on free ports (the ones before, if there were any); wait until it listens."""
        again = self.port != 0
        for _ in range(_ATTEMPTS):
            if not again:
                self.port, other = _free_ports()
                self.rmi_port = self.port if self.same_port else other
            complaint = self._start()
            if not complaint:
                return
            if "Port already in use" not in complaint:
                break
        pytest.fail(f"the JVM did not start: {complaint[:2000]}")

    def _start(self) -> str:
        ports = {"port": str(self.port), "rmi.port": str(self.rmi_port), "host": _HERE}
        flags = [f"-D{_AGENT}.{name}={value}" for name, value in {**ports, **self.options}.items()]
        # The JVM believes in an address that nobody answers at, as in many containers.
        flags.append("-Djava.rmi.server.hostname=192.0.2.1")
        java, *rest = self.command
        command = [java, "-Xmx48m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *flags, *rest]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() == b"ready":
            return ""
        _, complaint = self._process.communicate()
        return complaint.decode(errors="replace") or "it said nothing"

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; return from SIGSTOP when all its threads have stopped."""
        assert self._process is not None
        self._process.send_signal(number)
        if number is signal.SIGSTOP:
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def kill(self) -> None:
        """Kill it as `kill -9` does, whatever state it is in."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _free_ports() -> tuple[int, int]:
    with socket.create_server((_HERE, 0)) as one, socket.create_server((_HERE, 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


@dataclass(frozen=True, slots=True)
class Files:
    """Certificates, stores, password and access file in one folder."""

    folder: Path
    ours: Authority
    foreign: Authority

    @classmethod
    def make(cls, folder: Path) -> Files:
        """Write what all agents share."""
        made = cls(folder, Authority("our authority"), Authority("another authority"))
        made.set_users("jmx.users", MONITOR, STRANGER)
        made._secret("jmx.access", f"{MONITOR[0]} readonly\n")
        guard = BestAvailableEncryption(STORE_PASSWORD.encode())
        trusted = pkcs12.PKCS12Certificate(made.ours.certificate, b"ours")
        store = pkcs12.serialize_java_truststore([trusted], guard)
        (folder / "trust.p12").write_bytes(store)
        for name, authority in (("ours", made.ours), ("foreign", made.foreign)):
            (folder / f"{name}-client.pem").write_bytes(authority.issue("healer").pem())
            pem = authority.certificate.public_bytes(Encoding.PEM)
            (folder / f"{name}-ca.pem").write_bytes(pem)
        return made

    def path(self, name: str) -> Path:
        """Return the path of a file."""
        return self.folder / name

    def set_users(self, name: str, *users: tuple[str, str]) -> None:
        """Write a password file."""
        self._secret(name, "".join(f"{user} {password}\n" for user, password in users))

    def login(self, users: str = "jmx.users") -> dict[str, str]:
        """Return the options of an agent that wants a password."""
        return {
            "authenticate": "true",
            "password.file": str(self.path(users)),
            "access.file": str(self.path("jmx.access")),
        }

    def tls(self, name: str, served: Issued) -> dict[str, str]:
        """Return the options of an agent that serves a certificate; registry and server alike."""
        store, lines = self.path(f"{name}.p12"), {}
        store.write_bytes(served.pkcs12(STORE_PASSWORD))
        for kind, path in (("keyStore", store), ("trustStore", self.path("trust.p12"))):
            lines[kind] = str(path)
            lines[f"{kind}Type"] = "PKCS12"
            lines[f"{kind}Password"] = STORE_PASSWORD
        text = "".join(f"javax.net.ssl.{key}={value}\n" for key, value in lines.items())
        config = self._secret(f"{name}.tls", text)
        return {"ssl": "true", "registry.ssl": "true", "ssl.config.file": str(config)}

    def _secret(self, name: str, text: str) -> Path:
        path = self.path(name)
        path.touch(mode=0o600)
        path.write_text(text, encoding="ascii")
        return path


class Agents:
    """The agents of a module, each started when it is first asked for."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self.files = Files.make(folder)
        self._command = command
        self._running: dict[str, Agent] = {}
        self._end = ExitStack()

    def agent(self, name: str) -> Agent:
        """Return a running agent: see `_options`."""
        if name not in self._running:
            plain_registry = name == "plain registry"
            made = Agent(self._command, self._options(name), same_port=not plain_registry)
            self._end.callback(made.kill)
            made.start()
            self._running[name] = made
        return self._running[name]

    def close(self) -> None:
        """End all."""
        self._end.close()

    def _options(self, name: str) -> dict[str, str]:
        files, ours = self.files, self.files.ours
        open_to_all = {"authenticate": "false", "ssl": "false"}
        match name:
            case "rotated":
                files.set_users("rotated.users", MONITOR)
                return files.login("rotated.users") | {"ssl": "false"}
            case "plain":
                return files.login() | {"ssl": "false"}
            case "open":
                return open_to_all
            case "guarded" | "lost" | "held":
                return files.login() | files.tls(name, ours.issue("jvm"))
            case "plain registry":
                tls = files.tls(name, ours.issue("jvm"))
                return files.login() | tls | {"registry.ssl": "false"}
            case "mutual":
                tls = files.tls(name, ours.issue("jvm"))
                return files.login() | tls | {"ssl.need.client.auth": "true"}
            case "expired":
                return files.login() | files.tls(name, ours.issue("jvm", days=(-30, -1)))
            case "other host":
                return files.login() | files.tls(name, ours.issue("jvm", hosts=("other.test",)))
            case _:
                raise AssertionError(name)
