"""Real clusters for the integration tests: two for the session, and fresh ones for who breaks them.

`cluster` (plain) and `secured_cluster` live for the session: leave them whole. The others live for
one module, and tests that use them are marked heavy. All end with us, however we end: their
supervisors see to it. Nothing is skipped: without the jars or a Java a test fails with the words
that say what to do.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

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
LARGE_HEAP_MIB = 192

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


@pytest.fixture(scope="module")
def separate_cluster(
    tmp_path_factory: pytest.TempPathFactory, kafka_jars: list[Path], java: Java
) -> Iterator[RealCluster]:
    """Three brokers and three controllers in processes of their own."""
    made = lay_out_separate(tmp_path_factory.mktemp("separate"), Program(java, kafka_jars))
    with made:
        made.start_all()
        made.wait_whole(timeout_s=UP_LIMIT_S)
        with made.admin() as admin:
            admin.create_topics({"orders": {"num_partitions": 3, "replication_factor": 3}})
        made.wait_whole(timeout_s=UP_LIMIT_S)
        yield made


@pytest.fixture(scope="module")
def zookeeper_cluster(
    tmp_path_factory: pytest.TempPathFactory, java: Java
) -> Iterator[ZooKeeperCluster]:
    """Three brokers of Kafka 3.9.2 in ZooKeeper mode, and their ensemble."""
    jars = listed_jars(ZOOKEEPER_JARS, PlainProgress(io.StringIO()))
    made = lay_out_zookeeper(tmp_path_factory.mktemp("zookeeper"), Program(java, jars))
    with made:
        made.start_all()
        made.wait_whole(timeout_s=UP_LIMIT_S)
        with made.admin() as admin:
            admin.create_topics({"orders": {"num_partitions": 3, "replication_factor": 3}})
        made.wait_whole(timeout_s=UP_LIMIT_S)
        yield made


@pytest.fixture(scope="module")
def large_cluster(
    tmp_path_factory: pytest.TempPathFactory, kafka_jars: list[Path], java: Java
) -> Iterator[RealCluster]:
    """Five brokers, three controllers, 2,000 partitions, one of which is being moved."""
    program = Program(java, kafka_jars, heap_mib=LARGE_HEAP_MIB)
    made = lay_out_large(tmp_path_factory.mktemp("large"), program)
    with made:
        made.start_all()
        made.wait_whole(timeout_s=UP_LIMIT_S)
        fill(made)
        yield made
