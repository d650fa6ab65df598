"""The load on the embedded cluster: an acknowledged producer, a consumer, and the final comparison.

Each record's value is its sequence number. Acknowledged and consumed numbers are kept as ranges, so
that memory stays small however long it runs.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from kafka_self_healing.clock import boot_seconds, utc_seconds
from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.kafka_client import kafka_module
from kafka_self_healing.demo.sequence_set import SequenceSet

_DELIVERY_TIMEOUT_MS: Final = 120_000
_REQUEST_TIMEOUT_MS: Final = 5_000
_METADATA_AGE_MS: Final = 3_000
_RECONNECT_MAX_MS: Final = 500
_OUTSTANDING_LIMIT: Final = 2_000
_GAPS_KEPT: Final = 20
_POLL_MS: Final = 200
_JOIN_LIMIT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without any acknowledged record: its length and the UTC second in which it began."""

    seconds: float
    began_utc_s: float


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What the producer and the consumer have seen so far.

    `gaps` are the longest ones, longest first; the one still going on counts too. `unacknowledged`
    records were given up by the client or are still under way: nobody promised them.
    """

    sent: int
    acknowledged: int
    unacknowledged: int
    consumed: int
    first_acknowledged_utc_s: float | None
    last_acknowledged_utc_s: float | None
    gaps: tuple[Gap, ...]

    @property
    def longest_gap_s(self) -> float:
        """The longest time between two acknowledged records, in seconds."""
        return self.gaps[0].seconds if self.gaps else 0.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Acknowledged records against those read back: lost ranges (first, one past the last)."""

    acknowledged: int
    read_back: int
    lost: tuple[tuple[int, int], ...]
    duplicates: int

    @property
    def lost_records(self) -> int:
        """How many acknowledged records were not read back."""
        return sum(end - start for start, end in self.lost)


