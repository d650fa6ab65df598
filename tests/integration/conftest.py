"""Real clusters for the integration tests: one for the session, and fresh ones for who breaks them.

Nothing is skipped: without the jars or a Java a test fails with the words that say what to do.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kafka_self_healing.demo.cluster import EmbeddedCluster
from kafka_self_healing.demo.jars import JarFetcher, pinned_jars
from kafka_self_healing.demo.java import Java, find_java
from kafka_self_healing.demo.layout import ClusterSettings
from kafka_self_healing.demo.progress import PlainProgress

UP_LIMIT_S = 90.0

MakeCluster = Callable[[ClusterSettings | None], EmbeddedCluster]


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
