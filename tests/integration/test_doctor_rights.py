"""The doctor on the secured cluster: each right that the healer's user lacks is a line to add."""

from __future__ import annotations

import pytest
from tests.integration.clusters.inventory import Reach, by_scram, secured_inventory
from tests.integration.clusters.pki import Pki, make_pki
from tests.integration.clusters.secured import HEALER, READER, STRANGER, SecuredCluster

from kafka_self_healing.app import checks, reaching
from kafka_self_healing.clock import SystemClock
from kafka_self_healing.doctor.examination import Examination
from kafka_self_healing.doctor.finding import Finding, Level

pytestmark = pytest.mark.cluster


async def _examine(cluster: SecuredCluster, reach: Reach) -> list[Finding]:
    """Examine the cluster as the user of `reach`."""
    inventory, clock = secured_inventory(cluster, reach), SystemClock()
    async with reaching(inventory, clock) as ways:
        plugins = checks(ways.access)
        try:
            examination = Examination(inventory, plugins, ways.hosts, ways.access, clock)
            return [one async for one in examination.run()]
        finally:
            for plugin in plugins:
                await plugin.close()


def _problems(found: list[Finding]) -> str:
    return "\n".join(
        f"{one.about}: {one.what} → {one.remedy}" for one in found if one.level is Level.PROBLEM
    )


async def test_the_least_rights_are_enough(secured_cluster: SecuredCluster) -> None:
    """With what docs/secured-clusters.md asks for there is no problem."""
    found = await _examine(secured_cluster, by_scram(secured_cluster.pki))
    assert _problems(found) == ""
    assert any("6 roles of cluster" in one.what for one in found)


async def test_without_describe_configs_the_topics_are_named(
    secured_cluster: SecuredCluster,
) -> None:
    """A reader of metadata sees no min.insync.replicas, so no RESTART could be permitted."""
    told = _problems(await _examine(secured_cluster, by_scram(secured_cluster.pki, READER)))
    assert "min.insync.replicas of" in told
    assert f"--allow-principal User:{READER[0]}" in told
    assert "--operation DescribeConfigs" in told


async def test_without_any_right_the_healer_is_blind_not_content(
    secured_cluster: SecuredCluster,
) -> None:
    """No topics and no error is told as blindness, with the line that opens our eyes."""
    told = _problems(await _examine(secured_cluster, by_scram(secured_cluster.pki, STRANGER)))
    assert "the healer is blind here" in told
    assert f"--allow-principal User:{STRANGER[0]}" in told


async def test_a_wrong_password_is_told_and_never_shown(secured_cluster: SecuredCluster) -> None:
    """Authentication is the problem; the node lives by its own answer, which needs no login."""
    wrong = "not-the-S3cret"
    found = await _examine(secured_cluster, by_scram(secured_cluster.pki, (HEALER[0], wrong)))
    assert "PEERS: authentication" in _problems(found)
    assert any(one.what == "PROTOCOL answers" for one in found)
    assert wrong not in str(found)


async def test_an_unknown_authority_is_told_of_every_listener(
    secured_cluster: SecuredCluster, pki_elsewhere: Pki
) -> None:
    """Brokers, controllers and JMX: each names the file that would mend it."""
    told = _problems(await _examine(secured_cluster, by_scram(pki_elsewhere)))
    for kind in ("LISTENER", "PEERS", "JVM"):
        assert f"{kind}: tls" in told
    assert "ca_file" in told


@pytest.fixture
def pki_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Certificates of another house."""
    return make_pki(tmp_path_factory.mktemp("elsewhere") / "pki")
