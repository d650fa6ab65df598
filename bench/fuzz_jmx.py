"""Feed damaged JMX replies to the client: `python -m bench.fuzz_jmx SECONDS [SEED]`.

Prints how many mutants ended how, the slowest one and the peak memory. Stops with the mutant's
bytes at the first exception that is not one of ours.
"""

from __future__ import annotations

import asyncio
import random
import resource
import sys
import time
from collections import Counter

from tests.unit.wire.jmx_mutation import hear, mutant, samples


async def fuzz(seconds: float, seed: int) -> None:
    """Try mutants for `seconds` of CPU time."""
    chance = random.Random(seed)
    originals = samples()
    ends: Counter[str] = Counter()
    slowest_s = 0.0
    begin = time.process_time()
    while (start := time.process_time()) - begin < seconds:
        raw = mutant(originals, chance)
        try:
            ends[hear(raw, chance.choice((1 << 16, 1 << 16, 64)))] += 1
        except BaseException:
            print(f"mutant {ends.total()} of seed {seed}: {raw.hex()}")
            raise
        slowest_s = max(slowest_s, time.process_time() - start)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{ends.total()} mutants of seed {seed} in {seconds:g} s CPU")
    print(f"slowest {slowest_s * 1000:.1f} ms, peak memory {peak_mib} MiB")
    for end, count in ends.most_common():
        print(f"{count:>9} {end}")


if __name__ == "__main__":
    asyncio.run(fuzz(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 7))
