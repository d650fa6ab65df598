"""What the healer sees: looks at the truth that are delayed, lost, cut off, or lies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from kafka_self_healing.model.evidence import HEALER, CheckResult, Fact, Kind, Outcome
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.simulation import readings
from kafka_self_healing.simulation.node import Node
from kafka_self_healing.simulation.world import World

JITTER = 0.1
LEAST_APART_S = 0.2
"""Two looks at one node that somebody asked for begin at least this far apart."""

ASKED_S = 0.002
"""From the mind's wish to the look's beginning."""

CERTIFICATES_APART_S = 300.0
"""Certificates are looked at in a rhythm of their own: they change once in months."""

HEARD = frozenset({Outcome.REFUSED, Outcome.ANSWERED})
"""Outcomes of a look at something that is not silent."""

TOLD_AT_ONCE = frozenset({Kind.PEERS, Kind.SERVICE})
"""Kinds of which another fact is news too: it is the same object as long as nothing changes."""

MACHINE_KINDS = (Kind.SERVICE, Kind.HOST)
Deliver = Callable[[list[CheckResult], bool], None]


@dataclass(slots=True)
class Weather:
    """How well looks come through: `loss` is a share, `delay_s` the longest extra delay."""

    loss: float = 0.0
    delay_s: float = 0.0

    def missed(self, timeout_s: float) -> float:
        """Return the share of looks that are lost, or take longer than their time limit."""
        in_time = min(1.0, timeout_s / self.delay_s) ** (1 / 3) if self.delay_s else 1.0
        return 1.0 - (1.0 - self.loss) * in_time


@dataclass(slots=True)
class Sight:
    """What the eyes remember of one node, for their rhythm. `rounds`: looks for its own answer."""

    bad: set[Kind] = field(default_factory=set)
    silent: int = 0
    token: int = 0
    due: float = 0.0
    next_knock: float = 0.0
    asked: float = -1.0
    asked_due: bool = False
    service_look: float = -1.0
    rounds: int = 0
    reach_until: float = -1.0


class Eyes:
    """Looks at every node in its rhythm, and at once when asked or hinted."""

    def __init__(self, world: World, policy: Policy, rng: Random, deliver: Deliver) -> None:
        self.world = world
        self.policy = policy
        self.rng = rng
        self.deliver = deliver
        self.weather = Weather()
        self.open = True
        self.sights = {id_: Sight() for id_ in world.nodes}
        self.machine_facts = readings.MachineFacts(world)
        self._round = self._life = 0
        self._cluster_due = 0.0
        self._cluster_token = 0
        self._cluster_asked = -1.0
        self._last_outcome: dict[tuple[str, Kind], Outcome] = {}
        self._last_fact: dict[tuple[str, Kind], Fact | None] = {}
        self._brokers = [n for n in world.nodes.values() if n.config.is_broker]
        self._names = world.cluster.name
        self._kinds = {
            (node.id, knock): tuple(
                kind
                for kind in readings.ORDER
                if kind in node.config.kinds and (knock or kind in MACHINE_KINDS)
            )
            for node in world.nodes.values()
            for knock in (True, False)
        }

    def begin(self) -> None:
        """Start the rhythm; the first round is spread over one interval."""
        interval = self.policy.interval_s
        for node in self.world.nodes.values():
            self._schedule(node, self.rng.uniform(0.0, interval))
        self._schedule_cluster(self.rng.uniform(0.0, interval))

    def forget(self) -> None:
        """A new daemon has seen nothing yet."""
        for sight in self.sights.values():
            sight.bad.clear()
            sight.silent = 0
        self._last_outcome.clear()
        self._last_fact.clear()
        self._life += 1
        self._look_at_certificates(self._life)

    @property
    def troubled(self) -> bool:
        """Whether any node looks sick."""
        return any(sight.bad for sight in self.sights.values())

    # --- rhythm -----------------------------------------------------------------------------

    def _schedule(self, node: Node, wait: float) -> None:
        sight = self.sights[node.id]
        sight.token += 1
        sight.due = self.world.now + wait
        self.world.agenda.after(wait, self._regular, node, sight.token)

    def _schedule_cluster(self, wait: float) -> None:
        self._cluster_token += 1
        self._cluster_due = self.world.now + wait
        self.world.agenda.after(wait, self._regular_cluster, self._cluster_token)

    def _jittered(self, interval: float) -> float:
        return interval * (1.0 + JITTER * (2.0 * self.rng.random() - 1.0))

    def _interval(self, *, suspected: bool) -> float:
        return self._jittered(
            self.policy.suspect_interval_s if suspected else self.policy.interval_s
        )

    def _regular(self, node: Node, token: int) -> None:
        sight = self.sights[node.id]
        if token != sight.token:
            return
        if self.open:
            knock = sight.silent < self.policy.silent_looks or self.world.now >= sight.next_knock
            self._look(node, suspected=bool(sight.bad), knock=knock)
        self._schedule(node, self._interval(suspected=bool(sight.bad)))

    def _regular_cluster(self, token: int) -> None:
        if token != self._cluster_token:
            return
        troubled = self.troubled
        if self.open:
            self._look_at_cluster(suspected=troubled)
        self._schedule_cluster(self._interval(suspected=troubled))

    def ask(self, nodes: tuple[str, ...]) -> None:
        """The mind wants a look: it begins a moment later."""
        self.world.agenda.after(ASKED_S, self.look, nodes)

    def reach(self, nodes: Iterable[str]) -> None:
        """For a while, ask these nodes' hosts too what they reach."""
        for id_ in nodes:
            self.sights[id_].reach_until = self.world.now + 2 * self.policy.interval_s

    def look(self, nodes: Iterable[str], *, hint: bool = False) -> None:
        """Look at these nodes, and at what the others say, as soon as that is polite."""
        if not self.open:
            return
        now = self.world.now
        for id_ in nodes:
            sight = self.sights[id_]
            if now - sight.asked >= LEAST_APART_S - 1e-6:
                sight.asked = now
                self._look(self.world.nodes[id_], suspected=True, knock=True, hint=hint)
            elif not sight.asked_due:
                sight.asked_due = True
                self.world.agenda.at(sight.asked + LEAST_APART_S, self._asked_again, id_)
        if now - self._cluster_asked >= LEAST_APART_S - 1e-6:
            self._cluster_asked = now
            self._look_at_cluster(suspected=True, asked=True)

    def _asked_again(self, id_: str) -> None:
        self.sights[id_].asked_due = False
        self.look((id_,))

    # --- looks ------------------------------------------------------------------------------

    def _look(self, node: Node, *, suspected: bool, knock: bool, hint: bool = False) -> None:
        timeout = self.policy.suspect_timeout_s if suspected else self.policy.timeout_s
        if knock:
            self.sights[node.id].next_knock = self.world.now + self.policy.silent_interval_s
        answers: list[tuple[str, str, Kind, Outcome, Fact | None]] = []
        for kind in self._kinds[node.id, knock]:
            outcome, fact = readings.read(self.world, node, kind, self.machine_facts)
            if kind is Kind.HOST and self.world.now < self.sights[node.id].reach_until:
                outcome, fact = readings.with_reach(self.world, node, (outcome, fact))
            if hint and kind is Kind.PROTOCOL and outcome is Outcome.REFUSED:
                outcome = Outcome.CLOSED
            answers.append((HEALER, node.id, kind, outcome, fact))
        if (node.pid == 0 or node.choked) and Kind.LOG in node.config.kinds:
            answers.append((HEALER, node.id, Kind.LOG, *readings.log(node)))
        self._send(answers, timeout)

    def _look_at_certificates(self, life: int) -> None:
        if life != self._life:
            return
        answers = [
            (HEALER, node.id, Kind.CERTIFICATE, *readings.certificate(self.world, node))
            for node in self.world.nodes.values()
            if Kind.CERTIFICATE in node.config.kinds
        ]
        if self.open and answers:
            self._send(answers, self.policy.timeout_s)
        if answers:
            self.world.agenda.after(CERTIFICATES_APART_S, self._look_at_certificates, life)

    def _look_at_cluster(self, *, suspected: bool, asked: bool = False) -> None:
        timeout = self.policy.suspect_timeout_s if suspected else self.policy.timeout_s
        answers: list[tuple[str, str, Kind, Outcome, Fact | None]] = []
        for node in self._witnesses():
            outcome, fact = readings.peers(self.world, node)
            answers.append((node.id, self._names, Kind.PEERS, outcome, fact))
        for node in self.world.keepers:
            sight = self.sights[node.id]
            silent = sight.silent >= self.policy.silent_looks
            if silent and not asked and self.world.now + 1e-9 < sight.next_knock:
                continue
            outcome, fact = readings.quorum(self.world, node)
            answers.append((node.id, self._names, Kind.QUORUM, outcome, fact))
        if self.world.cluster.reference_hosts:
            outcome = Outcome.ANSWERED if self.world.cut_off_at is None else Outcome.TIMED_OUT
            answers.append((HEALER, self._names, Kind.LISTENER, outcome, None))
        self._send(answers, timeout)

    def _witnesses(self) -> list[Node]:
        sights = self.sights
        able = [n for n in self._brokers if not sights[n.id].bad]
        if len(able) <= 2:  # each of two has only the other to witness for it
            able = [n for n in self._brokers if Kind.PROTOCOL not in sights[n.id].bad]
        if len(able) <= 2:
            return able
        self._round += 1
        first = (2 * self._round) % len(able)
        return [able[first], able[(first + 1) % len(able)]]

    def _send(
        self, answers: list[tuple[str, str, Kind, Outcome, Fact | None]], timeout: float
    ) -> None:
        """Let the answers travel: most come soon and together, others at the timeout."""
        rng, now, weather = self.rng, self.world.now, self.weather
        soon: list[tuple[str, str, Kind, Outcome, Fact | None]] = []
        late: list[CheckResult] = []
        end = now + timeout
        delay = 0.005 + 0.04 * rng.random()
        if weather.delay_s:
            delay += weather.delay_s * rng.random() ** 3
        for answer in answers:
            lost = weather.loss > 0.0 and rng.random() < weather.loss
            if lost and rng.random() < 0.1:
                continue
            observer, subject, kind, outcome, fact = answer
            if lost or delay >= timeout or outcome is Outcome.TIMED_OUT:
                if outcome is not Outcome.TIMED_OUT:
                    fact = None
                late.append(CheckResult(observer, subject, kind, Outcome.TIMED_OUT, now, end, fact))
            else:
                soon.append(answer)
        if soon:
            ended = now + delay
            results = [CheckResult(a[0], a[1], a[2], a[3], now, ended, a[4]) for a in soon]
            self.world.agenda.at(ended, self._arrive, results)
        if late:
            self.world.agenda.at(end, self._arrive, late)

    def _arrive(self, results: list[CheckResult]) -> None:
        if not self.open:
            return
        news = False
        last = self._last_outcome
        for result in results:
            kind = result.kind
            about = result.subject if result.observer == HEALER else result.observer
            key = (about, kind)
            if last.get(key) is not result.outcome:
                last[key] = result.outcome
                news = True
            if kind in TOLD_AT_ONCE and self._last_fact.get(key) is not result.fact:
                self._last_fact[key] = result.fact
                news = True
            if about in self.sights and result.observer == HEALER and self._note(about, result):
                news = True
        self.deliver(results, news)

    def _note(self, id_: str, result: CheckResult) -> bool:
        """Remember for the rhythm whether the node looks sick; look closer as soon as it does."""
        sight, kind = self.sights[id_], result.kind
        if kind is Kind.CERTIFICATE or kind is Kind.LOG:
            return False
        good = readings.looks_good(result)
        sight.rounds += kind is Kind.PROTOCOL
        if kind is Kind.SERVICE and result.outcome is Outcome.ANSWERED:
            sight.service_look = max(sight.service_look, result.started)
        news = False
        if kind is Kind.PROTOCOL:
            quiet = not good and result.outcome not in HEARD
            sight.silent = sight.silent + 1 if quiet else 0
            news = quiet and sight.silent <= self.policy.silent_looks
        if good:
            if kind in sight.bad:
                sight.bad.discard(kind)
                news = True
            return news
        if kind not in sight.bad:
            sight.bad.add(kind)
            news = True
            soon = self.world.now + self.policy.suspect_interval_s
            if sight.due > soon:
                self._schedule(self.world.nodes[id_], self._interval(suspected=True))
            if self._cluster_due > soon:
                self._schedule_cluster(self._interval(suspected=True))
        return news
