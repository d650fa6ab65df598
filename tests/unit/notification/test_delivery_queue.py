"""The queue delivers everything once, in order, whatever one channel does; in virtual time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from tests.unit.notification.fake_outbox import FakeOutbox, inline, make_notification
from tests.unit.notification.virtual_clock import START, VirtualClock

from kafka_self_healing.errors import DeliveryError
from kafka_self_healing.model.notification import Notification
from kafka_self_healing.notification import DeliveryPolicy, DeliveryQueue
from kafka_self_healing.plugins.contract import NotificationPlugin

DAY_S = 24 * 3600.0
Answer = Callable[[Notification], Awaitable[None]]


class FakeChannel(NotificationPlugin):
    """Notes when what was tried, and answers as the test says."""

    def __init__(self, name: str, clock: VirtualClock, answer: Answer | None = None) -> None:
        self._name, self._clock, self.answer = name, clock, answer
        self.tried: list[tuple[float, str]] = []
        self.letters: list[Notification] = []

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    async def deliver(self, notification: Notification) -> None:
        """Answer."""
        self.tried.append((self._clock.elapsed_s, notification.id))
        if self.answer is not None:
            await self.answer(notification)
        self.letters.append(notification)


def refusing(*, transient: bool, only: str = "") -> Answer:
    """Make an answer that refuses all letters, or the one of that name."""

    async def answer(letter: Notification) -> None:
        if not only or letter.id == only:
            raise DeliveryError("450 later" if transient else "550 never", transient=transient)

    return answer


async def never(_letter: Notification) -> None:
    """Do not answer."""
    await asyncio.get_running_loop().create_future()


@pytest.fixture
def clock() -> VirtualClock:
    """The time."""
    return VirtualClock()


@pytest.fixture
def outbox() -> FakeOutbox:
    """The store."""
    return FakeOutbox()


@asynccontextmanager
async def running(
    outbox: FakeOutbox,
    clock: VirtualClock,
    *channels: FakeChannel,
    policy: DeliveryPolicy | None = None,
) -> AsyncIterator[DeliveryQueue]:
    """Run a queue over the block, then cancel it and see that it ends."""
    queue = DeliveryQueue(outbox, channels, run=inline, clock=clock, put=outbox.put, policy=policy)
    task = asyncio.create_task(queue.run())
    await clock.settle()
    yield queue
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


def put(
    outbox: FakeOutbox, clock: VirtualClock, *names: str, to: tuple[str, ...] = ("mail",)
) -> None:
    """Put letters away now."""
    outbox.put([make_notification(name, at=clock.now()) for name in names], to)


async def test_it_is_woken(outbox: FakeOutbox, clock: VirtualClock) -> None:
    """What is put away and notified goes out at once, in order, once."""
    mail = FakeChannel("mail", clock)
    async with running(outbox, clock, mail) as queue:
        put(outbox, clock, "N1", "N2", "N3")
        queue.notify()
        await clock.advance(3600.0)

    assert mail.tried == [(0.0, "N1"), (0.0, "N2"), (0.0, "N3")]
    assert outbox.outcomes("mail") == [(f"N{n}", "delivered") for n in (1, 2, 3)]


async def test_it_looks_without_being_woken(outbox: FakeOutbox, clock: VirtualClock) -> None:
    """A wake-up that got lost costs at most one poll."""
    mail = FakeChannel("mail", clock)
    async with running(outbox, clock, mail):
        put(outbox, clock, "N1")
        await clock.advance(30.0)

    assert mail.tried == [(30.0, "N1")]


async def test_what_waited_before_the_start(outbox: FakeOutbox, clock: VirtualClock) -> None:
    """The first look is at the start."""
    put(outbox, clock, "N1")
    mail = FakeChannel("mail", clock)
    async with running(outbox, clock, mail):
        assert mail.tried == [(0.0, "N1")]


async def test_the_backoff(outbox: FakeOutbox, clock: VirtualClock) -> None:
    """10 s, doubled, at most 300 s, and the try's number, error and next time are recorded."""
    put(outbox, clock, "N1")
    mail = FakeChannel("mail", clock, refusing(transient=True))
    async with running(outbox, clock, mail):
        await clock.advance(1300.0)

    assert [at for at, _ in mail.tried] == [0, 10, 30, 70, 150, 310, 610, 910, 1210]
    second = outbox.recorded[1]
    assert (second.outcome, second.attempt, second.error) == ("retry", 2, "450 later")
    assert second.next_utc == START.utc_s + 30.0


