"""What people have without us: a script that checks ports, and the service manager alone.

Small shells over the same world, eyes and hands, so that they can be measured beside ours.
"""

from __future__ import annotations

from collections import Counter

from kafka_self_healing.instant import Instant
from kafka_self_healing.model.control import OperatorCommand
from kafka_self_healing.model.evidence import HEALER, CheckResult, Kind, Outcome
from kafka_self_healing.model.incident import Condition
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.model.recovery import (
    RecoveryRequest,
    RecoveryResult,
    RequestState,
    StepReport,
)
from kafka_self_healing.simulation.eyes import Eyes
from kafka_self_healing.simulation.hands import Hands
from kafka_self_healing.simulation.meter import Moment
from kafka_self_healing.simulation.shell import BEGAN_UTC_S
from kafka_self_healing.simulation.world import World

ON_TIME = 0.9
"""Checks follow each other in an interval, give or take its jitter."""


class ServiceManagerAlone:
    """Nobody looks: what Restart=on-failure does is all that is done. It also is the base shell."""

    def __init__(self, world: World, policy: Policy) -> None:
        self.world, self.policy = world, policy
        self.eyes: Eyes
        self.hands: Hands
        self.clock_offset = 0.0
        self.dies_in_act: tuple[float, bool] | None = None
        self.up = True
        self.life = 0
        self.story: list[tuple[float, str, Moment]] = []
        """When it noticed what about which node."""

    def begin(self) -> None:
        """Its machine is up, or up again."""
        self.up = self.eyes.open = True
        self.life += 1

    def die(self, down_s: float, *, finish: bool) -> None:
        """Its machine is down for a while."""
        self.up = self.eyes.open = False
        self.hands.abandon(self.life, finish=finish)
        self.world.agenda.after(down_s, self.begin)

    def suspend(self, for_s: float) -> None:
        """Its machine sleeps."""
        self.up = self.eyes.open = False
        self.world.agenda.after(for_s, self.begin)

    def hold_lease(self, *, held: bool) -> None:
        """It knows no lease."""

    def hear(self, command: OperatorCommand) -> None:
        """It takes no orders."""

    def see(self, results: list[CheckResult], news: bool) -> None:
        """It looks at nothing."""

    def report(self, life: int, said: StepReport | RecoveryResult) -> None:
        """It does nothing by hands."""


class PortChecks(ServiceManagerAlone):
    """Restart a node by its manager after so many failed checks of its port in a row."""

    def __init__(self, world: World, policy: Policy, checks: int = 3) -> None:
        super().__init__(world, policy)
        self._checks = checks
        self._failed: Counter[str] = Counter()
        self._checked: dict[str, float] = {}
        self._busy: set[str] = set()
        self._count = 0

    def begin(self) -> None:
        """Counts are forgotten with the machine."""
        super().begin()
        self._failed.clear()
        self._busy.clear()

    def see(self, results: list[CheckResult], news: bool) -> None:  # noqa: ARG002
        """Count; one check in an interval is one of its own, whatever else the eyes look at."""
        for result in results:
            id_ = result.subject
            if result.observer != HEALER or result.kind is not Kind.LISTENER or not self.up:
                continue
            if id_ not in self.world.nodes:  # the hosts outside, which it does not know
                continue
            due = self._checked.get(id_, -1.0e9) + ON_TIME * self.policy.interval_s
            if result.started < due or id_ in self._busy:
                continue
            self._checked[id_] = result.started
            if result.outcome is Outcome.ANSWERED:
                self._failed[id_] = 0
                continue
            self._failed[id_] += 1
            if self._failed[id_] == 1:
                self.story.append((self.world.now, id_, Moment.DETECTED))
            if self._failed[id_] >= self._checks:
                self.story.append((self.world.now, id_, Moment.DIAGNOSED))
                self._restart(id_)

    def _restart(self, id_: str) -> None:
        self._count += 1
        self._busy.add(id_)
        at = Instant(self.world.now, BEGAN_UTC_S + self.world.now)
        request = RecoveryRequest(
            f"script-{self._count}", "", id_, "service:restart", Condition.PROCESS_GONE, 0, 1,
            RequestState.EXECUTING, at, began=at,
        )  # fmt: skip
        self.hands.begin(request, self.life)

    def report(self, life: int, said: StepReport | RecoveryResult) -> None:
        """The command has returned: count anew."""
        if life == self.life and isinstance(said, RecoveryResult):
            self._busy.discard(said.node)
            self._failed[said.node] = 0
