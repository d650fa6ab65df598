"""HttpMonitoringPlugin: any URL that says something of a node: REST proxy, Jolokia, exporter."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from kafka_self_healing.errors import CheckError
from kafka_self_healing.model.access import HttpProbe, TlsConfig
from kafka_self_healing.model.evidence import (
    CheckResult,
    CustomFact,
    Kind,
    Outcome,
    ProbeState,
)
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.monitoring.access import Access
from kafka_self_healing.monitoring.checks.http_answer import judge, needs_body
from kafka_self_healing.monitoring.checks.look import look
from kafka_self_healing.plugins import CheckContext, MonitoringPlugin
from kafka_self_healing.wire.tls import is_from_peer, load, tls_reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx2

MAX_BODY_BYTES: Final = 1 << 20
UNSURE: Final = frozenset(
    {
        Outcome.TLS,
        Outcome.AUTHENTICATION,
        Outcome.AUTHORISATION,
        Outcome.PROTOCOL,
        Outcome.NOT_ASKED,
    }
)
"""Outcomes that speak of our probe rather than of what it asks: its state is unknown then."""

_UNSENDABLE: Final = "not asked: a header or login holds what HTTP does not allow"
"""Without the error's own text, which quotes the header."""

_UNAUTHORISED: Final = 401
_FORBIDDEN: Final = 403
_MARGIN: Final = 0.95
_CAUSES: Final = 8


class HttpMonitoringPlugin(MonitoringPlugin):
    """CUSTOM, a result for each configured URL, by its name.

    No redirect is followed, no proxy of the environment used, nothing compressed asked for, and
    at most 1 MiB of the body read.
    """

    def __init__(self, access: Access | None = None) -> None:
        self._access = access or Access()

    @property
    def kinds(self) -> frozenset[Kind]:
        """CUSTOM."""
        return frozenset({Kind.CUSTOM})

    def can_ask(self, target: NodeConfig, kind: Kind) -> bool:  # noqa: ARG002 - one kind
        """Return whether the node has any URL."""
        return bool(target.http)

    async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:
        """Ask all URLs of the node at the same time."""
        return await asyncio.gather(*(self._one(probe, target, context) for probe in target.http))

    async def _one(
        self, probe: HttpProbe, target: NodeConfig, context: CheckContext
    ) -> CheckResult:
        (result,) = await look(context, target.id, self._ask(probe, context))
        fact = result.fact
        if fact is None:
            unsure = result.outcome in UNSURE
            state = ProbeState.UNKNOWN if unsure else ProbeState.CRITICAL
            fact = CustomFact(state, result.error, stands_for=probe.stands_for)
        return replace(result, fact=fact, name=probe.name)

    async def _ask(self, probe: HttpProbe, context: CheckContext) -> CustomFact:
        import httpx2

        began = context.clock.now().mono_s
        limit_s = context.timeout_s * _MARGIN
        where = place(probe.url)
        try:
            async with (
                asyncio.timeout(limit_s),
                self._client(probe) as client,
                client.stream("GET", probe.url, extensions=_extensions(probe.tls)) as answer,
            ):
                _refuse_rights(answer.status_code, probe)
                body = await _body(answer) if needs_body(probe) else b""
                took_s = context.clock.now().mono_s - began
                return judge(probe, answer.status_code, body, took_s)
        except TimeoutError:
            raise CheckError(
                Outcome.TIMED_OUT, f"{where}: no whole answer within {limit_s:g} s"
            ) from None
        except httpx2.HTTPError as wrong:
            outcome, said = _translated(wrong)
            raise CheckError(outcome, f"{where}: {said}") from None
        except httpx2.InvalidURL as wrong:
            raise CheckError(Outcome.PROTOCOL, f"{where}: cannot be asked: {wrong}") from None
        except ValueError:
            raise CheckError(Outcome.PROTOCOL, f"{where}: {_UNSENDABLE}") from None
        except CheckError as wrong:
            raise CheckError(wrong.outcome, f"{where}: {wrong}") from None

    @asynccontextmanager
    async def _client(self, probe: HttpProbe) -> AsyncIterator[httpx2.AsyncClient]:
        """Open a client for one question."""
        import httpx2

        # Each request is a line in its log, with the URL and whatever stands in its query.
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        logging.getLogger("httpcore2").setLevel(logging.WARNING)
        verify: ssl.SSLContext | bool = False
        if probe.url.lower().startswith("https:"):
            make = self._access.tls_context(probe.tls or TlsConfig())
            assert make is not None
            try:
                verify = await load(make)
            except OSError as wrong:
                raise CheckError(Outcome.PROTOCOL, f"not asked: {tls_reason(wrong)}") from None
        async with httpx2.AsyncClient(
            verify=verify,
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # ours counts for all of it together
            headers={"Accept-Encoding": "identity", **_headers(probe)},
            auth=_basic(probe),
        ) as client:
            yield client