async def test_it_gives_up_after_a_day(outbox: FakeOutbox, clock: VirtualClock) -> None:
    """A transient error that lasts 24 h is final, and not before."""
    put(outbox, clock, "N1")
    mail = FakeChannel("mail", clock, refusing(transient=True))
    async with running(outbox, clock, mail):
        await clock.advance(DAY_S + 600.0)

    last = outbox.recorded[-1]
    assert last.outcome == "dead"
    assert DAY_S <= last.at.utc_s - START.utc_s <= DAY_S + 300.0
    assert {r.outcome for r in outbox.recorded[:-1]} == {"retry"}


async def test_a_permanent_error_is_final(outbox: FakeOutbox, clock: VirtualClock) -> None:
    """It is tried once; the letters behind it go out at once."""
    put(outbox, clock, "N1", "N2")
    mail = FakeChannel("mail", clock, refusing(transient=False, only="N1"))
    async with running(outbox, clock, mail):
        await clock.advance(3600.0)

    assert mail.tried == [(0.0, "N1"), (0.0, "N2")]
    assert outbox.outcomes("mail") == [("N1", "dead"), ("N2", "delivered")]
    assert outbox.recorded[0].error == "550 never"


async def test_a_dead_letter_is_told_elsewhere(outbox: FakeOutbox, clock: VirtualClock) -> None:
    """The other channel gets the letter with the reason, once, though the first stays broken."""
    put(outbox, clock, "N1")
    mail = FakeChannel("mail", clock, refusing(transient=False))
    pager = FakeChannel("pager", clock)
    async with running(outbox, clock, mail, pager):
        await clock.advance(3600.0)

    (told,) = pager.letters
    assert told.id == "undelivered-mail-N1"
    assert "550 never" in told.body
    assert "the story of N1" in told.body


async def test_dead_letters_do_not_breed(outbox: FakeOutbox, clock: VirtualClock) -> None:
    """With two channels that both refuse, it ends after four tries."""
    put(outbox, clock, "N1", to=("mail", "pager"))
    mail = FakeChannel("mail", clock, refusing(transient=False))
    pager = FakeChannel("pager", clock, refusing(transient=False))
    async with running(outbox, clock, mail, pager):
        await clock.advance(DAY_S)

    assert len(mail.tried) == len(pager.tried) == 2
    assert {r.outcome for r in outbox.recorded} == {"dead"}


async def test_a_channel_that_is_gone_from_the_configuration(
    outbox: FakeOutbox, clock: VirtualClock
) -> None:
    """Its letters are dead at once, and told by the channel that is there."""
    put(outbox, clock, "N1", to=("fax",))
    mail = FakeChannel("mail", clock)
    async with running(outbox, clock, mail):
        await clock.advance(1.0)

    assert outbox.recorded[0].error == "channel fax is not configured"
    assert [letter.id for letter in mail.letters] == ["undelivered-fax-N1"]


async def test_in_order_after_an_outage(outbox: FakeOutbox, clock: VirtualClock) -> None:
    """While the channel is down letters of all ages gather; back, all go out once, in order."""
    mail = FakeChannel("mail", clock, refusing(transient=True))
    names = [f"N{n}" for n in range(1, 9)]
    async with running(outbox, clock, mail) as queue:
        for name in names:
            put(outbox, clock, name)
            queue.notify()
            await clock.advance(7.0)
        mail.answer = None
        await clock.advance(300.0)

    assert [letter.id for letter in mail.letters] == names
    assert outbox.delivered("mail") == names


async def test_in_order_when_refusing_takes_time(outbox: FakeOutbox, clock: VirtualClock) -> None:
    """A younger letter that was tried in the outage, too, is due when the oldest is tried again."""
    mail = FakeChannel("mail", clock)

    async def answer(_letter: Notification) -> None:
        await clock.sleep(3.0)
        raise DeliveryError("450 later", transient=True)

    mail.answer = answer
    put(outbox, clock, "N1", "N2")
    async with running(outbox, clock, mail) as queue:
        await clock.advance(3600.0)
        put(outbox, clock, "N3")
        queue.notify()
        mail.answer = None
        await clock.advance(600.0)

    assert outbox.delivered("mail") == ["N1", "N2", "N3"]


