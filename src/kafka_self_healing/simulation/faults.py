"""Faults as data: what goes wrong, when (virtual seconds), and with which node."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kafka_self_healing.model.control import Order
from kafka_self_healing.model.evidence import Family


@dataclass(frozen=True, slots=True)
class Crash:
    """The process ends by SIGKILL. The next starts may be slow, or die again after a while."""

    at_s: float
    target: str
    recovery_s: float = 0.0
    dies_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Hang:
    """The process is frozen; `for_s` None: for good. `dies_after_s`: a new one dies again."""

    at_s: float
    target: str
    for_s: float | None = None
    dies_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class OperatorStop:
    """Somebody stops the node through its manager; `then_masks`: and masks the unit."""

    at_s: float
    target: str
    then_masks: bool = False
    started_again_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Terminate:
    """A stray SIGTERM: a clean end that nobody asked the manager for."""

    at_s: float
    target: str


@dataclass(frozen=True, slots=True)
class StartedByHand:
    """The process crashes, and somebody starts it outside its unit."""

    at_s: float
    target: str


@dataclass(frozen=True, slots=True)
class StartedBySomebody:
    """Somebody starts the node through its manager."""

    at_s: float
    target: str


@dataclass(frozen=True, slots=True)
class CutHealer:
    """Our paths to these hosts are cut; the cluster notices nothing."""

    at_s: float
    targets: tuple[str, ...]
    for_s: float


@dataclass(frozen=True, slots=True)
class CutOff:
    """Our way out is cut, to the reference hosts and whatever lies behind it."""

    at_s: float
    for_s: float


@dataclass(frozen=True, slots=True)
class Isolate:
    """A node is cut from its peers, not from us."""

    at_s: float
    target: str
    for_s: float


@dataclass(frozen=True, slots=True)
class PowerCut:
    """The host is gone: the process dead, every path dark. Power returns after `for_s`.

    `starts_it`: the unit is enabled, and the boot starts it.
    """

    at_s: float
    target: str
    for_s: float
    starts_it: bool = False


@dataclass(frozen=True, slots=True)
class BadWeather:
    """Looks are lost (`loss`, a share) and late (`delay_s`, the longest extra delay)."""

    at_s: float
    for_s: float
    loss: float = 0.0
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class JmxOff:
    """The JMX agent does not answer."""

    at_s: float
    target: str
    for_s: float


@dataclass(frozen=True, slots=True)
class Lie:
    """One family of evidence says the opposite of the truth about one node."""

    at_s: float
    target: str
    family: Family
    for_s: float


@dataclass(frozen=True, slots=True)
class StorageMissing:
    """The data directory is not mounted: a start would make an empty replica."""

    at_s: float
    target: str


@dataclass(frozen=True, slots=True)
class QuorumLoss:
    """Several voters end at once."""

    at_s: float
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForeignWork:
    """Somebody is at work on the node: a job queued, a debugger attached, a lock taken."""

    at_s: float
    target: str
    what: str
    for_s: float | None = None


@dataclass(frozen=True, slots=True)
class Says:
    """An operator gives a command; `target` of an ACK or APPROVE is a node, not an incident."""

    at_s: float
    order: Order
    target: str = ""


PLAN = "the plan"
"""Target of an APPROVE: the ordered cold start that is proposed then."""


@dataclass(frozen=True, slots=True)
class ClockStep:
    """UTC is set by so many seconds; the boot clock is not."""

    at_s: float
    by_s: float


@dataclass(frozen=True, slots=True)
class Suspend:
    """The healer's machine sleeps; the cluster goes on."""

    at_s: float
    for_s: float


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """Another daemon holds the lease for a while; `acts`: and starts what it finds gone."""

    at_s: float
    for_s: float
    acts: bool = False


@dataclass(frozen=True, slots=True)
class HealerCrash:
    """The healer dies and comes back. `in_act`: it waits for the next act and dies in it.

    `finish`: the act goes on without it.
    """

    at_s: float
    down_s: float = 3.0
    in_act: bool = False
    finish: bool = True


@dataclass(frozen=True, slots=True)
class Clumsy:
    """Acts fail, or end without anybody knowing how, at these shares, or take longer."""

    at_s: float
    for_s: float
    fails: float = 0.0
    unknown: float = 0.0
    slow_s: float = 0.0


@dataclass(frozen=True, slots=True)
class NotCommissioned:
    """The node was never started: no process, no replicas, not listed. From the beginning."""

    target: str
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CertificateExpires:
    """The node's certificate is valid until then; a process started later exits by itself."""

    at_s: float
    target: str


@dataclass(frozen=True, slots=True)
class OneWayCut:
    """A broker and the other brokers do not reach each other; its way to the keepers is whole."""

    at_s: float
    target: str
    for_s: float


class Disk(StrEnum):
    """How a data disk goes: full or dead ends the process, one of two takes partitions away."""

    FULL = "full"
    DEAD = "dead"
    ONE_OF_TWO = "one of two"


@dataclass(frozen=True, slots=True)
class DiskFails:
    """A data disk of a node fails; somebody mends it after `for_s` (None: nobody)."""

    at_s: float
    target: str
    how: Disk
    for_s: float | None = None


@dataclass(frozen=True, slots=True)
class HeapExhausted:
    """This share of its requests is not answered until it is a new process; all else is fine."""

    at_s: float
    target: str
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class HostFreezes:
    """Its kernel answers pings and connections, nothing on it runs: no shell, no process."""

    at_s: float
    target: str
    for_s: float


@dataclass(frozen=True, slots=True)
class CastOut:
    """The process lives, its network is whole, and the others never count it in again.

    A session that is lost for good, a broker that stays fenced, a controller that is wedged: until
    it is a new process.
    """

    at_s: float
    target: str


@dataclass(frozen=True, slots=True)
class Zombie:
    """Listed and answering, but the partitions that it leads serve nobody; until a new process."""

    at_s: float
    target: str


Fault = (
    Crash
    | Hang
    | OperatorStop
    | Terminate
    | StartedByHand
    | StartedBySomebody
    | CutHealer
    | CutOff
    | Isolate
    | PowerCut
    | BadWeather
    | JmxOff
    | Lie
    | StorageMissing
    | QuorumLoss
    | ForeignWork
    | Says
    | ClockStep
    | Suspend
    | LeaseLost
    | HealerCrash
    | Clumsy
    | NotCommissioned
    | CertificateExpires
    | OneWayCut
    | DiskFails
    | HeapExhausted
    | HostFreezes
    | CastOut
    | Zombie
)
