"""`RealCluster`: the processes of a cluster of any layout, and the tests' own look at it."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kafka_self_healing.demo.jars import JarFetcher, read_jars
from kafka_self_healing.demo.java import Java
from kafka_self_healing.demo.kafka_client import kafka_module
from kafka_self_healing.demo.layout import HOST, free_ports, java_command
from kafka_self_healing.demo.node_process import NodeDefinition, write_definitions
from kafka_self_healing.demo.progress import Progress
from kafka_self_healing.demo.supervised import Supervised
from kafka_self_healing.demo.witness import Picture, ask_node
from kafka_self_healing.model.node import Role

JMX: Final = "JMX"
CONTROLLER: Final = "CONTROLLER"
COMBINED: Final = frozenset({Role.BROKER, Role.CONTROLLER})
_ASK_TIMEOUT_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Server:
    """One process: its node id, its roles, its ports by the names of their listeners, its files."""

    id: str
    roles: frozenset[Role]
    ports: Mapping[str, int]
    folder: Path

    @property
    def host(self) -> str:
        """Where all listen."""
        return HOST

    @property
    def is_broker(self) -> bool:
        """Whether it is listed in the metadata."""
        return Role.BROKER in self.roles

    @property
    def is_voter(self) -> bool:
        """Whether it is a KRaft controller."""
        return Role.CONTROLLER in self.roles

    @property
    def data_dir(self) -> Path:
        """Its data."""
        return self.folder / "data"

    @property
    def log_file(self) -> Path:
        """What it prints."""
        return self.folder / "server.log"

    @property
    def properties_file(self) -> Path:
        """Its configuration."""
        return self.folder / "server.properties"

    def address(self, listener: str) -> tuple[str, int]:
        """Return host and port of a listener."""
        return self.host, self.ports[listener]


@dataclass(frozen=True, slots=True)
class Program:
    """What every server of a cluster is started with: Java, jars, heap in MiB."""

    java: Java
    jars: Sequence[Path]
    heap_mib: int = 160

    def command(self, flags: Sequence[str] = ()) -> list[str]:
        """Return the beginning of a command line; the main class is to be added."""
        return java_command(self.java, self.jars, self.heap_mib, flags)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a server is planned as: its roles and the names of its listeners."""

    roles: frozenset[Role]
    listeners: Sequence[str]


def plan_servers(directory: Path, plans: Mapping[str, Plan]) -> dict[str, Server]:
    """Give each server its ports, one of them for JMX, and a folder that is not made yet."""
    ports = iter(free_ports(sum(len(plan.listeners) + 1 for plan in plans.values())))
    return {
        id_: Server(
            id_,
            plan.roles,
            {listener: next(ports) for listener in (*plan.listeners, JMX)},
            directory / f"node-{id_}",
        )
        for id_, plan in plans.items()
    }


def write_servers(
    directory: Path, servers: Mapping[str, Server], lines: Mapping[str, Sequence[str]]
) -> None:
    """Write how the supervisor starts each server: its command line by its id."""
    write_definitions(
        directory,
        {
            id_: NodeDefinition(tuple(line), str(servers[id_].folder), str(servers[id_].log_file))
            for id_, line in lines.items()
        },
    )


class RealCluster(Supervised):
    """A cluster under a supervisor. `look_at`: the listener that the tests' own looks use."""

    def __init__(
        self,
        directory: Path,
        servers: Mapping[str, Server],
        *,
        look_at: str,
        tls: ssl.SSLContext | None = None,
        login: Mapping[str, Any] | None = None,
    ) -> None:
        """Take `tls` for looks at the metadata and `login` for kafka-python's admin client."""
        super().__init__(directory)
        self.servers = dict(servers)
        self._look_at = look_at
        self._tls = tls
        self._login = dict(login or {})

    @property
    def brokers(self) -> list[Server]:
        """The brokers, in order."""
        return [server for server in self.servers.values() if server.is_broker]

    @property
    def voters(self) -> list[Server]:
        """The KRaft controllers, in order."""
        return [server for server in self.servers.values() if server.is_voter]

    def start_all(self, nodes: Iterable[str] | None = None) -> None:
        """Start these nodes, or all, in their order."""
        for node in nodes if nodes is not None else self.servers:
            self.start(node)

    def ask(self, node: str) -> Picture:
        """Return the cluster in the words of broker `node`. Raises OSError."""
        return ask_node(self.servers[node].address(self._look_at), _ASK_TIMEOUT_S, tls=self._tls)

    def is_whole(self) -> bool:
        """Return whether each broker lists all brokers, with every partition in sync."""
        everyone = frozenset(int(server.id) for server in self.brokers)
        return all(self.ask(server.id).is_whole(everyone) for server in self.brokers)

    def wait_whole(self, *, timeout_s: float) -> float:
        """Wait until the cluster is whole; return the seconds. Raises DemoError."""
        return self.wait_until(self.is_whole, "all brokers in sync", timeout_s=timeout_s)

    @contextmanager
    def admin(self, listener: str | None = None, **login: Any) -> Iterator[Any]:
        """Open kafka-python's admin client, as the administrator unless `login` says otherwise."""
        name = listener or self._look_at
        # Not those that are down: the client leaves a socket open for each that refuses.
        running = [one for one in self.brokers if self.status(one.id)["pid"]]
        asked = [one for one in running if name in one.ports]
        bootstrap = [f"{one.host}:{one.ports[name]}" for one in asked]
        settings = login or self._login
        made = kafka_module().KafkaAdminClient(bootstrap_servers=bootstrap, **settings)
        try:
            yield made
        finally:
            made.close()

    def mend(self, *, timeout_s: float) -> None:
        """Make the cluster whole again, whatever a test did to its processes."""
        for node in self.servers:
            if self.status(node)["pid"]:
                self.fault(node, "CONT")
        self.start_all()
        self.wait_whole(timeout_s=timeout_s)


def listed_jars(listing: str, progress: Progress) -> list[Path]:
    """Return the jars of a list of this package, from the cache or from the repository."""
    jars = read_jars((Path(__file__).parent / listing).read_text(encoding="utf-8"))
    return JarFetcher().fetch(jars, progress, title=listing)
