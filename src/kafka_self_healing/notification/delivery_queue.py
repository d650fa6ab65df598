"""`DeliveryQueue`: takes what is due from the outbox to the channels, until taken or given up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from kafka_self_healing.clock import Clock
from kafka_self_healing.errors import DeliveryError, StorageError
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.notification import Delivery
from kafka_self_healing.notification.outbox_port import Outbox, Outcome, Put, Run
from kafka_self_healing.notification.service import UNDELIVERED, undelivered
from kafka_self_healing.notification.template import one_line
from kafka_self_healing.plugins.contract import NotificationPlugin

_log = logging.getLogger(__name__)

MAX_ERROR = 500
"""Characters of an error that are written down."""


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """Limits of the queue, in seconds where the name says so.

    `deadline_s`: for one try. `give_up_s`: after that long a transient error is final.
    `poll_s`: the longest time between two looks into the outbox. `batch`, `batch_max`: deliveries
    read at once, and at most, when the oldest ones belong to a channel that is being waited for.
    """

    deadline_s: float = 60.0
    backoff_s: float = 10.0
    backoff_max_s: float = 300.0
    give_up_s: float = 24 * 3600.0
    poll_s: float = 30.0
    batch: int = 50
    batch_max: int = 3_200

    def delay(self, attempt: int) -> float:
        """Return the seconds to wait after try number `attempt` (from 1) failed."""
        return float(min(self.backoff_max_s, self.backoff_s * 2 ** min(attempt - 1, 30)))


@dataclass(slots=True)
class _Lane:
    """What is known of a channel: whether a pass is under way, and until when it is let alone."""

    busy: bool = False
    closed_until: float = 0.0


@dataclass(frozen=True, slots=True)
class _Tried:
    """How a try went, as long as the store has not taken it."""

    delivery: Delivery
    outcome: Outcome
    at: Instant
    next_utc: float | None
    error: str


class DeliveryQueue:
    """One lane a channel: in order within it, independent of all others.

    A channel that is down is let alone until its oldest letter is due again, so that all goes out
    in order when it is back. A letter that alone is refused holds up the others only once, for the
    first backoff. A crash between a delivery and its record sends once more under the same id.
    """

    def __init__(
        self,
        outbox: Outbox,
        channels: Iterable[NotificationPlugin],
        *,
        run: Run,
        clock: Clock,
        put: Put | None = None,
        policy: DeliveryPolicy | None = None,
    ) -> None:
        """`put`: how the other channels are told of a dead letter; None: it is only logged."""
        self._outbox = outbox
        self._channels = {channel.name: channel for channel in channels}
        self._run, self._clock, self._put = run, clock, put
        self._policy = policy or DeliveryPolicy()
        self._lanes: dict[str, _Lane] = {}
        self._woken = asyncio.Event()
        self._retries: dict[int, float] = {}
        self._unrecorded: dict[int, _Tried] = {}
        self._abandoned: set[asyncio.Task[None]] = set()

    def notify(self) -> None:
        """Say that something was put into the outbox. From the event loop's own thread."""
        self._woken.set()

    async def run(self) -> None:
        """Deliver until cancelled. What is under way then stays in the outbox."""
        async with asyncio.TaskGroup() as passes:
            while True:
                self._woken.clear()
                try:
                    await self._turn(passes)
                except StorageError as error:
                    _log.error("the outbox cannot be read, looking again soon: %s", error)
                await self._wait()

    async def _turn(self, passes: asyncio.TaskGroup) -> None:
        await self._record_late()
        for channel, letters in (await self._waiting()).items():
            lane = self._lanes[channel]
            lane.busy = True
            passes.create_task(self._pass(lane, letters))

    async def _waiting(self) -> dict[str, list[Delivery]]:
        """Return what is due for the lanes that are free, oldest first.

        It looks further into the outbox as long as a free lane could be hidden behind the letters
        of lanes that are not.
        """
        now, limit = self._clock.now().utc_s, self._policy.batch
        while True:
            due = await self._run(partial(self._outbox.due, now, limit))
            waiting: dict[str, list[Delivery]] = {}
            for letter in sorted(due, key=lambda letter: letter.id):
                lane = self._lanes.setdefault(letter.channel, _Lane())
                if letter.id not in self._unrecorded and self._is_free(lane, now):
                    waiting.setdefault(letter.channel, []).append(letter)
            hidden = [
                name
                for name in self._channels
                if name not in waiting and self._is_free(self._lanes.get(name, _Lane()), now)
            ]
            if len(due) < limit:
                self._forget_recorded(due)
            if not hidden or len(due) < limit or limit >= self._policy.batch_max:
                return waiting
            limit *= 4

    def _is_free(self, lane: _Lane, now_utc: float) -> bool:
        # A clock that was set back must not close a lane for longer than a backoff can be.
        return not lane.busy and not 0 < lane.closed_until - now_utc <= self._policy.backoff_max_s

    async def _pass(self, lane: _Lane, letters: list[Delivery]) -> None:
        """Try the letters of one channel in order; close the lane when the channel seems down.

        After a first failure it is closed at once. A letter that failed before and fails again
        says nothing about the channel: then the one with the fewest tries is the test of it.
        """
        try:
            suspect: float | None = None
            while letters:
                letter = letters[0] if suspect is None else min(letters, key=_tries)
                letters.remove(letter)
                retry_utc = await self._try(letter, no_later_than=suspect)
                if retry_utc is None:
                    suspect = None
                elif suspect is not None or letter.attempt == 1:
                    lane.closed_until = retry_utc if suspect is None else suspect
                    return
                else:
                    suspect = retry_utc
        finally:
            lane.busy = False
            self._woken.set()

    async def _try(self, letter: Delivery, *, no_later_than: float | None) -> float | None:
        """Try once and record it. Returns the UTC second of the next try, None if it is settled."""
        self._retries.pop(letter.id, None)
        failure = await self._deliver(letter)
        now = self._clock.now()
        if failure is None:
            await self._record(_Tried(letter, "delivered", now, None, ""))
            return None
        error = one_line(str(failure), MAX_ERROR)
        age_s = now.utc_s - letter.created_utc
        if not failure.transient or age_s >= self._policy.give_up_s:
            await self._tell_elsewhere(letter, error, now)
            await self._record(_Tried(letter, "dead", now, None, error))
            return None
        next_utc = now.utc_s + self._policy.delay(letter.attempt)
        if no_later_than is not None:
            next_utc = min(next_utc, no_later_than)
        self._retries[letter.id] = next_utc
        _log.warning("%s: try %d failed: %s", letter.channel, letter.attempt, error)
        await self._record(_Tried(letter, "retry", now, next_utc, error))
        return next_utc

    async def _deliver(self, letter: Delivery) -> DeliveryError | None:
        channel = self._channels.get(letter.channel)
        if channel is None:
            return DeliveryError(f"channel {letter.channel} is not configured", transient=False)
        try:
            await self._within_deadline(channel, letter)
        except DeliveryError as error:
            return error
        except Exception as error:  # noqa: BLE001
            # border: a plugin's bug costs this delivery a retry, never the queue its life.
            return DeliveryError(f"{type(error).__name__}: {error}", transient=True)
        return None

    async def _within_deadline(self, channel: NotificationPlugin, letter: Delivery) -> None:
        delivery = asyncio.create_task(_awaited(channel, letter))
        alarm = asyncio.create_task(self._clock.sleep(self._policy.deadline_s))
        try:
            await asyncio.wait({delivery, alarm}, return_when=asyncio.FIRST_COMPLETED)
            if delivery.cancelled():
                raise DeliveryError("the channel cancelled itself", transient=True)
            if delivery.done():
                delivery.result()
                return
        finally:
            alarm.cancel()
            if not delivery.done():
                # It is not waited for: a plugin that clings to life would hold up its lane.
                delivery.cancel()
                self._abandoned.add(delivery)
                delivery.add_done_callback(self._bury)
        raise DeliveryError(f"no answer within {self._policy.deadline_s:g} s", transient=True)

    def _bury(self, delivery: asyncio.Task[None]) -> None:
        self._abandoned.discard(delivery)
        if not delivery.cancelled() and (error := delivery.exception()) is not None:
            _log.warning("a delivery that was given up ended with %s", type(error).__name__)

    async def _tell_elsewhere(self, letter: Delivery, error: str, at: Instant) -> None:
        """Tell all other channels of a dead letter. Before it is recorded: a crash repeats both."""
        _log.error("%s: notification given up: %s", letter.channel, error)
        others = [name for name in self._channels if name != letter.channel]
        # Of a letter about a dead letter no third one is told: they would breed.
        if self._put is None or not others or letter.notification.id.startswith(UNDELIVERED):
            return
        try:
            await _to_its_end(
                self._run(partial(self._put, [undelivered(letter, error, at)], others))
            )
        except StorageError as failure:
            _log.error("%s: other channels cannot be told: %s", letter.channel, failure)
        self._woken.set()

    async def _record(self, tried: _Tried) -> None:
        """Write down how a try went; if the store does not take it, it is kept and not repeated."""
        self._unrecorded[tried.delivery.id] = tried
        write = partial(
            self._outbox.record,
            tried.delivery,
            outcome=tried.outcome,
            at=tried.at,
            next_utc=tried.next_utc,
            error=tried.error,
        )
        try:
            await _to_its_end(self._run(write))
        except StorageError as error:
            _log.error("delivery %d: %s not recorded: %s", tried.delivery.id, tried.outcome, error)
        else:
            del self._unrecorded[tried.delivery.id]

    async def _record_late(self) -> None:
        for tried in list(self._unrecorded.values()):
            lane = self._lanes.get(tried.delivery.channel)
            if lane is None or not lane.busy:
                await self._record(tried)

    def _forget_recorded(self, due: Sequence[Delivery]) -> None:
        """Forget tries that the store wrote down although it reported an error.

        `due` is all that is due: a try that is not among it, or with another number, is written.
        """
        open_tries = {(letter.id, letter.attempt) for letter in due}
        for tried in list(self._unrecorded.values()):
            lane = self._lanes.get(tried.delivery.channel)
            if (lane is None or not lane.busy) and _number(tried.delivery) not in open_tries:
                del self._unrecorded[tried.delivery.id]

    async def _wait(self) -> None:
        """Wait for `notify`, the end of a pass, or the time at which something falls due."""
        now = self._clock.now().utc_s
        moments = [*self._retries.values(), *(lane.closed_until for lane in self._lanes.values())]
        ahead = [moment - now for moment in moments if moment > now]
        alarm = asyncio.create_task(self._clock.sleep(min([self._policy.poll_s, *ahead])))
        woken = asyncio.create_task(self._woken.wait())
        try:
            await asyncio.wait({alarm, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            alarm.cancel()
            woken.cancel()


async def _awaited(channel: NotificationPlugin, letter: Delivery) -> None:
    await channel.deliver(letter.notification)


def _tries(letter: Delivery) -> tuple[int, int]:
    return (letter.attempt, letter.id)


def _number(letter: Delivery) -> tuple[int, int]:
    return (letter.id, letter.attempt)


async def _to_its_end(work: Awaitable[object]) -> None:
    """Wait for `work` even when cancelled: what was delivered is written down before we go."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("not written down at the end: %s", error)
        raise