async def test_an_outage_costs_few_tries(outbox: FakeOutbox, clock: VirtualClock) -> None:
    """A channel that is down for an hour with 200 letters waiting is asked rarely."""
    put(outbox, clock, *(f"N{n}" for n in range(200)))
    mail = FakeChannel("mail", clock, refusing(transient=True))
    async with running(outbox, clock, mail):
        await clock.advance(3600.0)

    assert len(mail.tried) < 40


async def test_one_refused_letter_holds_nobody_up(outbox: FakeOutbox, clock: VirtualClock) -> None:
    """A letter that is refused again and again delays the others once, by the first backoff."""
    mail = FakeChannel("mail", clock, refusing(transient=True, only="bad"))
    async with running(outbox, clock, mail) as queue:
        put(outbox, clock, "bad", "N1", "N2")
        queue.notify()
        await clock.advance(40.0)
        assert [name for at, name in mail.tried if at <= 10.0][-2:] == ["N1", "N2"]
        put(outbox, clock, "N3")
        queue.notify()
        await clock.advance(3600.0)

    assert (40.0, "N3") in mail.tried
    assert outbox.delivered("mail") == ["N1", "N2", "N3"]


async def test_several_refused_letters_hold_nobody_up(
    outbox: FakeOutbox, clock: VirtualClock
) -> None:
    """Neither do three of them at the head of the lane, for more than their first backoffs."""
    mail = FakeChannel("mail", clock)

    async def answer(letter: Notification) -> None:
        if letter.id.startswith("bad"):
            raise DeliveryError("450 later", transient=True)

    mail.answer = answer
    put(outbox, clock, "bad1", "bad2", "bad3", "N1", "N2")
    async with running(outbox, clock, mail):
        await clock.advance(150.0)

    assert outbox.delivered("mail") == ["N1", "N2"]


async def test_a_deadline_for_each_try(outbox: FakeOutbox, clock: VirtualClock) -> None:
    """A channel that never answers is cut off after 60 s, and tried again."""
    put(outbox, clock, "N1")
    mail = FakeChannel("mail", clock, never)
    async with running(outbox, clock, mail):
        await clock.advance(65.0)
        mail.answer = None
        await clock.advance(5.0)

    assert mail.tried == [(0.0, "N1"), (70.0, "N1")]
    assert outbox.recorded[0].error == "no answer within 60 s"
    assert outbox.delivered("mail") == ["N1"]


