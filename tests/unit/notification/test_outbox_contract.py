"""The fake outbox and the stored one keep the same promises."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.unit.notification.fake_outbox import FakeOutbox
from tests.unit.notification.outbox_contract import OutboxContract

from kafka_self_healing.notification.outbox_port import Outbox, Put
from kafka_self_healing.storage import Journal, StoredOutbox, open_store


class TestFakeOutbox(OutboxContract):
    """The one that the queue's tests use."""

    @pytest.fixture
    def outbox(self) -> FakeOutbox:
        """An empty outbox."""
        return FakeOutbox()

    @pytest.fixture
    def put(self, outbox: FakeOutbox) -> Put:
        """How it is filled."""
        return outbox.put


class TestStoredOutbox(OutboxContract):
    """The one of the daemon."""

    @pytest.fixture
    def journal(self, tmp_path: Path) -> Iterator[Journal]:
        """A journal in a new store."""
        store = open_store(tmp_path / "state")
        self.store = store
        yield Journal(store, "lab")
        store.close()

    @pytest.fixture
    def outbox(self, journal: Journal) -> Outbox:
        """An empty outbox."""
        return StoredOutbox(self.store, journal)

    @pytest.fixture
    def put(self, journal: Journal) -> Put:
        """How it is filled: as the app does it."""
        return partial(journal.append, [])
