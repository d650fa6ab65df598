"""`JmxClient`: reads attributes of MBeans. It has no way to set one or to invoke anything."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from kafka_self_healing.secret import Secret
from kafka_self_healing.wire.jmx.encoding import (
    NULL,
    write_object_name,
    write_string,
    write_strings,
)
from kafka_self_healing.wire.jmx.errors import (
    JmxConnectError,
    JmxError,
    JmxNameError,
    JmxProtocolError,
    JmxSessionGone,
    JmxTimeout,
)
from kafka_self_healing.wire.jmx.object_name import (
    check_attributes,
    check_object_name,
    check_pattern,
)
from kafka_self_healing.wire.jmx.rmi import Call, Reply, RmiConnection
from kafka_self_healing.wire.jmx.stub import RemoteReference, read_stub
from kafka_self_healing.wire.jmx.throwable import to_error
from kafka_self_healing.wire.jmx.values import JmxValue, Limits, ObjectName

_CALLS_IN_FLIGHT = 256
_NAME, _QUERY = "Ljavax/management/ObjectName;", "Ljava/rmi/MarshalledObject;"
_SUBJECT, _TEXT = "Ljavax/security/auth/Subject;", "Ljava/lang/String;"


def _method(signature: str) -> bytes:
    """Return the operation of a remote method: number -1 and a hash of name and descriptor."""
    raw = signature.encode()
    digest = hashlib.sha1(struct.pack(">H", len(raw)) + raw, usedforsecurity=False).digest()
    return struct.pack(">i", -1) + digest[7::-1]


# All that this client can say. The registry has operation numbers and a hash of the interface.
_REGISTRY = bytes(22)
_LOOKUP = struct.pack(">iQ", 2, 0x44154DC9D4E63BDF)
_NEW_CLIENT = _method("newClient(Ljava/lang/Object;)Ljavax/management/remote/rmi/RMIConnection;")
_GET_ATTRIBUTES = _method(
    f"getAttributes({_NAME}[{_TEXT}{_SUBJECT})Ljavax/management/AttributeList;"
)
_QUERY_NAMES = _method(f"queryNames({_NAME}{_QUERY}{_SUBJECT})Ljava/util/Set;")
_DEFAULT_DOMAIN = _method(f"getDefaultDomain({_SUBJECT}){_TEXT}")
_CLOSE = _method("close()V")


@dataclass(frozen=True, slots=True)
class _Session:
    """A login. It belongs to an object of the server, not to a connection."""

    port: int
    object_id: bytes


@dataclass(frozen=True, slots=True)
class _Question:
    """A call that any session can make."""

    operation: bytes
    arguments: bytes


class JmxClient:
    """One JMX session with one JVM, opened at the first call and renewed when it is lost.

    `port` is the registry's (`jmxremote.port`). The stub found there tells the port of the JMX
    server; the host that it names is ignored, since the server often does not know its own name,
    and so that a registry cannot send our password elsewhere.

    `timeout_s` bounds each method as a whole, with connecting and login. When it passes, the
    connection is dropped; the session is taken up again on a new one.

    The server forgets a session after 120 s without a call: a caller that reads less often calls
    `default_domain` at least once a minute, or pays a new login. Methods may be called
    concurrently; they take turns. Each raises the JmxError that says why there is no answer.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        user: str | None = None,
        password: Secret | None = None,
        timeout_s: float = 10.0,
        limits: Limits | None = None,
    ) -> None:
        if (user is None) != (password is None):
            msg = "user and password are given together or not at all"
            raise ValueError(msg)
        self._host, self._port = host, port
        self._user, self._password = user, password
        self._timeout_s = timeout_s
        self._limits = limits or Limits()
        self._turn = asyncio.Lock()
        self._connection: RmiConnection | None = None
        self._session: _Session | None = None
        self._logins = 0

    @property
    def logins(self) -> int:
        """How many sessions were opened so far; it grows when the server was restarted."""
        return self._logins

    async def read(
        self, requests: Sequence[tuple[str, Sequence[str]]]
    ) -> list[dict[str, JmxValue] | JmxError]:
        """Read attributes of several MBeans in one round trip.

        Each request is an ObjectName and names of attributes; its result stands at the same place:
        a dict of the attributes, or the error of this request. The server leaves out attributes
        that do not exist or cannot be read at the moment. A reply that cannot be decoded ends the
        connection, so the requests behind it share its error. Raises JmxError if nobody answered.
        """
        results: list[dict[str, JmxValue] | JmxError] = []
        questions: list[_Question] = []
        asked: list[int] = []
        for place, (name, attributes) in enumerate(requests):
            try:
                arguments = _attribute_arguments(name, tuple(attributes))
            except JmxNameError as error:
                results.append(error)
            else:
                results.append({})
                questions.append(_Question(_GET_ATTRIBUTES, arguments))
                asked.append(place)
        answers = await self._ask(questions) if questions else []
        for place, answer in zip(asked, answers, strict=True):
            results[place] = answer if isinstance(answer, JmxError) else _attributes(answer)
        return results

    async def query(self, pattern: str) -> list[str]:
        """Return the names of all MBeans that match `pattern`, sorted."""
        check_pattern(pattern)
        arguments = write_object_name(pattern) + NULL + NULL  # no query expression, no subject
        names = await self._ask_one(_Question(_QUERY_NAMES, arguments))
        if not isinstance(names, list):
            raise JmxProtocolError(f"{self._peer}: a set of names was due")
        found = [name for name in names if isinstance(name, ObjectName)]
        if len(found) != len(names):
            raise JmxProtocolError(f"{self._peer}: a set of names was due")
        return sorted(found)

    async def default_domain(self) -> str:
        """Return the server's default domain: the cheapest call, good to keep a session alive."""
        domain = await self._ask_one(_Question(_DEFAULT_DOMAIN, NULL))
        if not isinstance(domain, str):
            raise JmxProtocolError(f"{self._peer}: a domain was due")
        return domain

    async def close(self) -> None:
        """Close the session, if the server still listens, and the connection. A later call of
        another method opens both again.
        """
        async with self._turn:
            connection, session = self._connection, self._session
            self._session = None
            if connection is None:
                return
            try:
                if session is not None and connection.lost is None:
                    call = Call(session.object_id, _CLOSE, returns_value=False)
                    with contextlib.suppress(JmxError, TimeoutError):
                        async with asyncio.timeout(self._timeout_s):
                            await connection.send([call])[0]
            finally:
                self._drop(JmxConnectError(f"{self._peer}: closed by us", outcome="closed"))
            await connection.wait_closed()

    @property
    def _peer(self) -> str:
        return f"{self._host}:{self._port}"

    async def _ask_one(self, question: _Question) -> JmxValue:
        (answer,) = await self._ask([question])
        if isinstance(answer, JmxError):
            raise answer
        return answer

    async def _ask(self, questions: Sequence[_Question]) -> list[JmxValue | JmxError]:
        """Return the answers in order, with a session that exists or with a new one."""
        async with self._turn:
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._ask_in_time(questions)
            except TimeoutError:
                error = JmxTimeout(f"{self._peer}: no answer within {self._timeout_s:g} s")
                self._drop(error)
                raise error from None
            except asyncio.CancelledError:
                # The answers that still come must not pile up behind a caller that has gone.
                self._drop(JmxConnectError(f"{self._peer}: call given up", outcome="closed"))
                raise

    async def _ask_in_time(self, questions: Sequence[_Question]) -> list[JmxValue | JmxError]:
        if self._session is not None:
            try:
                return await self._exchange(self._session, questions)
            except (JmxSessionGone, JmxConnectError) as error:
                # A restart, or too long idle. All calls only read, so asking again is harmless.
                self._drop(error)
                self._session = None
        session = self._session = await self._log_in()
        return await self._exchange(session, questions)

    async def _exchange(
        self, session: _Session, questions: Sequence[_Question]
    ) -> list[JmxValue | JmxError]:
        """Ask in one session. Raises JmxSessionGone or JmxConnectError if it is of no more use."""
        connection = await self._connect(session.port)
        answers: list[JmxValue | JmxError] = []
        for start in range(0, len(questions), _CALLS_IN_FLIGHT):
            batch = questions[start : start + _CALLS_IN_FLIGHT]
            calls = [Call(session.object_id, one.operation, one.arguments) for one in batch]
            futures = connection.send(calls)
            await asyncio.wait(futures)
            answers += [self._answer(future) for future in futures]
            for answer in answers[start:]:
                if isinstance(answer, JmxSessionGone | JmxConnectError):
                    raise answer
            if connection.lost is not None:
                left = len(questions) - len(answers)
                return answers + [connection.lost.again() for _ in range(left)]
        return answers

    def _answer(self, future: asyncio.Future[Reply]) -> JmxValue | JmxError:
        error = future.exception()
        if error is not None:
            assert isinstance(error, JmxError), error
            return error
        reply = future.result()
        return to_error(reply.value, logging_in=False) if reply.threw else reply.value

    async def _log_in(self) -> _Session:
        """Find the JMX server in the registry and open a session."""
        try:
            lookup = Call(_REGISTRY, _LOOKUP, write_string("jmxrmi"))
            server = await self._fetch_stub(self._port, lookup, logging_in=False)
            if server.socket_factory is not None:
                raise JmxConnectError(
                    f"{self._peer}: the server wants its clients to use {server.socket_factory}, "
                    "and only plain connections are supported",
                    outcome="tls",
                )
            login = Call(server.object_id, _NEW_CLIENT, self._credentials())
            session = await self._fetch_stub(server.port, login, logging_in=True)
        except JmxError as error:
            self._drop(error)
            raise
        self._logins += 1
        return _Session(server.port, session.object_id)

    def _credentials(self) -> bytes:
        if self._user is None or self._password is None:
            return NULL
        return write_strings([self._user, self._password.reveal()])

    async def _fetch_stub(self, port: int, call: Call, *, logging_in: bool) -> RemoteReference:
        connection = await self._connect(port)
        reply = await connection.send([call])[0]
        if reply.threw:
            raise to_error(reply.value, logging_in=logging_in)
        reference = read_stub(reply.value)
        if reference.needs_ack:
            connection.acknowledge(reply.uid)
        return reference

    async def _connect(self, port: int) -> RmiConnection:
        """Return a living connection to `port`: the present one, or a new one in its place."""
        connection = self._connection
        if connection is None or connection.lost is not None or connection.port != port:
            self._drop(JmxConnectError(f"{self._peer}: no longer needed", outcome="closed"))
            connection = await RmiConnection.open(self._host, port, self._limits)
            self._connection = connection
        return connection

    def _drop(self, reason: JmxError) -> None:
        if self._connection is not None:
            self._connection.drop(reason)
            self._connection = None


@lru_cache(4096)
def _attribute_arguments(name: str, attributes: tuple[str, ...]) -> bytes:
    check_object_name(name)
    check_attributes(attributes)
    return write_object_name(name) + write_strings(attributes) + NULL


def _attributes(answer: JmxValue) -> dict[str, JmxValue] | JmxError:
    attributes: dict[str, JmxValue] = {}
    for item in answer if isinstance(answer, list) else [None]:
        if not isinstance(item, tuple) or len(item) != 2 or not isinstance(item[0], str):
            return JmxProtocolError("a list of attributes was due")
        attributes[item[0]] = item[1]
    return attributes
