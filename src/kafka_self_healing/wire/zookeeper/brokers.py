"""The brokers that are registered in ZooKeeper, read by kazoo: the optional extra `zookeeper`.

A session is a write to the ensemble's log, so this costs more than a four-letter word. It blocks:
run it in a thread. kazoo's own threads have ended when it returns.
"""

from __future__ import annotations

import importlib
import logging
import ssl
import struct
from collections.abc import Callable
from types import ModuleType
from typing import Any

from kafka_self_healing.secret import Secret
from kafka_self_healing.wire.tls import TlsContext, TlsFileError
from kafka_self_healing.wire.zookeeper.errors import (
    ZooKeeperAuthenticationError,
    ZooKeeperAuthorisationError,
    ZooKeeperClientMissingError,
    ZooKeeperError,
    ZooKeeperProtocolError,
    ZooKeeperSetupError,
    ZooKeeperTimedOutError,
    connect_error,
    tls_error,
)
from kafka_self_healing.wire.zookeeper.exchange import Endpoint

_MOST_IDS = 10_000
_SILENT = logging.getLogger(f"{__name__}.kazoo")
_SILENT.disabled = True  # it logs each lost connection with its traceback; we return errors

_BROKEN = (struct.error, LookupError, ValueError, RuntimeError)
"""What kazoo raises on a reply that it cannot read."""


def registered_brokers(
    endpoint: Endpoint,
    *,
    timeout_s: float,
    username: str | None = None,
    password: Secret | None = None,
    chroot: str = "",
) -> tuple[str, ...]:
    """Return the broker ids below `chroot`/brokers/ids, of one member and by one session.

    With `username` it logs in by SASL DIGEST-MD5. It takes `timeout_s` seconds, and up to ten more
    to end its session with a member that hangs. Raises ZooKeeperError.
    """
    kazoo = _kazoo()
    failed: list[Exception] = []
    handler = _handler(endpoint, timeout_s, failed.append)
    sasl = None
    if username is not None:
        secret = password.reveal() if password is not None else ""
        sasl = {"mechanism": "DIGEST-MD5", "username": username, "password": secret}
    client = kazoo.client.KazooClient(
        hosts=_hosts(endpoint),
        timeout=timeout_s,
        handler=handler,
        sasl_options=sasl,
        connection_retry=kazoo.retry.KazooRetry(max_tries=0),
        command_retry=kazoo.retry.KazooRetry(max_tries=0),
        logger=_SILENT,
    )
    try:
        return _read(client, f"{chroot}/brokers/ids", timeout_s)
    except kazoo.exceptions.NoNodeError:
        raise ZooKeeperProtocolError(
            f"{endpoint.where}: there is no {chroot}/brokers/ids; "
            "does Kafka keep its nodes below another chroot?"
        ) from None
    except _BROKEN as wrong:
        raise _no_session(wrong).at(endpoint.where) from None
    except (kazoo.exceptions.KazooException, handler.timeout_exception) as wrong:
        if failed:
            raise _no_session(failed[0]).at(endpoint.where) from None
        raise _error(kazoo, client, wrong, timeout_s).at(endpoint.where) from None
    finally:
        _end(kazoo, client)


def _read(client: Any, path: str, timeout_s: float) -> tuple[str, ...]:
    client.start(timeout=timeout_s)
    ids = client.get_children_async(path).get(timeout=timeout_s)
    return tuple(sorted((str(one) for one in ids[:_MOST_IDS]), key=_order))


def _no_session(wrong: Exception) -> ZooKeeperError:
    if isinstance(wrong, TlsFileError):
        return ZooKeeperSetupError(f"not asked: {wrong}")
    if isinstance(wrong, ssl.SSLError):
        return tls_error(wrong)
    if isinstance(wrong, OSError):
        return connect_error(wrong)
    return ZooKeeperProtocolError(
        f"its answer is no session of ZooKeeper's ({type(wrong).__name__}); check the port"
    )


def _order(broker: str) -> tuple[int, str]:
    return (int(broker) if broker.isdecimal() else 0), broker


def _end(kazoo: ModuleType, client: Any) -> None:
    try:
        client.stop()
        client.close()
    except (kazoo.exceptions.KazooException, OSError):
        return  # its thread still waits for the member, and ends with its own time limit


def _error(kazoo: ModuleType, client: Any, wrong: Exception, timeout_s: float) -> ZooKeeperError:
    errors = kazoo.exceptions
    refused = (errors.AuthFailedError, errors.SessionClosedRequireSaslError, errors.SASLException)
    if isinstance(wrong, refused) or client.client_state == "AUTH_FAILED":
        return ZooKeeperAuthenticationError(
            "the login was refused; check username, password and the member's JAAS file"
        )
    if isinstance(wrong, errors.NoAuthError):
        return ZooKeeperAuthorisationError("we may not read /brokers/ids; grant our user READ")
    if isinstance(wrong, errors.ConnectionLoss | errors.SessionExpiredError):
        return ZooKeeperProtocolError(
            f"the session was cut ({type(wrong).__name__}); look at the node's log"
        )
    return ZooKeeperTimedOutError(f"no session within {timeout_s:g} s ({type(wrong).__name__})")


def _hosts(endpoint: Endpoint) -> str:
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"{host}:{endpoint.port}"


def _kazoo() -> ModuleType:
    try:
        for name in ("client", "exceptions", "retry", "handlers.threading"):
            importlib.import_module(f"kazoo.{name}")
        importlib.import_module("puresasl.client")
    except ImportError:
        raise ZooKeeperClientMissingError(
            "kazoo is not installed: pip install 'kafka-self-healing[zookeeper]'"
        ) from None
    return importlib.import_module("kazoo")


def _handler(endpoint: Endpoint, timeout_s: float, told: Callable[[Exception], None]) -> Any:
    """Return kazoo's thread handler, with connections over our own TLS context.

    kazoo would make one of file names, and check less. `told` hears why there is no session, which
    kazoo keeps to itself or lets end its thread.
    """
    threading = importlib.import_module("kazoo.handlers.threading")
    utils = importlib.import_module("kazoo.handlers.utils")
    errors = importlib.import_module("kazoo.exceptions")
    socket = importlib.import_module("socket")

    class Handler(threading.SequentialThreadingHandler):  # type: ignore[misc, name-defined]
        """Connects by the endpoint's TLS; a broken answer ends a thread without a traceback."""

        def create_connection(self, *, address: tuple[str, int], **_given: object) -> Any:
            """Return a connected socket."""
            try:
                plain = utils.create_tcp_connection(socket, address, timeout=timeout_s)
                return plain if endpoint.tls is None else _wrapped(plain, endpoint, endpoint.tls)
            except OSError as wrong:
                told(wrong)
                raise

        def spawn(self, func: Callable[..., None], *args: object, **given: object) -> Any:
            """Start a thread of kazoo's."""

            def work() -> None:
                try:
                    func(*args, **given)
                except (errors.KazooException, OSError, *_BROKEN) as wrong:
                    told(wrong)

            return super().spawn(work)

    return Handler()


def _wrapped(plain: Any, endpoint: Endpoint, tls: TlsContext) -> ssl.SSLSocket:
    try:
        name = endpoint.server_name or endpoint.host
        return tls().wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise
