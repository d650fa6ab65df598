"""Host names to addresses, in threads of their own: a resolver that hangs holds up nobody else."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Final

MAX_ADDRESSES: Final = 4
"""How many addresses of a name are tried."""

_RESOLVERS = ThreadPoolExecutor(8, thread_name_prefix="names")


async def addresses_of(host: str, port: int) -> list[str]:
    """Return the addresses of `host`, at most MAX_ADDRESSES; an address is its own.

    Raises OSError (socket.gaierror) when it does not resolve. The caller sets the deadline.
    """
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    loop = asyncio.get_running_loop()
    try:
        found = await loop.run_in_executor(_RESOLVERS, _resolve, host, port)
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "no valid host name") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))[:MAX_ADDRESSES]


def _resolve(host: str, port: int) -> list[tuple[int, int, int, str, tuple[str | int, ...]]]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))  # type: ignore[arg-type]


async def tcp_socket(address: str, port: int) -> socket.socket:
    """Connect to an address. Raises OSError; the caller sets the deadline and closes the socket."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, (address, port))
    except BaseException:
        made.close()
        raise
    return made


async def socket_to(host: str, port: int, *, timeout_s: float) -> socket.socket:
    """Connect to the first address of `host` that accepts; each has its share of `timeout_s`.

    Raises OSError: a refusal rather than anything else, since it says that the host is up;
    TimeoutError when the last one did not answer. The caller closes the socket.
    """
    addresses = await addresses_of(host, port)
    failed: list[OSError] = []
    for address in addresses:
        try:
            async with asyncio.timeout(timeout_s / len(addresses)):
                return await tcp_socket(address, port)
        except OSError as wrong:  # a TimeoutError is one
            failed.append(wrong)
    refused = (one for one in failed if isinstance(one, ConnectionRefusedError))
    raise next(refused, failed[-1])
