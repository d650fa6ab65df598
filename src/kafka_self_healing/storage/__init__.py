"""The memory: what is written down before anything is done, and read back at start."""

from __future__ import annotations

from kafka_self_healing.storage.journal import Entry, Journal
from kafka_self_healing.storage.lease import Lease
from kafka_self_healing.storage.outbox import StoredOutbox
from kafka_self_healing.storage.store import Store, open_store

__all__ = ["Entry", "Journal", "Lease", "Store", "StoredOutbox", "open_store"]
