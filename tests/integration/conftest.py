"""Real clusters for the integration tests: two for the session, and fresh ones for who breaks them.

`cluster` (plain) and `secured_cluster` live for the session: leave them whole. So do the larger
ones of `STAGED`, but only one of them runs at a time: tests that use them are marked heavy, and
come last, one cluster after the other. All end with us, however we end: their supervisors see to
it. Nothing is skipped: without the jars or a Java a test fails with the words that say what to do.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar, cast

import pytest
from tests.integration.clusters.kraft import separate_cluster as lay_out_separate
from tests.integration.clusters.large import fill, large_cluster as lay_out_large
from tests.integration.clusters.secured import (
    SecuredCluster,
    Wrongs,
    secured_cluster as lay_out_secured,
)
from tests.integration.clusters.servers import Program, RealCluster, listed_jars
from tests.integration.clusters.zookeeper import (
    JARS as ZOOKEEPER_JARS,
    ZooKeeperCluster,
    zookeeper_cluster as lay_out_zookeeper,
)

from kafka_self_healing.demo.cluster import EmbeddedCluster
from kafka_self_healing.demo.jars import JarFetcher, pinned_jars
from kafka_self_healing.demo.java import Java, find_java
from kafka_self_healing.demo.layout import ClusterSettings
from kafka_self_healing.demo.progress import PlainProgress

UP_LIMIT_S = 90.0
STAGED = ("separate_cluster", "zookeeper_cluster", "large_cluster")
LARGE_HEAP_MIB = 192

Staged = TypeVar("Staged", bound=RealCluster)
MakeCluster = Callable[[ClusterSettings | None], EmbeddedCluster]
MakeSecured = Callable[[Wrongs], SecuredCluster]


@pytest.fixture(scope="session")
def kafka_jars() -> list[Path]:
    """The pinned jars, from the cache or from the repository."""
    return JarFetcher().fetch(pinned_jars(), PlainProgress(io.StringIO()))


@pytest.fixture(scope="session")
def java() -> Java:
    """A Java of this machine, or of the package."""
    return find_java()


@pytest.fixture(scope="session")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, kafka_jars: list[Path], java: Java
) -> Iterator[EmbeddedCluster]:
    """The session's cluster (session timeout 3 s): leave it whole, as you found it."""
    made = EmbeddedCluster.prepare(
        tmp_path_factory.mktemp("cluster"), ClusterSettings(), java=java, jars=kafka_jars
    )
    with made:
        made.start_all()
        made.wait_whole(timeout_s=UP_LIMIT_S)
        yield made


@pytest.fixture(scope="module")
def make_cluster(
    tmp_path_factory: pytest.TempPathFactory, kafka_jars: list[Path], java: Java
) -> Iterator[MakeCluster]:
    """Make a fresh, whole cluster of given `ClusterSettings`; all are ended with the module."""
    made: list[EmbeddedCluster] = []

    def make(settings: ClusterSettings | None) -> EmbeddedCluster:
        fresh = EmbeddedCluster.prepare(
            tmp_path_factory.mktemp("fresh"),
            settings or ClusterSettings(),
            java=java,
            jars=kafka_jars,
        )
        made.append(fresh)
        fresh.open()
        fresh.start_all()
        fresh.wait_whole(timeout_s=UP_LIMIT_S)
        return fresh

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def secured_program(kafka_jars: list[Path], java: Java) -> Program:
    """What a secured node is started with: also the jar that checks tokens."""
    extra = listed_jars("jars-oauth.json", PlainProgress(io.StringIO()))
    return Program(java, [*kafka_jars, *extra])


@pytest.fixture(scope="session")
def secured_cluster(
    tmp_path_factory: pytest.TempPathFactory, secured_program: Program
) -> Iterator[SecuredCluster]:
    """The session's secured cluster, with topic `orders`: leave it whole, as you found it."""
    made = lay_out_secured(tmp_path_factory.mktemp("secured"), secured_program)
    with made:
        made.start_all()
        made.wait_whole(timeout_s=UP_LIMIT_S)
        made.grant()
        with made.admin("SCRAM") as admin:
            admin.create_topics({"orders": {"num_partitions": 3, "replication_factor": 3}})
        made.wait_whole(timeout_s=UP_LIMIT_S)
        yield made


