"""What an operator can say to the daemon, and what is in force because of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kafka_self_healing.instant import Instant


class Order(StrEnum):
    """Commands of an operator."""

    PAUSE = "pause"
    RESUME = "resume"
    MAINTENANCE = "maintenance"
    MAINTENANCE_END = "maintenance-end"
    ACK = "ack"
    APPROVE = "approve"


@dataclass(frozen=True, slots=True)
class OperatorCommand:
    """One command: who gave it and why. `target`: a node, an incident or a request; "" = cluster.

    `until`: UTC seconds at which a pause, a maintenance or an approval ends by itself; None = not
    by itself. `lifts`: of an approval, the guards whose refusals were shown; () = whatever an
    approval may lift. `action`: for which act it was asked; "" = it was not asked for.
    """

    order: Order
    by: str
    reason: str = ""
    target: str = ""
    until: float | None = None
    lifts: tuple[str, ...] = ()
    action: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """What a person is asked to approve: one act on one node, or a plan (`node` is "" then).

    `lifts`: the refusals that the approval would lift, in words. `until`: UTC seconds until which
    it may be given. `renews`: an earlier request of the incident that has expired, or lifted less;
    whoever has read that one has to read this one first, so it is approved by its own id alone.
    """

    id: str
    incident: str
    node: str
    action: str
    lifts: tuple[str, ...]
    asked: Instant
    until: float
    renews: str = ""


@dataclass(frozen=True, slots=True)
class Switch:
    """A pause or a maintenance in force."""

    order: Order
    by: str
    reason: str
    target: str
    since: Instant
    until: float | None = None

    def holds(self, now: Instant) -> bool:
        """Whether it is still in force."""
        return self.until is None or now.utc_s < self.until
