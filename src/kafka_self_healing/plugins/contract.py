"""The contract that every plugin is written against, ours too.

A monitoring plugin looks and never touches or judges; a recovery action acts once and never
decides; a notification plugin delivers and never filters. Each gets what it may use through a
context, so that it can be run against fakes.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Protocol

from kafka_self_healing.clock import Clock
from kafka_self_healing.hosts import CommandResult, Host, ServiceManager
from kafka_self_healing.model.evidence import CheckResult, Kind
from kafka_self_healing.model.node import Cluster, NodeConfig
from kafka_self_healing.model.notification import Notification
from kafka_self_healing.model.recovery import RecoveryRequest, RecoveryResult


class Scope(StrEnum):
    """Who is asked: every node about itself, or one living node a round about the whole cluster.

    PEERS and QUORUM speak of the cluster whatever the scope: PEERS is asked of two living brokers
    in turn, QUORUM of every controller.
    """

    NODE = "node"
    CLUSTER = "cluster"


class CheckContext(Protocol):
    """What a check may use."""

    @property
    def kind(self) -> Kind:
        """The kind of evidence that is wanted now; a plugin of several kinds looks at no other."""

    @property
    def cluster(self) -> Cluster:
        """The inventory; its name is the subject of PEERS, QUORUM and results of scope CLUSTER."""

    @property
    def timeout_s(self) -> float:
        """Seconds within which the check must have answered; then it is cancelled."""

    @property
    def clock(self) -> Clock:
        """Where `started` and `ended` come from."""

    @property
    def logger(self) -> logging.Logger:
        """For what is of use to the operator and is no fact."""

    @property
    def host(self) -> Host:
        """Readings of the node's host."""

    @property
    def reach(self) -> bool:
        """Whether it is to be asked what the node's host reaches: the others count the node out."""

    @property
    def service(self) -> ServiceManager | None:
        """The node's service manager; None: not configured."""

    async def run(self, argv: Sequence[str], *, timeout_s: float) -> CommandResult:
        """Run a bounded command on the node's host."""

    def hint(self, why: str) -> None:
        """Say that something happened to the target just now, such as a closed connection.

        All kinds of it are looked at at once; it is never evidence by itself. May be called after
        the check has ended, from the event loop.
        """


class MonitoringPlugin(ABC):
    """A pair of eyes. One instance serves all nodes; `check` may run for several at once."""

    @property
    @abstractmethod
    def kinds(self) -> frozenset[Kind]:
        """The kinds of evidence that it brings."""

    @property
    def scope(self) -> Scope:
        """Who is asked."""
        return Scope.NODE

    def can_ask(self, target: NodeConfig, kind: Kind) -> bool:  # noqa: ARG002 - for subclasses
        """Return whether `target` is configured well enough to be asked for `kind`."""
        return True

    def interval_s(self, target: NodeConfig, kind: Kind) -> float | None:  # noqa: ARG002
        """Return the seconds from one look at `target` to the next, for evidence of this kind.

        None: the policy's interval, shortened while the node is suspected. An interval of the
        plugin's own is never shortened: it says how often the answer may change, or what a look
        costs. Asked again before each look, so it may change; it is at least 0.1 s.
        """
        return None

    def timeout_s(self, target: NodeConfig, kind: Kind) -> float | None:  # noqa: ARG002
        """Return the seconds that one look may take, for evidence of this kind.

        None: the policy's limit, shortened while the node is suspected. A check that runs a
        program needs a limit of its own; it is what `CheckContext.timeout_s` then says.
        """
        return None

    @abstractmethod
    async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:
        """Look at (or ask) `target` once, for `context.kind`, and return what was seen.

        `started` of a result is not earlier than this call. A `CheckError` that is raised becomes
        a result with its outcome; any other exception one with the outcome `protocol`.
        """

    async def close(self) -> None:
        """Give back connections and the like; no check runs any more."""
        return


class ActionContext(Protocol):
    """What an action may use."""

    @property
    def node(self) -> NodeConfig:
        """The node that is acted on."""

    @property
    def limit_s(self) -> float:
        """Seconds that each step of the act may take."""

    @property
    def timeout_s(self) -> float:
        """Seconds that the whole act may take; then it is cancelled and its end is unknown."""

    @property
    def clock(self) -> Clock:
        """The time."""

    @property
    def logger(self) -> logging.Logger:
        """For what is of use to the operator and is not in the result."""

    @property
    def service(self) -> ServiceManager | None:
        """The node's service manager; None: not configured."""

    async def run(self, argv: Sequence[str], *, timeout_s: float) -> CommandResult:
        """Run a bounded command on the node's host."""

    def step(self, name: str) -> AbstractAsyncContextManager[None]:
        """Enclose one step ("stop", "start"): its beginning is journalled before it is done.

        Its end is journalled when the block ends without an exception, before the next begins.
        """


class RecoveryAction(ABC):
    """One thing that can be done to a node. It acts once; an exit code of it proves nothing."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name in a ladder: `service:start`, `script:NAME`."""

    @property
    @abstractmethod
    def disruptive(self) -> bool:
        """Whether it may interrupt a running process."""

    @abstractmethod
    async def execute(self, request: RecoveryRequest, context: ActionContext) -> RecoveryResult:
        """Carry out `request`, and say done, failed or unknown.

        Raises RecoveryError: ActionRefused when nothing was changed, ActionTimeout when it is not
        known what was.
        """


class RecoveryPlugin(ABC):
    """Offers actions by name."""

    @abstractmethod
    def actions(self) -> Mapping[str, RecoveryAction]:
        """Return the actions, by the names that a ladder gives them."""

    async def close(self) -> None:
        """Give back what is held; no action runs any more."""
        return


class NotificationPlugin(ABC):
    """A channel to people."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the channel in the configuration."""

    @abstractmethod
    async def deliver(self, notification: Notification) -> None:
        """Deliver once, or raise DeliveryError; `notification.id` is the same at each retry."""

    async def close(self) -> None:
        """Give back connections; nothing is delivered any more."""
        return