class Load:
    """Sends `rate_per_s` records a second to a topic and reads them, in two threads."""

    def __init__(self, bootstrap: Sequence[str], topic: str, *, rate_per_s: float = 50.0) -> None:
        self._bootstrap = list(bootstrap)
        self._topic = topic
        self._interval_s = 1.0 / rate_per_s
        self._stop_sending = threading.Event()
        self._stop_reading = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._sent = 0
        self._failed = 0
        self._acknowledged = SequenceSet()
        self._consumed = SequenceSet()
        self._gaps: list[tuple[float, float]] = []
        self._first_ack_utc_s: float | None = None
        self._last_ack: tuple[float, float] | None = None
        self._began = (boot_seconds(), utc_seconds())
        self._ended_boot_s: float | None = None
        self._flush_s = 0.0

    def start(self) -> None:
        """Begin to send and to read. Raises DemoError if kafka-python is missing."""
        kafka_module()  # loaded here, in the caller's thread
        self._began = (boot_seconds(), utc_seconds())
        self._threads = [
            threading.Thread(target=self._produce, name="demo-producer", daemon=True),
            threading.Thread(target=self._consume, name="demo-consumer", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, *, flush_s: float = 20.0) -> LoadReport:
        """Stop sending, give what is under way `flush_s` seconds, stop reading, and report.

        Raises DemoError if a thread does not end.
        """
        self._flush_s = flush_s
        self._ended_boot_s = boot_seconds()
        self._stop_sending.set()
        for thread in self._threads[:1]:
            thread.join(flush_s + _JOIN_LIMIT_S)
        self._stop_reading.set()
        for thread in self._threads[1:]:
            thread.join(_JOIN_LIMIT_S)
        stuck = [thread.name for thread in self._threads if thread.is_alive()]
        self._threads = []
        if stuck:
            raise DemoError(f"{stuck} do not end")
        return self.report()

    def report(self) -> LoadReport:
        """Return the figures of this moment.

        The time from the last acknowledged record until now (or until the stop) is among the gaps.
        """
        with self._lock:
            gaps = list(self._gaps)
            boot_s, utc_s = self._last_ack or self._began
            until_s = boot_seconds() if self._ended_boot_s is None else self._ended_boot_s
            if until_s > boot_s:
                gaps.append((until_s - boot_s, utc_s))
            return LoadReport(
                sent=self._sent,
                acknowledged=len(self._acknowledged),
                unacknowledged=self._sent - len(self._acknowledged),
                consumed=len(self._consumed),
                first_acknowledged_utc_s=self._first_ack_utc_s,
                last_acknowledged_utc_s=self._last_ack[1] if self._last_ack else None,
                gaps=tuple(Gap(*gap) for gap in heapq.nlargest(_GAPS_KEPT, gaps)),
            )

    def compare(self, *, timeout_s: float = 60.0) -> Comparison:
        """Read the whole topic again with a new client and compare it with what was acknowledged.

        Reads up to the ends that the topic has now. Raises DemoError if that takes longer than
        `timeout_s` seconds: nothing is known of the records then.
        """
        found = SequenceSet()
        duplicates = 0
        deadline_s = boot_seconds() + timeout_s
        consumer = self._consumer()
        try:
            ends = consumer.end_offsets(consumer.assignment())
            while any(consumer.position(partition) < end for partition, end in ends.items()):
                if boot_seconds() > deadline_s:
                    raise DemoError(f"{self._topic} was not read back within {timeout_s:g} s")
                for records in consumer.poll(_POLL_MS).values():
                    duplicates += sum(not found.add(int(record.value)) for record in records)
        finally:
            consumer.close()
        with self._lock:
            lost = self._acknowledged.missing_from(found)
            acknowledged = len(self._acknowledged)
        return Comparison(acknowledged, len(found), tuple(lost), duplicates)

    def _produce(self) -> None:
        kafka = kafka_module()
        producer = kafka.KafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",
            delivery_timeout_ms=_DELIVERY_TIMEOUT_MS,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=_METADATA_AGE_MS,
            reconnect_backoff_max_ms=_RECONNECT_MAX_MS,
            max_block_ms=1_000,
        )
        next_s = boot_seconds()
        try:
            while not self._stop_sending.wait(max(0.0, next_s - boot_seconds())):
                next_s = max(next_s + self._interval_s, boot_seconds() - 1.0)
                self._send_one(producer, kafka.errors.KafkaError)
            try:
                producer.flush(timeout=self._flush_s)
            except kafka.errors.KafkaError:
                return  # What is not acknowledged by now counts as unacknowledged.
        finally:
            producer.close(timeout=1)

    def _send_one(self, producer: Any, kafka_error: type[Exception]) -> None:
        with self._lock:
            number = self._sent
            if number - len(self._acknowledged) - self._failed >= _OUTSTANDING_LIMIT:
                return
            self._sent += 1
        try:
            promise = producer.send(self._topic, value=str(number).encode())
        except kafka_error:
            self._note_failure()
            return
        promise.add_callback(self._note_acknowledged, number)
        promise.add_errback(self._note_failure)

    def _note_failure(self, *_: object) -> None:
        with self._lock:
            self._failed += 1

    def _note_acknowledged(self, number: int, *_: object) -> None:
        now = (boot_seconds(), utc_seconds())
        with self._lock:
            self._acknowledged.add(number)
            if self._last_ack is None:
                self._first_ack_utc_s = now[1]
            else:
                gap = (now[0] - self._last_ack[0], self._last_ack[1])
                if len(self._gaps) < _GAPS_KEPT:
                    heapq.heappush(self._gaps, gap)
                else:
                    heapq.heappushpop(self._gaps, gap)
            self._last_ack = now

    def _consume(self) -> None:
        consumer = self._consumer()
        try:
            while not self._stop_reading.is_set():
                for records in consumer.poll(_POLL_MS).values():
                    with self._lock:
                        for record in records:
                            self._consumed.add(int(record.value))
        finally:
            consumer.close()

    def _consumer(self) -> Any:
        """Return a consumer at the beginning of every partition; it belongs to no group."""
        kafka = kafka_module()
        consumer = kafka.KafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=_METADATA_AGE_MS,
            reconnect_backoff_max_ms=_RECONNECT_MAX_MS,
        )
        numbers = consumer.partitions_for_topic(self._topic)
        if not numbers:
            consumer.close()
            raise DemoError(f"there is no topic {self._topic}")
        consumer.assign([kafka.TopicPartition(self._topic, number) for number in numbers])
        consumer.seek_to_beginning()
        return consumer
