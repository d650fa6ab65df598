"""Fuzz the Kafka decoder for as long as you like: `python -m bench.fuzz_kafka SECONDS [SEED]`.

Replies that a real cluster sent are damaged; anything but our own errors ends the run with the
mutant in hexadecimal. Prints how many were tried and the slowest decode.
"""

from __future__ import annotations

import random
import sys
import time

from tests.unit.wire.kafka_mutation import mutate
from tests.unit.wire.kafka_oracle import recorded_frames

from kafka_self_healing.wire import kafka
from kafka_self_healing.wire.kafka.connection import read_reply


def main(seconds: float, seed: int) -> int:
    """Run for `seconds`; return the exit code."""
    records = recorded_frames()
    rng = random.Random(seed)
    tried = refused = 0
    slowest_s = 0.0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        record = rng.choice(records)
        mutant = mutate(record.frame, rng)
        tried += 1
        begun = time.perf_counter()
        try:
            read_reply(record.request, record.version, mutant)
        except kafka.KafkaWireError:
            refused += 1
        except Exception as exc:  # noqa: BLE001 - this is what is being looked for
            print(f"{record.request.api.name} v{record.version}: {exc!r}\n{mutant.hex()}")
            return 1
        slowest_s = max(slowest_s, time.perf_counter() - begun)
    print(f"seed {seed}: {tried} mutants, {refused} refused, slowest {slowest_s * 1e3:.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1))