async def test_a_channel_that_clings(
    outbox: FakeOutbox, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A plugin that swallows its cancellation does not hold up its lane."""
    released = asyncio.Event()

    async def cling(_letter: Notification) -> None:
        try:
            await never(_letter)
        except asyncio.CancelledError:
            await released.wait()
        raise OSError("much too late")

    put(outbox, clock, "N1")
    mail = FakeChannel("mail", clock, cling)
    with caplog.at_level(logging.WARNING):
        async with running(outbox, clock, mail):
            await clock.advance(60.0)
            mail.answer = None
            await clock.advance(10.0)
            released.set()
            await clock.settle()

    assert outbox.outcomes("mail") == [("N1", "retry"), ("N1", "delivered")]
    assert "a delivery that was given up ended with OSError" in caplog.text


async def test_a_slow_channel_holds_up_no_other(outbox: FakeOutbox, clock: VirtualClock) -> None:
    """Five channels that never answer, each with a backlog, cost the sixth nothing."""
    stuck = [FakeChannel(f"stuck{n}", clock, never) for n in range(5)]
    put(outbox, clock, *(f"N{n}" for n in range(300)), to=tuple(c.name for c in stuck))
    put(outbox, clock, "N1", "N2", to=("mail",))
    mail = FakeChannel("mail", clock)
    async with running(outbox, clock, *stuck, mail) as queue:
        assert mail.tried == [(0.0, "N1"), (0.0, "N2")]
        await clock.advance(20.0)
        put(outbox, clock, "N3", to=("mail",))
        queue.notify()
        await clock.advance(0.0)

    assert mail.tried[-1] == (20.0, "N3")


@pytest.mark.parametrize("bug", [ValueError("a bug"), TimeoutError(), asyncio.CancelledError()])
async def test_a_bug_in_a_plugin(
    outbox: FakeOutbox, clock: VirtualClock, bug: BaseException
) -> None:
    """Whatever a plugin raises costs a retry of this letter, and the queue lives on."""

    async def answer(_letter: Notification) -> None:
        raise bug

    put(outbox, clock, "N1")
    mail = FakeChannel("mail", clock, answer)
    async with running(outbox, clock, mail):
        mail.answer = None
        await clock.advance(10.0)

    assert outbox.outcomes("mail") == [("N1", "retry"), ("N1", "delivered")]
    assert outbox.recorded[0].error.startswith(
        "the channel cancelled" if isinstance(bug, asyncio.CancelledError) else type(bug).__name__
    )


@pytest.mark.parametrize("fault", ["broken", "full"])
async def test_the_store_fails_after_a_delivery(
    outbox: FakeOutbox, clock: VirtualClock, fault: str
) -> None:
    """What was delivered is not sent again while the store is away, and is recorded afterwards."""
    mail = FakeChannel("mail", clock)

    async def answer(_letter: Notification) -> None:
        setattr(outbox, fault, True)

    mail.answer = answer
    put(outbox, clock, "N1")
    async with running(outbox, clock, mail):
        await clock.advance(200.0)
        assert outbox.recorded == []
        setattr(outbox, fault, False)
        await clock.advance(60.0)

    assert mail.tried == [(0.0, "N1")]
    assert outbox.delivered("mail") == ["N1"]
    assert outbox.recorded[0].at == START


async def test_the_store_wrote_although_it_said_no(clock: VirtualClock) -> None:
    """An error after the commit leaves nothing behind: no second letter, no endless recording."""

    class Forgetful(FakeOutbox):
        calls = 0

        def record(self, *args: object, **kwargs: object) -> None:
            self.calls += 1
            super().record(*args, **kwargs)  # type: ignore[arg-type]
            if self.calls == 1:
                self.broken = True
                self._require_whole()

    outbox = Forgetful()
    mail = FakeChannel("mail", clock)
    put(outbox, clock, "N1")
    async with running(outbox, clock, mail):
        outbox.broken = False
        await clock.advance(3600.0)

    assert mail.tried == [(0.0, "N1")]
    # The commit whose answer got lost, one try while the store was away, one that is told so.
    assert outbox.calls == 3


async def test_a_stop_in_the_middle(outbox: FakeOutbox, clock: VirtualClock) -> None:
    """What is under way at the end stays in the outbox, and the next run delivers it."""
    put(outbox, clock, "N1", "N2")
    mail = FakeChannel("mail", clock, never)
    async with running(outbox, clock, mail):
        await clock.advance(5.0)
    mail.answer = None
    async with running(outbox, clock, mail):
        await clock.settle()

    assert outbox.delivered("mail") == ["N1", "N2"]


async def test_a_stop_between_delivery_and_record(outbox: FakeOutbox, clock: VirtualClock) -> None:
    """A stop waits for the record of what was delivered: it is not sent twice."""
    entered, go_on = asyncio.Event(), asyncio.Event()
    calls = 0

    async def slow(work: Callable[[], object]) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:  # the first is `due`
            entered.set()
            await go_on.wait()
        return work()

    put(outbox, clock, "N1")
    mail = FakeChannel("mail", clock)
    queue = DeliveryQueue(outbox, [mail], run=slow, clock=clock)  # type: ignore[arg-type]
    task = asyncio.create_task(queue.run())
    await entered.wait()
    task.cancel()
    await clock.settle()
    assert not task.done()
    go_on.set()
    await asyncio.wait([task])

    assert outbox.delivered("mail") == ["N1"]


async def test_a_clock_set_back(outbox: FakeOutbox, clock: VirtualClock) -> None:
    """An hour back does not close a lane for an hour: new letters go out at the next look."""
    put(outbox, clock, "N1")
    mail = FakeChannel("mail", clock, refusing(transient=True, only="N1"))
    async with running(outbox, clock, mail) as queue:
        clock.elapsed_s -= 3600.0
        put(outbox, clock, "N2")
        queue.notify()
        await clock.settle()

    assert outbox.delivered("mail") == ["N2"]
