"""Thresholds, ladders and budgets of a file as the model's `Policy`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka_self_healing.config.schema import BUDGETS, BudgetConfig, ConfigFile, RungConfig
from kafka_self_healing.config.section import Section
from kafka_self_healing.model.incident import Condition
from kafka_self_healing.model.node import Duty
from kafka_self_healing.model.policy import DEFAULT_LADDERS, Budget, Policy, Rung
from kafka_self_healing.model.recovery import RetryPolicy


def policy_budgets(written: Mapping[str, BudgetConfig]) -> dict[str, Budget]:
    """Return the budgets by their keys in the file; what is not written keeps its default."""
    budgets = {}
    for name, field in BUDGETS.items():
        default: Budget = getattr(Policy(), field)
        own = written.get(name) or BudgetConfig()
        budgets[name] = Budget(own.acts or default.acts, own.window_s or default.window_s)
    return budgets


def policy_ladders(
    written: Mapping[Condition, tuple[RungConfig, ...]],
) -> dict[Condition, tuple[Rung, ...]]:
    """Return the ladders; a condition that is not written keeps its default."""
    return DEFAULT_LADDERS | written_ladders(written)


def written_ladders(
    written: Mapping[Condition, tuple[RungConfig, ...]],
) -> dict[Condition, tuple[Rung, ...]]:
    """Return the ladders that are written, and no others."""
    return {condition: tuple(map(_rung, rungs)) for condition, rungs in written.items()}


def _rung(rung: RungConfig) -> Rung:
    retry = RetryPolicy(rung.attempts, rung.base_s, rung.cap_s, rung.jitter)
    return Rung(rung.action, retry, rung.limit_s)


def _written(section: Section) -> dict[Condition, tuple[RungConfig, ...]]:
    return {
        Condition(name): rungs
        for name in type(section).model_fields
        if (rungs := getattr(section, name)) is not None
    }


def policy_of(config: ConfigFile) -> Policy:
    """Return the policy of a file that passed all checks."""
    role_ladders = {
        (duty, condition): rungs
        for duty in Duty
        for condition, rungs in written_ladders(
            _written(getattr(config.role_ladders, duty.value))
        ).items()
    }
    budgets = policy_budgets({name: getattr(config.budgets, name) for name in BUDGETS})
    knobs: dict[str, Any] = {field: budgets[name] for name, field in BUDGETS.items()}
    knobs |= {name: getattr(config.policy, name) for name in type(config.policy).model_fields}
    return Policy(
        mode=config.mode,
        seed=config.seed,
        exempt_topics=frozenset(config.replicas.exempt_topics),
        ladders=policy_ladders(_written(config.ladders)),
        role_ladders=role_ladders,
        **knobs,
    )
