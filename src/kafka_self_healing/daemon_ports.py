"""What the daemon needs of its surroundings: a memory, eyes, hands, a voice. `app` joins them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from kafka_self_healing.model.event import Event, Told
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.node import NodeConfig, NodeId
from kafka_self_healing.model.notification import Notification
from kafka_self_healing.model.recovery import RecoveryRequest, RecoveryResult


class Store(Protocol):
    """The memory, as the loop uses it. All of it blocks and runs on the store's thread."""

    def append(
        self,
        events: Sequence[Event],
        notifications: Sequence[Notification] = (),
        channels: Sequence[str] = (),
    ) -> int:
        """Write all in one transaction; raises StorageError, then nothing was written."""

    def read(self, after: int) -> Iterable[Event]:
        """Return the events after an entry number."""

    def holds_lease(self) -> bool:
        """Whether this process may act for the cluster."""

    def follow(self) -> None:
        """Let the audit file follow the journal."""


class Eyes(Protocol):
    """The part that looks."""

    def look(self, nodes: Iterable[NodeId], kinds: Iterable[Kind], *, reach: bool = False) -> None:
        """Look at these nodes now; `reach`: ask their hosts too what they reach."""

    async def run(self) -> None:
        """Look until cancelled."""


class Hands(Protocol):
    """The part that acts."""

    async def execute(self, request: RecoveryRequest, node: NodeConfig) -> RecoveryResult:
        """Carry out one act; a cancellation ends it, and what is known of it is returned."""

    def call_off(self, nodes: Collection[NodeId], why: str) -> list[str]:
        """End the acts on `nodes` that have given no command yet; return their requests' ids."""

    async def drain(self, timeout_s: float) -> bool:
        """Begin no further step; wait until every act is at a safe point and has ended."""


class Voice(Protocol):
    """The part that tells."""

    @property
    def channels(self) -> Sequence[str]:
        """The names of the configured channels."""

    def compose(self, told: Told) -> Notification:
        """Make a notification of a notice."""

    def notify(self) -> None:
        """Something new waits in the outbox."""

    async def run(self) -> None:
        """Deliver until cancelled."""

    async def alarm(self, text: str) -> None:
        """Tell all channels directly, without the store."""
