"""SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, 7677): both sides prove to know the password."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
import stringprep
import unicodedata
from typing import Final

from kafka_self_healing.secret import Secret
from kafka_self_healing.wire.kafka.errors import KafkaAuthenticationError, KafkaProtocolError
from kafka_self_healing.wire.kafka.sasl import Conversation, SaslLogin

MIN_ITERATIONS: Final = 4_096
MAX_ITERATIONS: Final = 1_000_000
"""What a node may ask of us: less makes the password guessable, more burns our processor."""

MAX_MESSAGE_BYTES: Final = 4_096
_DIGESTS: Final = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
_NO_BINDING: Final = "n,,"
_KEPT: Final = 8
_PROHIBITED: Final = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


class ScramLogin(SaslLogin):
    """A user and a password. `mechanism`: SCRAM-SHA-256 or SCRAM-SHA-512.

    Kafka takes the bytes of a password as they are; RFC 5802 prepares them (SASLprep). Where that
    differs, the bytes go first, and each refusal brings the other form to its turn.
    """

    def __init__(self, mechanism: str, username: str, password: Secret) -> None:
        self.mechanism = mechanism
        self._digest = _DIGESTS[mechanism]
        self._username = username
        self._forms = _forms(username, password)
        self._keys: dict[tuple[bytes, bytes, int], bytes] = {}

    async def converse(self, host: str) -> Conversation:  # noqa: ARG002 - the same everywhere
        """Exchange nonces, prove that we know the password, check that the node does."""
        form = self._forms[0]
        username, password = form[0], form[1].reveal().encode()
        nonce = secrets.token_urlsafe(24)
        first = f"n={_escaped(username)},r={nonce}"
        server_first = yield (_NO_BINDING + first).encode()
        joined, salt, iterations = _read_first(server_first, nonce)
        salted = await self._salted(password, salt, iterations)
        without_proof = f"c={base64.b64encode(_NO_BINDING.encode()).decode()},r={joined}"
        message = b",".join((first.encode(), server_first, without_proof.encode()))
        client_key = self._mac(salted, b"Client Key")
        stored_key = hashlib.new(self._digest, client_key).digest()
        signature = self._mac(stored_key, message)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        final = yield f"{without_proof},p={base64.b64encode(proof).decode()}".encode()
        expected = self._mac(self._mac(salted, b"Server Key"), message)
        if not hmac.compare_digest(_read_final(final), expected):
            raise KafkaAuthenticationError(
                f"{self.mechanism}: the other side does not know the password of "
                f"{self._username!r}; it may not be the real node: check the address"
            )

    def refused(self, messages: int) -> str:
        """Tell an unknown user (first message) from a wrong password (second)."""
        self._forms = self._forms[::-1]
        if messages == 1:
            return (
                f"user {self._username!r} has no {self.mechanism} credential in this cluster; "
                "correct sasl, or create it with kafka-configs.sh"
            )
        return f"user {self._username!r} is known, the password is not his; correct sasl.password"

    async def _salted(self, password: bytes, salt: bytes, iterations: int) -> bytes:
        """Return the salted password. It is dear on purpose, and the same at every node."""
        key = (hashlib.sha256(password).digest(), salt, iterations)
        if key not in self._keys:
            while len(self._keys) >= _KEPT:
                del self._keys[next(iter(self._keys))]
            self._keys[key] = await asyncio.to_thread(
                hashlib.pbkdf2_hmac, self._digest, password, salt, iterations
            )
        return self._keys[key]

    def _mac(self, key: bytes, message: bytes) -> bytes:
        return hmac.digest(key, message, self._digest)


def _forms(username: str, password: Secret) -> list[tuple[str, Secret]]:
    as_written = (username, password)
    prepared = (saslprep(username), saslprep(password.reveal()))
    if prepared[0] is None or prepared[1] is None:  # RFC 5802 has no form of it; Kafka has
        return [as_written]
    other = (prepared[0], Secret(prepared[1]))
    return [as_written] if other == as_written else [as_written, other]


def saslprep(text: str) -> str | None:
    """Return `text` prepared by RFC 4013; None: it has a character that RFC forbids."""
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in text
        if not stringprep.in_table_b1(char)
    )
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if any(forbidden(char) for char in prepared for forbidden in _PROHIBITED):
        return None
    if any(stringprep.in_table_a1(char) for char in prepared):
        return None
    right_to_left = [stringprep.in_table_d1(char) for char in prepared]
    if any(right_to_left) and not (
        right_to_left[0]
        and right_to_left[-1]
        and not any(stringprep.in_table_d2(char) for char in prepared)
    ):
        return None
    return prepared


def _escaped(name: str) -> str:
    return name.replace("=", "=3D").replace(",", "=2C")


def _read_first(message: bytes, nonce: str) -> tuple[str, bytes, int]:
    """Return the joined nonce, the salt and the iterations of the node's first message."""
    parts = _parts(message)
    if len(parts) < 3 or [part[:2] for part in parts[:3]] != ["r=", "s=", "i="]:
        raise KafkaProtocolError("SCRAM: the first message is not nonce, salt and iterations")
    joined, salt, number = (part[2:] for part in parts[:3])
    if not joined.startswith(nonce) or len(joined) == len(nonce):
        raise KafkaAuthenticationError(
            "SCRAM: the node did not add to our nonce; somebody may replay an old login"
        )
    if not number.isascii() or not number.isdecimal() or len(number) > 9:
        raise KafkaProtocolError("SCRAM: the iterations are no number")
    iterations = int(number)
    if not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
        raise KafkaAuthenticationError(
            f"SCRAM: the node asks for {iterations} iterations, we do "
            f"{MIN_ITERATIONS}..{MAX_ITERATIONS}; create the credential anew with kafka-configs.sh"
        )
    return joined, _decoded(salt), iterations


def _read_final(message: bytes) -> bytes:
    first = _parts(message)[0]
    if first.startswith("e="):
        raise KafkaAuthenticationError(f"SCRAM: refused ({first[2:100]}); check user and password")
    if not first.startswith("v="):
        raise KafkaProtocolError("SCRAM: the last message has no signature")
    return _decoded(first[2:])


def _parts(message: bytes) -> list[str]:
    if len(message) > MAX_MESSAGE_BYTES:
        raise KafkaProtocolError(f"SCRAM: a message of {len(message)} bytes")
    try:
        return message.decode("utf-8").split(",")
    except UnicodeDecodeError:
        raise KafkaProtocolError("SCRAM: a message is not UTF-8") from None


def _decoded(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not raw:
        raise KafkaProtocolError("SCRAM: a value is not base64")
    return raw