@pytest.fixture(scope="module")
def make_secured(
    tmp_path_factory: pytest.TempPathFactory, secured_program: Program
) -> Iterator[MakeSecured]:
    """Make a fresh secured cluster whose node 3 has `Wrongs`; nothing of it is started yet."""
    made: list[SecuredCluster] = []

    def make(wrongs: Wrongs) -> SecuredCluster:
        for before in made:
            before.close()  # two of them at once would only take each other's time
        fresh = lay_out_secured(tmp_path_factory.mktemp("broken"), secured_program, wrongs)
        made.append(fresh)
        fresh.open()
        return fresh

    yield make
    for one in made:
        one.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what needs a cluster of `STAGED` last, all tests of one of them together."""

    def place(item: pytest.Item) -> int:
        names = getattr(item, "fixturenames", ())
        return next((number for number, one in enumerate(STAGED, 1) if one in names), 0)

    items.sort(key=place)


class Arena:
    """Holds one cluster, until another one is wanted."""

    def __init__(self) -> None:
        self._held: RealCluster | None = None
        self._name = ""

    def take(
        self, name: str, prepare: Callable[[], Staged], fill_it: Callable[[Staged], None]
    ) -> Staged:
        """Return the cluster of that name; a new one is whole, and filled."""
        if self._name != name:
            self.close()
            self._held = made = prepare()
            made.open()
            made.start_all()
            made.wait_whole(timeout_s=UP_LIMIT_S)
            fill_it(made)
            self._name = name
        return cast("Staged", self._held)

    def close(self) -> None:
        """End the one that is held."""
        if self._held is not None:
            self._held.close()
        self._held, self._name = None, ""


@pytest.fixture(scope="session")
def arena() -> Iterator[Arena]:
    """The place of the clusters of `STAGED`."""
    made = Arena()
    yield made
    made.close()


@pytest.fixture
def separate_cluster(
    arena: Arena, tmp_path_factory: pytest.TempPathFactory, kafka_jars: list[Path], java: Java
) -> RealCluster:
    """Three brokers and three controllers in processes of their own: leave it whole."""

    def prepare() -> RealCluster:
        return lay_out_separate(tmp_path_factory.mktemp("separate"), Program(java, kafka_jars))

    return arena.take("separate", prepare, _orders)


@pytest.fixture
def zookeeper_cluster(
    arena: Arena, tmp_path_factory: pytest.TempPathFactory, java: Java
) -> ZooKeeperCluster:
    """Three brokers of Kafka 3.9.2 in ZooKeeper mode, and their ensemble: leave it whole."""

    def prepare() -> ZooKeeperCluster:
        jars = listed_jars(ZOOKEEPER_JARS, PlainProgress(io.StringIO()))
        return lay_out_zookeeper(tmp_path_factory.mktemp("zookeeper"), Program(java, jars))

    return arena.take("zookeeper", prepare, _orders)


def _orders(made: RealCluster) -> None:
    with made.admin() as admin:
        admin.create_topics({"orders": {"num_partitions": 3, "replication_factor": 3}})
    made.wait_whole(timeout_s=UP_LIMIT_S)


@pytest.fixture
def large_cluster(
    arena: Arena, tmp_path_factory: pytest.TempPathFactory, kafka_jars: list[Path], java: Java
) -> RealCluster:
    """Five brokers, three controllers, 2,000 partitions, one of which is being moved."""

    def prepare() -> RealCluster:
        program = Program(java, kafka_jars, heap_mib=LARGE_HEAP_MIB)
        return lay_out_large(tmp_path_factory.mktemp("large"), program)

    return arena.take("large", prepare, fill)
