"""`look`: the frame of every built-in check, from the clock before to the result after."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from kafka_self_healing.errors import CheckError
from kafka_self_healing.model.evidence import HEALER, CheckResult, Fact, Outcome
from kafka_self_healing.plugins import CheckContext

HOST_SHARE: Final = 0.9
"""Part of a look's time that a host gets: what it says of its own silence is to be heard, too."""


async def look(
    context: CheckContext,
    subject: str,
    seeing: Awaitable[Fact | None],
    *,
    observer: str = HEALER,
    or_else: Callable[[CheckError], Fact | None] = lambda _wrong: None,
) -> list[CheckResult]:
    """Await `seeing` within the context's time limit and return the one result that it makes.

    A CheckError becomes its outcome, with the fact that `or_else` makes of it; the time limit
    becomes TIMED_OUT.
    """
    started = context.clock.now().mono_s
    fact: Fact | None = None
    error = ""
    try:
        async with asyncio.timeout(context.timeout_s):
            fact = await seeing
        outcome = Outcome.ANSWERED
    except TimeoutError:
        outcome, error = Outcome.TIMED_OUT, f"no answer within {context.timeout_s:g} s"
    except CheckError as exc:
        outcome, error, fact = Outcome(exc.outcome), str(exc), or_else(exc)
    ended = context.clock.now().mono_s
    return [CheckResult(observer, subject, context.kind, outcome, started, ended, fact, error)]
