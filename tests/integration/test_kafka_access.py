"""Every right and wrong way into a real secured cluster."""

from __future__ import annotations

import pytest
from tests.contracts.kafka_access import ROWS, Guarded, Row
from tests.integration.clusters.secured import HEALER, STRANGER, SecuredCluster

pytestmark = pytest.mark.cluster


@pytest.fixture
def guarded(secured_cluster: SecuredCluster) -> Guarded:
    """Node 1 of the session's secured cluster, as the contract wants it."""
    node = secured_cluster.servers["1"]
    return Guarded(
        host=node.host,
        ports=dict(node.ports),
        pki=secured_cluster.pki,
        healer=HEALER,
        stranger=STRANGER,
        token=lambda lives_s: secured_cluster.issuer.token(HEALER[0], lives_s=lives_s),
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
async def test_a_real_cluster_keeps_the_contract(row: Row, guarded: Guarded) -> None:
    """Kafka 4.3.1 with an authorizer behaves as the row says."""
    await row(guarded)
