"""`JmxClient`: reads attributes of MBeans. It has no way to set one or to invoke anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

from kafka_self_healing.secret import Secret
from kafka_self_healing.wire.jmx.agent import Agent
from kafka_self_healing.wire.jmx.connecting import Tls, TlsContext, plain_words
from kafka_self_healing.wire.jmx.encoding import (
    NULL,
    utf,
    write_object_name,
    write_strings,
)
from kafka_self_healing.wire.jmx.errors import JmxError, JmxNameError, JmxProtocolError
from kafka_self_healing.wire.jmx.object_name import (
    check_attributes,
    check_object_name,
    check_pattern,
)
from kafka_self_healing.wire.jmx.operations import (
    DEFAULT_DOMAIN,
    GET_ATTRIBUTES,
    GET_MBEAN_INFO,
    QUERY_NAMES,
)
from kafka_self_healing.wire.jmx.session import Question, SessionKeeper
from kafka_self_healing.wire.jmx.values import JavaObject, JmxValue, Limits, ObjectName

KEEP_ALIVE_S: Final = 50.0
"""A JVM forgets a session after 120 s; the ways between may forget a connection earlier."""


class JmxClient:
    """One JMX session with one JVM, opened at the first call and renewed when it is lost.

    `port` is the registry's (`jmxremote.port`). The stub found there tells the port of the JMX
    server (`rmi_port` overrides it); the host that it names is ignored, since the server often does
    not know its own name, and so that a registry cannot send our password elsewhere.

    `tls` None: all is plain. Else it is asked for the context of each new connection;
    `registry_tls` says whether the registry speaks TLS too. Nothing is sent to a server whose stub
    asks for the other one. `server_name` is the name that the certificate must bear, if it is not
    `host`; `explain` turns an `ssl.SSLError` or an OSError of a file into words.

    `timeout_s` bounds each method as a whole, with connecting and login; `read` may have another.
    When it passes, the connection is dropped; the session is taken up again on a new one.

    A login that was refused is not tried again for 10 s: accounts may be locked after some tries.
    The server forgets a session after 120 s without a call: after `keep_alive_s` seconds without
    one, a cheap call is made, until `close`. Methods may be called concurrently; they take turns.
    Each raises the JmxError that says why there is no answer, and what to do.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        user: str | None = None,
        password: Secret | None = None,
        tls: TlsContext | None = None,
        registry_tls: bool = True,
        server_name: str | None = None,
        explain: Callable[[Exception], str] = plain_words,
        rmi_port: int | None = None,
        timeout_s: float = 10.0,
        keep_alive_s: float = KEEP_ALIVE_S,
        limits: Limits | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._session = SessionKeeper(
            Agent(
                host=host,
                port=port,
                login=_login(user, password),
                tls=Tls(tls, server_name or host, explain) if tls is not None else None,
                registry_tls=registry_tls,
                rmi_port=rmi_port,
                limits=limits or Limits(),
            ),
            keep_alive_s=keep_alive_s,
        )

    @property
    def logins(self) -> int:
        """How many sessions were opened so far; it grows when the server was restarted."""
        return self._session.logins

    def on_lost(self, callback: Callable[[JmxError], None]) -> None:
        """Have `callback` called, from the event loop, when the connection is lost while idle.

        It stands for all connections to come, in place of an earlier one. Not called for our own
        `close`, nor when a call is under way, which then says so itself. It is a hint to look at
        the node at once, never a verdict.
        """
        self._session.on_lost = callback

    async def read(
        self, requests: Sequence[tuple[str, Sequence[str]]], *, timeout_s: float | None = None
    ) -> list[dict[str, JmxValue] | JmxError]:
        """Read attributes of several MBeans in one round trip.

        Each request is an ObjectName and names of attributes; its result stands at the same place:
        a dict of the attributes, or the error of this request. The server leaves out attributes
        that do not exist or cannot be read at the moment. A reply that cannot be decoded ends the
        connection, so the requests behind it share its error. Raises JmxError if nobody answered.
        """
        results: list[dict[str, JmxValue] | JmxError] = []
        questions: list[Question] = []
        asked: list[int] = []
        for place, (name, attributes) in enumerate(requests):
            try:
                question = _attributes_of(name, tuple(attributes))
            except JmxNameError as error:
                results.append(error)
            else:
                results.append({})
                questions.append(question)
                asked.append(place)
        answers = await self._ask(questions, timeout_s) if questions else []
        for place, answer in zip(asked, answers, strict=True):
            results[place] = answer
        return results

    async def query(self, pattern: str, *, timeout_s: float | None = None) -> list[str]:
        """Return the names of all MBeans that match `pattern`, sorted."""
        check_pattern(pattern)
        arguments = write_object_name(pattern) + NULL + NULL  # no query expression, no subject
        names = await self._ask_one(Question(QUERY_NAMES, arguments), timeout_s)
        if not isinstance(names, list):
            raise JmxProtocolError("a set of names was due")
        found = [name for name in names if isinstance(name, ObjectName)]
        if len(found) != len(names):
            raise JmxProtocolError("a set of names was due")
        return sorted(found)

    async def attributes(self, name: str) -> dict[str, str]:
        """Return the readable attributes of an MBean and the Java types that it says they have."""
        check_object_name(name)
        info = await self._ask_one(Question(GET_MBEAN_INFO, write_object_name(name) + NULL), None)
        described = info.fields.get("attributes") if isinstance(info, JavaObject) else None
        attributes: dict[str, str] = {}
        for one in described if isinstance(described, list) else [None]:
            fields = one.fields if isinstance(one, JavaObject) else {}
            attribute, java_type = fields.get("name"), fields.get("attributeType")
            if not isinstance(attribute, str) or not isinstance(java_type, str):
                raise JmxProtocolError("the description of an MBean was due")
            if fields.get("isRead") is True:
                attributes[attribute] = java_type
        return attributes

    async def default_domain(self) -> str:
        """Return the server's default domain: the cheapest call."""
        domain = await self._ask_one(Question(DEFAULT_DOMAIN, NULL), None)
        if not isinstance(domain, str):
            raise JmxProtocolError("a domain was due")
        return domain

    async def close(self) -> None:
        """Close the session, if the server still listens, and the connection, in two seconds.

        A call that is under way may end; if it hangs, it gets a JmxError. A later call opens both
        again.
        """
        await self._session.close()

    async def _ask(self, questions: Sequence[Question], timeout_s: float | None) -> list[Any]:
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        return await self._session.ask(questions, timeout_s=limit_s)

    async def _ask_one(self, question: Question, timeout_s: float | None) -> JmxValue:
        (answer,) = await self._ask([question], timeout_s)
        if isinstance(answer, JmxError):
            raise answer
        value: JmxValue = answer
        return value


def _login(user: str | None, password: Secret | None) -> tuple[str, Secret] | None:
    if user is None and password is None:
        return None
    if user is None or password is None:
        msg = "user and password are given together or not at all"
        raise ValueError(msg)
    utf(user)  # raises ValueError if it is too long to be sent
    utf(password.reveal())
    return user, password


@lru_cache(4096)
def _attributes_of(name: str, attributes: tuple[str, ...]) -> Question:
    check_object_name(name)
    check_attributes(attributes)
    arguments = write_object_name(name) + write_strings(attributes) + NULL
    return Question(GET_ATTRIBUTES, arguments, read=_attributes)


def _attributes(answer: JmxValue) -> dict[str, JmxValue] | JmxError:
    """Return an AttributeList as a dict."""
    attributes: dict[str, JmxValue] = {}
    for item in answer if isinstance(answer, list) else [None]:
        if not isinstance(item, tuple) or len(item) != 2 or not isinstance(item[0], str):
            return JmxProtocolError("a list of attributes was due")
        attributes[item[0]] = item[1]
    return attributes
