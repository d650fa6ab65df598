"""Four-letter words, the AdminServer and TLS against a real ensemble, right and wrongly set."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.clusters.zookeeper import MEMBERS, ZooKeeperCluster

from kafka_self_healing.wire.tls import TlsFiles, TlsSettings
from kafka_self_healing.wire.zookeeper import (
    Endpoint,
    ZooKeeperError,
    admin_monitor,
    admin_ruok,
    admin_srvr,
    conf,
    mntr,
    registered_brokers,
    ruok,
    srvr,
)

pytestmark = [pytest.mark.cluster, pytest.mark.heavy]

TIMEOUT_S = 20.0
"""No measure of ours: how long a machine may be busy with other things."""

SILENT_S = 2.0
WRONG_S = 8.0
"""Half of it is waited for a first byte where the way is wrong."""
UP_LIMIT_S = 60.0


def at(cluster: ZooKeeperCluster, member: str, port: str = "CLIENT", **tls: Any) -> Endpoint:
    """Return a port of a member; TLS if its files are given."""
    files: dict[str, Any] = {name: str(path) for name, path in tls.items()}
    return Endpoint(
        *cluster.servers[member].address(port),
        tls=TlsFiles(TlsSettings(**files)) if files else None,
    )


async def test_every_member_tells_its_mode(zookeeper_cluster: ZooKeeperCluster) -> None:
    """`srvr`, which every member allows, names one leader and two followers of version 3.8.4."""
    replies = [await srvr(at(zookeeper_cluster, member), timeout_s=TIMEOUT_S) for member in MEMBERS]
    assert sorted(str(reply.mode) for reply in replies) == ["follower", "follower", "leader"]
    assert {reply.version for reply in replies} == {"3.8.4"}
    assert all(reply.serving for reply in replies)


async def test_words_of_the_whitelist_are_answered(zookeeper_cluster: ZooKeeperCluster) -> None:
    """Members that allow them answer ruok, mntr and conf; the numbers are those of the cluster."""
    member = at(zookeeper_cluster, "zk1")
    assert await ruok(member, timeout_s=TIMEOUT_S)
    numbers = await mntr(member, timeout_s=TIMEOUT_S)
    assert numbers.values["znode_count"] > 20
    assert (await conf(member, timeout_s=TIMEOUT_S)).server_id == 1


async def test_the_default_whitelist_is_named(zookeeper_cluster: ZooKeeperCluster) -> None:
    """A member as it comes out of the box refuses ruok; the message says what to set."""
    with pytest.raises(ZooKeeperError, match=r"4lw\.commands\.whitelist") as told:
        await ruok(at(zookeeper_cluster, "zk3"), timeout_s=TIMEOUT_S)
    assert told.value.outcome == "authorisation"


async def test_words_go_through_tls(zookeeper_cluster: ZooKeeperCluster) -> None:
    """The TLS ports answer as the plain ones do, with a client certificate where one is wanted."""
    pki = zookeeper_cluster.pki
    plain = await srvr(at(zookeeper_cluster, "zk1"), timeout_s=TIMEOUT_S)
    secured = at(zookeeper_cluster, "zk1", "TLS", ca_file=pki.ca)
    mutual = at(zookeeper_cluster, "zk2", "TLS", ca_file=pki.ca, cert_file=pki.healer)
    assert (await srvr(secured, timeout_s=TIMEOUT_S)).mode == plain.mode
    assert await ruok(mutual, timeout_s=TIMEOUT_S)


async def test_the_admin_server_tells_the_same(zookeeper_cluster: ZooKeeperCluster) -> None:
    """The AdminServer says what the words say."""
    admin, words = at(zookeeper_cluster, "zk1", "ADMIN"), at(zookeeper_cluster, "zk1")
    assert await admin_ruok(admin, timeout_s=TIMEOUT_S)
    told = await admin_srvr(admin, timeout_s=TIMEOUT_S)
    said = await srvr(words, timeout_s=TIMEOUT_S)
    assert (told.mode, told.version, told.node_count) == (said.mode, said.version, said.node_count)
    assert (await admin_monitor(admin, timeout_s=TIMEOUT_S)).mode == said.mode


WRONGS: dict[str, tuple[str, str, dict[str, str], set[str], str]] = {
    "plain client, TLS port": ("zk1", "TLS", {}, {"tls"}, "wants TLS"),
    "TLS client, plain port": ("zk1", "CLIENT", {"ca_file": "ca"}, {"tls", "closed"}, "TLS"),
    "our authority is another": (
        "zk1",
        "TLS",
        {"ca_file": "foreign_ca"},
        {"tls"},
        "tls.ca_file",
    ),
    "no client certificate": (
        "zk2",
        "TLS",
        {"ca_file": "ca"},
        {"tls", "closed"},
        "client certificate",
    ),
    "foreign client certificate": (
        "zk2",
        "TLS",
        {"ca_file": "ca", "cert_file": "foreign"},
        {"tls", "closed"},
        "certificate",
    ),
    "words at the AdminServer": ("zk1", "ADMIN", {}, {"protocol", "closed", "timed_out"}, ""),
}


@pytest.mark.parametrize(
    ("member", "port", "files", "outcomes", "words"), WRONGS.values(), ids=WRONGS
)
async def test_every_wrong_setting_is_named(
    zookeeper_cluster: ZooKeeperCluster,
    member: str,
    port: str,
    files: dict[str, str],
    outcomes: set[str],
    words: str,
) -> None:
    """A wrong setting of ours is told as what it is."""
    paths = {name: getattr(zookeeper_cluster.pki, which) for name, which in files.items()}
    endpoint = at(zookeeper_cluster, member, port, **paths)
    with pytest.raises(ZooKeeperError) as told:
        await srvr(endpoint, timeout_s=WRONG_S)
    assert told.value.outcome in outcomes, told.value
    assert words in str(told.value)


async def test_the_registered_brokers_are_read(zookeeper_cluster: ZooKeeperCluster) -> None:
    """Below /brokers/ids stand the three brokers: what a start after a crash must wait for."""
    member = at(zookeeper_cluster, "zk3")
    ids = await asyncio.to_thread(registered_brokers, member, timeout_s=TIMEOUT_S)
    assert set(ids) == {"1", "2", "3"}


@pytest.fixture
def stopped(zookeeper_cluster: ZooKeeperCluster) -> Iterator[ZooKeeperCluster]:
    """The ensemble while the process of zk2 is held; whole again afterwards."""
    zookeeper_cluster.fault("zk2", "STOP")
    yield zookeeper_cluster
    zookeeper_cluster.mend(timeout_s=UP_LIMIT_S)


async def test_a_hang_is_timed_out(stopped: ZooKeeperCluster) -> None:
    """A held member is silent on the plain port and behind TLS, and that is no TLS error."""
    pki = stopped.pki
    ways = [
        at(stopped, "zk2"),
        at(stopped, "zk2", "TLS", ca_file=pki.ca, cert_file=pki.healer),
    ]
    told = await asyncio.gather(
        *(srvr(way, timeout_s=SILENT_S) for way in ways), return_exceptions=True
    )
    assert [getattr(error, "outcome", error) for error in told] == ["timed_out", "timed_out"]


async def test_a_lost_ensemble_is_said_by_the_survivor(
    zookeeper_cluster: ZooKeeperCluster,
) -> None:
    """With two members dead the third still says imok, and that it serves nobody."""
    survivor = at(zookeeper_cluster, "zk1")
    try:
        for member in ("zk2", "zk3"):
            zookeeper_cluster.fault(member, "KILL")
        async with asyncio.timeout(UP_LIMIT_S):
            while (await srvr(survivor, timeout_s=TIMEOUT_S)).serving:
                await asyncio.sleep(0.2)
        assert await ruok(survivor, timeout_s=TIMEOUT_S)
        admin = at(zookeeper_cluster, "zk1", "ADMIN")
        assert not (await admin_srvr(admin, timeout_s=TIMEOUT_S)).serving
    finally:
        await asyncio.to_thread(zookeeper_cluster.mend, timeout_s=UP_LIMIT_S)
