"""Damage to Kafka reply frames, by a seeded chance."""

from __future__ import annotations

import random

_TELLING = (0, 1, 0x7F, 0x80, 0xFF)


def mutate(frame: bytes, rng: random.Random) -> bytes:
    """Return `frame` with one to four damages: a byte set, a bit turned, cut, stretched."""
    data = bytearray(frame)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if len(data) <= 4:
            break
        place = rng.randrange(4, len(data))
        match rng.randrange(5):
            case 0:
                data[place] = rng.choice((*_TELLING, rng.randrange(256)))
            case 1:
                data[place] ^= 1 << rng.randrange(8)
            case 2:
                del data[place:]
            case 3:
                data[place : place + 1] = rng.randbytes(rng.randrange(6))
            case _:
                data[place : place + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"))
    return bytes(data)
