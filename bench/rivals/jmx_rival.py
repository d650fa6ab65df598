"""Reads JMX attributes by another library, in an environment of its own, for `bench.jmx`.

`python jmx_rival.py jpype|jmxquery PORT WARM READS`, with a line "MBean, tab, attributes with
commas between" for each MBean on the standard input. Prints what ReadAttributes.java prints.
"""

from __future__ import annotations

import importlib
import resource
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

Requests = Sequence[tuple[str, list[str]]]


def by_jpype(port: str, requests: Requests) -> Callable[[], int]:
    """Return what reads once by the JDK's client inside this process."""
    jpype: Any = importlib.import_module("jpype")
    jpype.startJVM()
    management: Any = jpype.JPackage("javax.management")
    address = f"service:jmx:rmi:///jndi/rmi://127.0.0.1:{port}/jmxrmi"
    url = management.remote.JMXServiceURL(address)
    connector = management.remote.JMXConnectorFactory.connect(url)
    server = connector.getMBeanServerConnection()
    texts: Any = jpype.JArray(jpype.JString)
    wanted = [(management.ObjectName(name), texts(names)) for name, names in requests]

    def read() -> int:
        values = 0
        for name, names in wanted:
            found = {
                str(one.getName()): one.getValue() for one in server.getAttributes(name, names)
            }
            values += len(found)
        return values

    return read


def by_jmxquery(port: str, requests: Requests) -> Callable[[], int]:
    """Return what reads once by a Java program that this library starts for each query."""
    library: Any = importlib.import_module("jmxquery")
    address = f"service:jmx:rmi:///jndi/rmi://127.0.0.1:{port}/jmxrmi"
    connection = library.JMXConnection(address)
    queries = [library.JMXQuery(f"{name}/{one}") for name, names in requests for one in names]
    if len(requests) > 100:  # they would not fit into a command line
        queries = [library.JMXQuery("*:*")]
    return lambda: len(connection.query(queries, timeout=120))


def _cpu_s() -> float:
    spent = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in spent)


def main(library: str, port: str, warm: int, reads: int) -> None:
    """Read, and print what one read took."""
    lines = (line.rstrip("\n").split("\t") for line in sys.stdin)
    requests = [(name, names.split(",")) for name, names in lines]
    read = (by_jpype if library == "jpype" else by_jmxquery)(port, requests)
    for _ in range(warm):
        read()
    cpu_s, wall_s = _cpu_s(), time.perf_counter()
    values = sum(read() for _ in range(reads))
    cpu_s, wall_s = _cpu_s() - cpu_s, time.perf_counter() - wall_s
    print(cpu_s * 1e6 / reads, wall_s * 1e6 / reads, values // reads)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
