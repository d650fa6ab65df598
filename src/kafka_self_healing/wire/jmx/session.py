"""`SessionKeeper`: one login with one JVM, kept alive, and renewed once when it is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kafka_self_healing.wire.jmx.agent import Agent
from kafka_self_healing.wire.jmx.connecting import HANGS, Endpoint, Waiting
from kafka_self_healing.wire.jmx.encoding import NULL, write_string
from kafka_self_healing.wire.jmx.errors import (
    JmxAccessDenied,
    JmxAuthenticationError,
    JmxConnectError,
    JmxError,
    JmxProtocolError,
    JmxSessionGone,
    JmxTimeout,
    JmxTlsError,
)
from kafka_self_healing.wire.jmx.operations import (
    CLOSE,
    DEFAULT_DOMAIN,
    LOOKUP,
    NEW_CLIENT,
    REGISTRY,
)
from kafka_self_healing.wire.jmx.rmi import Call, Reply, RmiConnection
from kafka_self_healing.wire.jmx.shapes import Meaning
from kafka_self_healing.wire.jmx.stub import RemoteReference, read_stub
from kafka_self_healing.wire.jmx.throwable import to_error

CALLS_IN_FLIGHT: Final = 256
LOGIN_PAUSE_S: Final = 10.0
_FAREWELL_S: Final = 1.0
_REFRESH_LIMIT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Question:
    """A call that any session can make; `read` as in `rmi.Call`."""

    operation: bytes
    arguments: bytes
    read: Meaning | None = None


@dataclass(frozen=True, slots=True)
class _Session:
    """A login. It belongs to an object of the server, not to a connection."""

    endpoint: Endpoint
    object_id: bytes


class SessionKeeper:
    """Asks questions in one session. Callers take turns; each has its own time limit.

    While nobody asks, a call of ours comes every `keep_alive_s`, as long as the connection lasts:
    the server forgets a session after 120 s without one. `on_lost` is called when the connection is
    lost, or proves silent, while nobody asks.
    """

    def __init__(self, agent: Agent, *, keep_alive_s: float) -> None:
        self.logins = 0
        self.on_lost: Callable[[JmxError], None] | None = None
        self._agent = agent
        self._keep_alive_s = keep_alive_s
        self._turn = asyncio.Lock()
        self._endpoint = agent.registry  # where we are, or are on the way to
        self._waiting = Waiting()
        self._connection: RmiConnection | None = None
        self._session: _Session | None = None
        self._refused: tuple[float, JmxAuthenticationError] | None = None
        self._closed = 0  # how often; a turn that sees it grow ends
        self._closed_before = 0  # at the beginning of the present turn
        self._used_s = 0.0  # of the loop's clock
        self._alarm: asyncio.TimerHandle | None = None
        self._refreshing: asyncio.Task[None] | None = None

    async def ask(self, questions: Sequence[Question], *, timeout_s: float) -> list[Any]:
        """Return the answers in order, each a value or a JmxError; log in if there is no session.

        Raises the JmxError for which nobody answered.
        """
        mine = False
        try:
            async with asyncio.timeout(timeout_s), self._turn:
                mine = True
                answers = await self._ask(questions, timeout_s)
        except TimeoutError:
            error = self._timeout(timeout_s)
            if mine:
                self._drop(error)
            raise error from None
        except asyncio.CancelledError:
            # The answers that still come must not pile up behind a caller that has gone.
            if mine:
                self._drop(JmxConnectError(f"{self._endpoint}: call given up", outcome="closed"))
            raise
        self._keep_alive()
        return answers

    async def close(self) -> None:
        """Close session and connection; a server that does not listen is left after a second.

        A call that is under way longer than that gets a JmxError. A later `ask` opens both again.
        """
        self._closed += 1
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        try:
            with contextlib.suppress(TimeoutError, JmxError):
                async with asyncio.timeout(_FAREWELL_S), self._turn:
                    await self._say_farewell()
        finally:
            connection, self._session = self._connection, None
            self._drop(self._closed_by_us())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                if connection is not None:
                    await connection.wait_closed()
                if self._refreshing is not None:
                    await asyncio.wait([self._refreshing])

    async def _say_farewell(self) -> None:
        connection, session = self._connection, self._session
        if connection is not None and session is not None and connection.lost is None:
            await connection.ask([Call(session.object_id, CLOSE, returns_value=False)])

    async def _ask(self, questions: Sequence[Question], limit_s: float) -> list[Any]:
        """Ask in the session that exists, or in a new one; there is one new one at most."""
        self._closed_before = self._closed
        if self._session is not None:
            try:
                return await self._exchange(self._session, questions, limit_s)
            except (JmxSessionGone, JmxConnectError) as error:
                # A restart, or too long idle. All calls only read, so asking again is harmless.
                reached = self._connection is not None
                self._drop(error)
                if self._closed != self._closed_before:
                    raise
                if not reached and self._session.endpoint.port == self._agent.port:
                    raise  # the registry, on the same port, would say the same
                self._session = None
        self._session = await self._log_in(limit_s)
        return await self._exchange(self._session, questions, limit_s)

    async def _exchange(
        self, session: _Session, questions: Sequence[Question], limit_s: float
    ) -> list[Any]:
        """Ask in one session. Raises what says that it, or the way to it, is of no more use."""
        connection = await self._connected(session.endpoint, limit_s)
        answers: list[Any] = []
        for start in range(0, len(questions), CALLS_IN_FLIGHT):
            batch = questions[start : start + CALLS_IN_FLIGHT]
            if connection.lost is not None:
                answers += [connection.lost.again() for _ in batch]
                continue
            object_id = session.object_id
            calls = [Call(object_id, one.operation, one.arguments, read=one.read) for one in batch]
            for reply in await connection.ask(calls):
                answer = _answer(reply)
                if isinstance(answer, JmxSessionGone | JmxConnectError | JmxTlsError):
                    raise answer
                answers.append(answer)
        return answers

    async def _log_in(self, limit_s: float) -> _Session:
        """Find the JMX server in the registry and open a session."""
        try:
            lookup = Call(REGISTRY, LOOKUP, write_string("jmxrmi"))
            server = await self._fetch_stub(self._agent.registry, lookup, limit_s)
            endpoint = self._agent.server(server)
            self._wait_after_refusal()
            login = Call(server.object_id, NEW_CLIENT, self._agent.credentials())
            session = await self._fetch_stub(endpoint, login, limit_s)
        except JmxAuthenticationError as error:
            if self._refused is None:
                ends_s = asyncio.get_running_loop().time() + LOGIN_PAUSE_S
                self._refused = ends_s, error
            self._drop(error)
            raise
        except JmxError as error:
            self._drop(error)
            raise
        self.logins += 1
        return _Session(endpoint, session.object_id)

    def _wait_after_refusal(self) -> None:
        """Raise what was said to our login, if that was a moment ago: accounts may be locked.

        The registry has just answered, so it is still true that the process lives.
        """
        if self._refused is not None:
            ends_s, refusal = self._refused
            if asyncio.get_running_loop().time() < ends_s:
                raise refusal.again()
            self._refused = None

    async def _fetch_stub(self, endpoint: Endpoint, call: Call, limit_s: float) -> RemoteReference:
        connection = await self._connected(endpoint, limit_s)
        (reply,) = await connection.ask([call])
        if isinstance(reply, JmxError):
            raise reply
        if reply.threw:
            logging_in = call.operation == NEW_CLIENT
            raise self._agent.refusal(endpoint, to_error(reply.value, logging_in=logging_in))
        try:
            reference = read_stub(reply.value)
        except JmxProtocolError as error:
            raise JmxProtocolError(f"{endpoint}: {error}; is this the JMX port?") from None
        if reference.needs_ack:
            connection.acknowledge(reply.uid)
        return reference

    async def _connected(self, endpoint: Endpoint, limit_s: float) -> RmiConnection:
        """Return a living connection to `endpoint`: the present one, or a new one in its place."""
        connection = self._connection
        if connection is not None and connection.lost is None and connection.endpoint == endpoint:
            return connection
        self._drop(JmxConnectError(f"{endpoint}: no longer needed", outcome="closed"))
        self._endpoint = endpoint
        try:
            connection = await RmiConnection.open(
                endpoint, self._agent.limits, self._waiting, limit_s=limit_s
            )
        except (JmxConnectError, JmxTimeout) as error:
            raise type(error)(f"{error}{self._other_port()}", outcome=error.outcome) from None
        if self._closed != self._closed_before:
            connection.drop(self._closed_by_us())
            raise self._closed_by_us()
        self._connection = connection
        return connection

    def _other_port(self) -> str:
        if self._endpoint.port == self._agent.port:
            return ""
        return (
            f" (the registry on port {self._agent.port} names this port: open it in the firewall, "
            "or set com.sun.management.jmxremote.rmi.port at the node)"
        )

    def _timeout(self, limit_s: float) -> JmxTimeout:
        """Return the error that says what has not come in time."""
        connection = self._connection
        if connection is None:
            state = self._waiting.what + self._other_port()
        elif connection.greeted:
            state = f"the call was sent; {HANGS}"
        else:
            state = f"it accepted the connection and said nothing; {HANGS}"
        return JmxTimeout(f"{self._endpoint}: no answer within {limit_s:g} s: {state}")

    def _drop(self, reason: JmxError) -> None:
        if self._connection is not None:
            self._connection.drop(reason)
            self._connection = None

    def _closed_by_us(self) -> JmxConnectError:
        return JmxConnectError(f"{self._endpoint}: closed by us", outcome="closed")

    def _keep_alive(self) -> None:
        """Note that the session was used just now, and see to it that it is again in time."""
        connection = self._connection
        if connection is None or connection.lost is not None:
            return
        loop = asyncio.get_running_loop()
        self._used_s = loop.time()
        connection.on_lost = self._tell_lost
        if self._alarm is None and self._refreshing is None:
            self._alarm = loop.call_later(self._keep_alive_s, self._wake)

    def _wake(self) -> None:
        self._alarm = None
        connection = self._connection
        if connection is None or connection.lost is not None:
            return
        loop = asyncio.get_running_loop()
        left_s = self._used_s + self._keep_alive_s - loop.time()
        if left_s > 0 or self._turn.locked():
            self._alarm = loop.call_later(left_s if left_s > 0 else 1.0, self._wake)
        else:
            self._refreshing = loop.create_task(self._refresh(connection))

    async def _refresh(self, connection: RmiConnection) -> None:
        """Use the session, if nobody did meanwhile; it is not renewed for nobody."""
        error: JmxError | None = None
        mine = False
        try:
            async with asyncio.timeout(_REFRESH_LIMIT_S), self._turn:
                mine = self._session is not None and connection.lost is None
                if self._session is not None and mine:
                    calls = [Call(self._session.object_id, DEFAULT_DOMAIN, NULL)]
                    answer = _answer((await connection.ask(calls))[0])
                    error = answer if isinstance(answer, JmxError) else None
        except TimeoutError:
            if mine:
                error = self._timeout(_REFRESH_LIMIT_S)
        finally:
            self._refreshing = None
        if error is None:
            self._keep_alive()
        elif self._connection is connection:
            self._drop(error)
            if isinstance(error, JmxSessionGone):
                self._session = None
            else:
                self._tell_lost(error)

    def _tell_lost(self, error: JmxError) -> None:
        if self.on_lost is not None:
            self.on_lost(error)


def _answer(reply: Reply | JmxError) -> Any:
    if isinstance(reply, JmxError):
        return reply
    if not reply.threw:
        return reply.value
    error = to_error(reply.value, logging_in=False)
    if isinstance(error, JmxAccessDenied):
        advice = "give the user `readonly` in com.sun.management.jmxremote.access.file"
        return JmxAccessDenied(f"{error}; {advice}")
    return error
