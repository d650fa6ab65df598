"""Fuzz the Kafka client for as long as you like: `python -m bench.fuzz_kafka SECONDS [SEED]`.

Replies of a real cluster and of an independent codec are damaged, and so are the messages of a
login and streams of frames in pieces. Anything but our own errors ends the run with the seed of the
round that it needs. Prints how much was tried, and the CPU time of the slowest decode.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter

from tests.unit.wire.kafka_mutation import decode, log_in, mutate, sample, stream


async def main(seconds: float, seed: int) -> int:
    """Run for `seconds`; return the exit code."""
    tried: Counter[str] = Counter()
    slowest_s = 0.0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seed += 1
        rng = random.Random(seed)
        try:
            for _ in range(200):
                record = sample(rng)
                mutant = mutate(record.frame, rng)
                begun = time.thread_time()
                tried["replies"] += 1
                tried["taken"] += decode(record, mutant)
                slowest_s = max(slowest_s, time.thread_time() - begun)
            for _ in range(20):
                tried["logins"] += 1
                assert not await log_in(rng), "a node without the password was believed"
            for _ in range(20):
                tried["streams"] += 1
                fed, most = stream(rng)
                assert most <= fed, "more is held than came"
        except Exception as exc:  # noqa: BLE001 - this is what is being looked for
            print(f"seed {seed}: {exc!r}")
            return 1
    told = ", ".join(f"{number} {what}" for what, number in tried.items())
    print(f"up to seed {seed}: {told}; slowest decode {slowest_s * 1e3:.1f} ms")
    return 0


if __name__ == "__main__":
    args = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    sys.exit(asyncio.run(main(*args)))
