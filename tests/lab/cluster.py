"""The lab's cluster as a client sees it. Runs in the healer's network namespace.

`python -m tests.lab.cluster topics | wait SECONDS | load TOPIC BYTES A_SECOND`
"""

from __future__ import annotations

import sys
import time
from typing import Any

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

SERVERS = [f"10.88.0.1{number}:9092" for number in (1, 2, 3)]
TOPICS = [
    NewTopic("rf3", 12, 3, topic_configs={"min.insync.replicas": "2"}),
    NewTopic("rf1", 3, 1),
]


def admin(limit_s: float = 60.0) -> Any:
    """Return a client of the whole cluster; raises KafkaError after `limit_s` seconds."""
    end = time.monotonic() + limit_s
    while True:
        try:
            return KafkaAdminClient(bootstrap_servers=SERVERS, request_timeout_ms=8000)
        except KafkaError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)


def topics(limit_s: float = 60.0) -> None:
    """Create the topics once three brokers are there; fails after `limit_s` seconds."""
    end = time.monotonic() + limit_s
    client = admin(limit_s)
    while time.monotonic() < end:
        try:
            if len(client.describe_cluster()["brokers"]) == len(SERVERS):
                break
        except KafkaError:  # a broker that has just opened its port
            pass
        time.sleep(0.3)
    for topic in TOPICS:
        try:
            client.create_topics([topic])
        except TopicAlreadyExistsError:
            continue


def wait(limit_s: float) -> None:
    """Wait until every partition has a leader and all replicas in sync, and print the seconds."""
    began = time.monotonic()
    client = admin(limit_s)
    while time.monotonic() - began < limit_s:
        try:
            partitions = [one for topic in client.describe_topics() for one in topic["partitions"]]
        except KafkaError:
            partitions = []
        if partitions and all(map(_whole, partitions)):
            print(f"{time.monotonic() - began:.1f}")
            return
        time.sleep(0.3)
    sys.exit(f"lab: not in sync after {limit_s:g} s")


def _whole(partition: dict[str, Any]) -> bool:
    in_sync, replicas = partition["isr_nodes"], partition["replica_nodes"]
    return partition["leader_id"] >= 0 and len(in_sync) == len(replicas)


def load(topic: str, size: int, per_second: float) -> None:
    """Write with acks=all until ended; print what was sent and what failed once a second."""
    failed: dict[str, int] = {}

    def count(error: BaseException) -> None:
        name = type(error).__name__
        failed[name] = failed.get(name, 0) + 1

    producer = KafkaProducer(
        bootstrap_servers=SERVERS,
        acks="all",
        linger_ms=5,
        request_timeout_ms=5000,
        delivery_timeout_ms=10000,
    )
    sent, said, body = 0, time.monotonic(), b"x" * size
    while True:
        try:
            producer.send(topic, body).add_errback(count)
            sent += 1
        except KafkaError as error:
            count(error)
        if time.monotonic() - said > 1:
            print(sent, failed, flush=True)
            failed.clear()
            said = time.monotonic()
        time.sleep(1 / per_second)


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    match what:
        case "topics":
            topics()
        case "wait":
            wait(float(words[0]))
        case "load":
            load(words[0], int(words[1]), float(words[2]))
        case _:
            sys.exit(__doc__)
