"""Makes a node's next start slow: thousands of small segments that it must read after a crash.

A broker that is killed reads again every segment after its last recovery checkpoint. The checkpoint
is written once a minute, so a cluster that is to start slowly must be told not to write it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kafka_self_healing.clock import boot_seconds, pause
from kafka_self_healing.demo.cluster import EmbeddedCluster
from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.kafka_client import kafka_module

SLOW_START_TOPIC: Final = "slow-start"
# For ClusterSettings.extra_properties.
SLOW_START_PROPERTIES: Final = {
    "log.flush.offset.checkpoint.interval.ms": "3600000",
    "num.recovery.threads.per.data.dir": "1",
}
_PARTITIONS: Final = 100
_ACK_LIMIT_S: Final = 30.0
_ROUND_S: Final = 0.005


@dataclass(frozen=True, slots=True)
class SlowStart:
    """What was written: segments on the victim's disk, and the seconds that it took."""

    segments: int
    took_s: float


def fill_for_slow_start(
    cluster: EmbeddedCluster, victim: int, *, segments: int = 10_000
) -> SlowStart:
    """Write about `segments` one-record segments to a topic that only `victim` holds.

    Measured on an idle machine with two cores: 4,000 segments take 9 s to write and 5 s to recover,
    10,000 take 19 s and 14 s; a busy or slower machine needs up to three times as long.

    Each round appends one record to each of 100 partitions whose segments live 1 ms. Raises
    DemoError if a record is not acknowledged or the segments are not on the disk afterwards.
    """
    began_s = boot_seconds()
    cluster.create_topics_as(
        {
            SLOW_START_TOPIC: {
                "assignments": {number: [victim] for number in range(_PARTITIONS)},
                "configs": {"segment.ms": "1", "min.insync.replicas": "1"},
            }
        }
    )
    kafka = kafka_module()
    producer = kafka.KafkaProducer(bootstrap_servers=cluster.bootstrap, acks="all")
    try:
        for _ in range(-(-segments // _PARTITIONS)):
            sent = [
                producer.send(SLOW_START_TOPIC, value=b"x", partition=number)
                for number in range(_PARTITIONS)
            ]
            for record in sent:
                record.get(timeout=_ACK_LIMIT_S)
            pause(_ROUND_S)  # Two records of one millisecond would share a segment.
    except kafka.errors.KafkaError as failure:
        raise DemoError(f"the slow start cannot be prepared: {failure}") from failure
    finally:
        producer.close(timeout=_ACK_LIMIT_S)
    folders = cluster.nodes[victim].data_dir.glob(f"{SLOW_START_TOPIC}-*")
    found = sum(1 for folder in folders for _ in folder.glob("*.log"))
    if found < segments * 0.9:
        raise DemoError(f"only {found} of {segments} segments were made")
    return SlowStart(found, boot_seconds() - began_s)
