"""Every right and wrong way into the fake secured node, which keeps the real one's contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.contracts.fake_kafka import as_guarded, guarded_node
from tests.contracts.kafka_access import ROWS, Guarded, Row
from tests.integration.clusters.pki import Pki, make_pki


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Certificates of all kinds."""
    return make_pki(tmp_path_factory.mktemp("pki") / "pki")


@pytest.fixture(scope="module")
def guarded(pki: Pki) -> Iterator[Guarded]:
    """The fake node, running."""
    with guarded_node(pki).running() as node:
        yield as_guarded(node, pki)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
async def test_the_fake_keeps_the_contract(row: Row, guarded: Guarded) -> None:
    """The fake behaves as the row says, as Kafka does in tests/integration."""
    await row(guarded)
