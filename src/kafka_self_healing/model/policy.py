"""Every default and threshold of the mind, in one place. All times are seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from kafka_self_healing.model.incident import HEALABLE, Condition, Reply, reply
from kafka_self_healing.model.node import Duty, NodeConfig
from kafka_self_healing.model.recovery import Disruption, RetryPolicy


class Mode(StrEnum):
    """What the healer may do by itself."""

    OBSERVE = "observe"
    APPROVE = "approve"
    AUTO = "auto"


class HungStop(StrEnum):
    """How a hung process is ended."""

    KILL_WHEN_DROPPED = "kill-when-dropped"
    GRACEFUL = "graceful"


@dataclass(frozen=True, slots=True)
class Budget:
    """At most `acts` in any window of `window_s`."""

    acts: int
    window_s: float


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of a ladder: an action, how often, and the time limit of each of its steps.

    `disruptive`: what a script or a playbook declares; None: nothing, or a built-in action.
    """

    action: str
    retry: RetryPolicy = RetryPolicy()  # noqa: RUF009  frozen, so sharing it is safe
    limit_s: float = 180.0
    disruptive: Disruption | None = None


ONE_START = frozenset({Condition.START_LIMIT_HIT})
"""Where the service manager has already tried again and again, we try once."""

DEFAULT_LADDERS: dict[Condition, tuple[Rung, ...]] = {
    condition: (
        (Rung("service:start", RetryPolicy(attempts=1 if condition in ONE_START else 2)),)
        if reply(condition) is Reply.START
        else (Rung("service:restart", RetryPolicy(attempts=1)),)
    )
    for condition in Condition
    if condition in HEALABLE
}


@dataclass(frozen=True, slots=True)
class Signs:
    """From where on a reading is a trouble. Not in the configuration: nobody has to tune these.

    Times are seconds. `idle`: part of the time in which request handlers have nothing to do;
    `queue`: requests waiting for them; `descriptors`, `half_dead`: parts of one; `full_bytes`: left
    on a data disk; `read_bytes_s`: bytes a second that a recovery at work reads at least;
    `restarts`: by the service manager within `restarts_window_s`. `sessions_listed`: what is still
    listed so many sessions after its end is somebody else's registration. `out_sessions`,
    `out_looks`: how long, and in how many looks of the others, a living process is not counted in;
    `applied_lag_ms`: milliseconds by which current metadata lag at most. `latency_ms`,
    `outstanding`, `fsync_ms`: of a member of an ensemble that is slow (milliseconds, requests).
    `certificate_days`: days before its end at which a certificate is told.
    """

    last_words_s: float = 5.0
    comes_up_s: float = 60.0
    no_quorum_exit_s: float = 50.0
    no_ensemble_exit_s: float = 5.0
    start_limit_s: float = 10.0
    restarts: int = 3
    restarts_window_s: float = 600.0
    sessions_listed: int = 3
    full_bytes: int = 16 << 20
    read_bytes_s: float = 10e6 / 60
    idle: float = 0.05
    queue: int = 100
    descriptors: float = 0.9
    half_dead: float = 0.5
    half_dead_looks: int = 10
    jmx_looks: int = 3
    check_looks: int = 3
    out_sessions: float = 3.0
    out_looks: int = 3
    applied_lag_ms: float = 5000.0
    latency_ms: float = 500.0
    outstanding: int = 500
    fsync_ms: float = 1000.0
    certificate_days: tuple[int, ...] = (30, 14, 7, 1)


@dataclass(frozen=True, slots=True)
class Policy:
    """Thresholds, ladders, budgets, and the mode. The documentation lists each with its reason."""

    mode: Mode = Mode.OBSERVE
    seed: int = 0
    # the eyes' rhythm
    interval_s: float = 5.0
    timeout_s: float = 3.0
    suspect_interval_s: float = 1.0
    suspect_timeout_s: float = 1.0
    silent_interval_s: float = 15.0
    # confirmation
    gone_looks: int = 2
    gone_apart_s: float = 2.0
    silent_looks: int = 3
    confirm_s: float = 30.0
    clear_looks: int = 3
    stable_floor_s: float = 60.0
    stable_margin_s: float = 5.0
    terminated_hold_s: float = 120.0
    boot_hold_s: float = 60.0
    start_leave_alone_margin_s: float = 10.0
    stall_s: float = 600.0
    unknown_act_page_s: float = 600.0
    second_start_min_life_s: float = 60.0
    under_replicated_page_s: float = 300.0
    disk_filling: float = 0.1
    partitions_offline_page_s: float = 60.0
    controller_missing_page_s: float = 60.0
    flap_changes: int = 4
    flap_window_s: float = 600.0
    # warm-up and clock
    warm_rounds: int = 3
    warm_floor_s: float = 15.0
    gap_s: float = 30.0
    clock_step_s: float = 60.0
    fresh_cap_s: float = 60.0
    # acts
    slot_s: float = 15.0
    slot_quorum_lost_s: float = 5.0
    restart_spacing_s: float = 300.0
    anti_flap_s: float = 3600.0
    heap_anti_flap_s: float = 24 * 3600.0
    ladder_reset_s: float = 3600.0
    approval_s: float = 3600.0
    hung_stop: HungStop = HungStop.KILL_WHEN_DROPPED
    # storms
    storm_fraction: float = 0.34
    storm_nodes: int = 2
    storm_window_s: float = 60.0
    storm_quiet_s: float = 120.0
    # certificates
    certificate_fresh_s: float = 2 * 3600.0
    certificate_left_s: float = 3600.0
    # data
    exempt_topics: frozenset[str] = frozenset()
    # voice
    notice_group_s: float = 30.0
    notice_repeat_s: float = 4 * 3600.0
    digest: bool = True
    digest_hour: int = 6
    # what counts as a sign of trouble
    signs: Signs = Signs()
    # budgets and ladders
    node_budget: Budget = Budget(6, 6 * 3600.0)
    start_budget: Budget = Budget(10, 3600.0)
    restart_budget: Budget = Budget(5, 3600.0)
    fleet_budget: Budget = Budget(10, 3600.0)
    ladders: Mapping[Condition, tuple[Rung, ...]] = field(
        default_factory=lambda: dict(DEFAULT_LADDERS)
    )
    role_ladders: Mapping[tuple[Duty, Condition], tuple[Rung, ...]] = field(default_factory=dict)

    def ladder(self, node: NodeConfig, condition: Condition) -> tuple[Rung, ...]:
        """Return the ladder of a condition of a node; empty: no act answers it."""
        own = self.role_ladders.get((node.duty, condition))
        return self.ladders.get(condition, ()) if own is None else own

    def stable_window_s(self, session_s: float) -> float:
        """How long all must be well before it counts as healed: longer than one session."""
        return max(self.stable_floor_s, session_s + self.stable_margin_s)