def place(url: str) -> str:
    """Return host, port and path of a URL, without what may be secret in it."""
    scheme, _, rest = url.partition("://")
    address = rest.partition("?")[0].partition("#")[0]
    authority, slash, path = address.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def _headers(probe: HttpProbe) -> Mapping[str, str]:
    bearer = probe.bearer
    token = {} if bearer is None else {"Authorization": f"Bearer {bearer.reveal()}"}
    secret = {name: value.reveal() for name, value in probe.secret_headers.items()}
    return {**probe.headers, **secret, **token}


def _basic(probe: HttpProbe) -> tuple[str, str] | None:
    if probe.username is None:
        return None
    return probe.username, probe.password.reveal() if probe.password else ""


def _extensions(tls: TlsConfig | None) -> dict[str, str]:
    name = None if tls is None else tls.server_name
    return {} if name is None else {"sni_hostname": name}


def _refuse_rights(status: int, probe: HttpProbe) -> None:
    """Tell a login that is missing or wrong from a node that is ill."""
    if status in probe.status:
        return
    if status == _UNAUTHORISED:
        raise CheckError(
            Outcome.AUTHENTICATION, "status 401: it wants another login; correct the probe's"
        )
    if status == _FORBIDDEN:
        raise CheckError(Outcome.AUTHORISATION, "status 403: our login may not read this")


async def _body(answer: httpx2.Response) -> bytes:
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise CheckError(Outcome.PROTOCOL, "it sends compressed what was not asked for so")
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise CheckError(
                Outcome.PROTOCOL, f"its answer is longer than {MAX_BODY_BYTES} bytes; ask for less"
            )
    return bytes(body)


def _translated(wrong: httpx2.HTTPError) -> tuple[Outcome, str]:
    """Return the outcome of a failed request, by the error of the operating system below it."""
    import httpx2

    for cause in _causes(wrong):
        if isinstance(cause, ssl.SSLError):
            outcome = Outcome.TLS if is_from_peer(cause) else Outcome.CLOSED
            return outcome, f"TLS: {tls_reason(cause)}"
        if isinstance(cause, ConnectionRefusedError):
            return Outcome.REFUSED, "connection refused; nobody listens on this port"
        if isinstance(cause, socket.gaierror):
            return Outcome.UNREACHABLE, f"the name does not resolve: {cause.strerror}"
        if isinstance(cause, ConnectionError):
            return Outcome.RESET, f"connection cut: {cause.strerror or type(cause).__name__}"
    if isinstance(wrong, httpx2.LocalProtocolError):
        return Outcome.PROTOCOL, _UNSENDABLE
    said = str(wrong) or type(wrong).__name__  # a timeout has no text
    if isinstance(wrong, httpx2.TimeoutException):
        return Outcome.TIMED_OUT, said
    if isinstance(wrong, httpx2.ConnectError):
        return Outcome.UNREACHABLE, f"cannot connect: {said}"
    if isinstance(wrong, httpx2.NetworkError) or "disconnected without" in said:
        return Outcome.CLOSED, f"closed without an answer: {said}"
    return Outcome.PROTOCOL, f"no proper HTTP: {said}"


def _causes(wrong: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what is below it, groups of tried addresses included."""
    waiting: list[BaseException | None] = [wrong]
    for _ in range(_CAUSES):
        one = waiting.pop(0) if waiting else None
        if one is None:
            if not waiting:
                return
            continue
        yield one
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
        waiting.append(one.__cause__ or one.__context__)
