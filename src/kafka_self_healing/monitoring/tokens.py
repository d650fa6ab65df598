"""Where a bearer token comes from: the configuration, a file, or an OpenID Connect provider."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote_plus, urlsplit

from kafka_self_healing.clock import Clock
from kafka_self_healing.model.access import TokenEndpoint
from kafka_self_healing.secret import Secret
from kafka_self_healing.wire.kafka import KafkaSetupError
from kafka_self_healing.wire.tls import TlsContext, load, tls_reason

MAX_TOKEN_BYTES: Final = 65_536
ASK_LIMIT_S: Final = 10.0
KEPT_SHARE: Final = 0.75
"""Of a token's life: sessions are renewed after 0.8 of it, with another token then."""

UNSAID_LIFE_S: Final = 60.0
"""How long a token of which the provider does not say how long it lives is used."""

PAUSE_S: Final = 5.0
"""How long a provider that failed is not asked again."""

_ON_THIS_MACHINE: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_SAID: Final = 200


class GivenToken:
    """A token that stands in the configuration."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    async def fetch(self) -> Secret:
        """Return it."""
        return self._token

    def forget(self) -> None:
        """Do nothing: there is no other."""


class TokenFile:
    """A file that somebody else keeps fresh; it is read at each login."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def fetch(self) -> Secret:
        """Return what is in it now. Raises KafkaSetupError."""
        try:
            text = await asyncio.to_thread(self._read)
        except OSError as exc:
            said = exc.strerror or type(exc).__name__
            raise KafkaSetupError(
                f"sasl.token_file {self._path} cannot be read: {said}; correct path and rights"
            ) from None
        if not text.strip():
            raise KafkaSetupError(f"sasl.token_file {self._path} is empty; who writes it?")
        return Secret(text.strip())

    def forget(self) -> None:
        """Do nothing: it is read anew anyway."""

    def _read(self) -> str:
        with Path(self._path).open("rb") as file:
            return file.read(MAX_TOKEN_BYTES).decode("utf-8", "replace")


class TokenProvider:
    """The token endpoint of a provider, asked with our own credentials (RFC 6749, 4.4).

    A token is used for KEPT_SHARE of its life. All who want one wait for the same answer, and it
    is kept for the next login if it comes too late for theirs.
    """

    def __init__(self, endpoint: TokenEndpoint, tls: TlsContext | None, clock: Clock) -> None:
        self._endpoint, self._tls, self._clock = endpoint, tls, clock
        self._asking: asyncio.Task[Secret] | None = None
        self._token: Secret | None = None
        self._got_at = self._used_until = 0.0
        self._trouble = ""
        self._silent_until = 0.0

    async def fetch(self) -> Secret:
        """Return a token that lives for a while yet. Raises KafkaSetupError."""
        now = self._clock.now().mono_s
        if self._token is not None and now < self._used_until:
            return self._token
        if now < self._silent_until:
            raise KafkaSetupError(self._trouble)
        if self._asking is None:
            self._asking = asyncio.create_task(self._renew(), name="token endpoint")
            self._asking.add_done_callback(self._asked)
        return await asyncio.shield(self._asking)

    def forget(self) -> None:
        """Ask for another token next time, since a node did not take this one.

        Not while it is quite new: another one would be refused too.
        """
        if self._clock.now().mono_s - self._got_at > PAUSE_S:
            self._token = None

    async def _renew(self) -> Secret:
        try:
            async with asyncio.timeout(ASK_LIMIT_S):
                answer = await self._ask()
        except TimeoutError:
            raise self._error(f"did not answer within {ASK_LIMIT_S:g} s") from None
        token, life_s = self._read(answer)
        self._token, self._got_at = token, self._clock.now().mono_s
        self._used_until = self._got_at + KEPT_SHARE * life_s
        return token

    def _asked(self, task: asyncio.Task[Secret]) -> None:
        self._asking = None
        wrong = None if task.cancelled() else task.exception()
        if isinstance(wrong, KafkaSetupError):
            self._trouble, self._silent_until = str(wrong), self._clock.now().mono_s + PAUSE_S

    async def _ask(self) -> dict[str, Any]:
        import httpx2  # costs more to load than the rest of the checks

        endpoint = self._endpoint
        address = urlsplit(endpoint.url)
        if address.scheme != "https" and address.hostname not in _ON_THIS_MACHINE:
            raise KafkaSetupError(
                f"token endpoint {endpoint.url}: not asked, since our secret would be readable on "
                "the way; use https"
            )
        form = {"grant_type": "client_credentials"}
        if endpoint.scope is not None:
            form["scope"] = endpoint.scope
        # RFC 6749, 2.3.1: both are encoded as in a form before they go into the header.
        login = httpx2.BasicAuth(
            quote_plus(endpoint.client_id), quote_plus(endpoint.client_secret.reveal())
        )
        try:
            verify = True if self._tls is None else await load(self._tls, address.hostname or "")
            limit = httpx2.Timeout(ASK_LIMIT_S)
            async with (
                httpx2.AsyncClient(verify=verify, trust_env=False, timeout=limit) as client,
                client.stream("POST", endpoint.url, data=form, auth=login) as reply,
            ):
                body = b""
                async for part in reply.aiter_bytes():
                    body += part
                    if len(body) > MAX_TOKEN_BYTES:
                        raise self._error("its answer is too long")
                return self._answer(reply.status_code, body)
        except httpx2.HTTPError as exc:
            raise self._error(f"cannot be asked: {_words(exc)}") from None
        except OSError as exc:  # our own files
            raise self._error(tls_reason(exc)) from None

    def _answer(self, status: int, body: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise self._error(f"answered HTTP {status} without JSON; is it a token endpoint?")
        if status != 200:
            said = " ".join(
                str(answer[key])[:_SAID] for key in ("error", "error_description") if key in answer
            )
            raise self._error(
                f"answered HTTP {status} ({said or 'no reason given'}); "
                "look at client_id, client_secret and scope"
            )
        return answer

    def _read(self, answer: dict[str, Any]) -> tuple[Secret, float]:
        token, life_s = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token:
            raise self._error("gave no access_token; is it a token endpoint?")
        if isinstance(life_s, bool) or not isinstance(life_s, int | float) or life_s <= 0:
            life_s = UNSAID_LIFE_S
        return Secret(token), float(life_s)

    def _error(self, said: str) -> KafkaSetupError:
        return KafkaSetupError(f"token endpoint {self._endpoint.url}: {said}")


def _words(exc: Exception) -> str:
    """Return the cause of a failed request: TLS's in words, else what the client says."""
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, OSError):
            return tls_reason(cause)
        cause = cause.__cause__ or cause.__context__
    return str(exc) or type(exc).__name__
