"""A small Kafka of one node, guarded as the real secured cluster is; it passes the same contract.

It knows what a login, a client certificate and a right are, and answers ApiVersions, Metadata and
DescribeQuorum. Threads and blocking TLS, since asyncio's TLS sends no alert when it refuses.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import secrets
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.contracts.kafka_access import TOPIC, Guarded
from tests.integration.clusters.pki import Pki

HOST: Final = "127.0.0.1"
ITERATIONS: Final = 4_096
API_VERSIONS, METADATA, QUORUM, HANDSHAKE, AUTHENTICATE = 18, 3, 55, 17, 36
BROKER_APIS: Final = {3: (1, 1), 17: (0, 1), 18: (0, 4), 36: (0, 2), 55: (0, 0)}
CONTROLLER_APIS: Final = {17: (0, 1), 18: (0, 4), 36: (0, 2), 55: (0, 0)}
_ALERT: Final = b"\x15\x03\x03\x00\x02\x02\x50"  # what Java sends to who speaks no TLS


@dataclass(frozen=True, slots=True)
class Listener:
    """What a listener wants. `certificate` None: plain text; `mechanisms` empty: no login."""

    certificate: Path | None = None
    client_authority: Path | None = None
    mechanisms: tuple[str, ...] = ()
    apis: dict[int, tuple[int, int]] = field(default_factory=lambda: BROKER_APIS)


class Closed(Exception):
    """The node ends the connection."""


@dataclass
class FakeKafka:
    """The node. `users`: passwords of those who may see all; `strangers`: who may see nothing.

    `session_s`: how long a login by password holds; 0: without end.
    """

    listeners: dict[str, Listener]
    users: dict[str, str]
    strangers: dict[str, str]
    session_s: float = 0.0
    pause_s: float = 0.0
    """How long it thinks about each message of a login."""

    leader: int = 1
    """Who leads the only partition; -1: nobody."""

    more: dict[int, Callable[[str], bytes]] = field(default_factory=dict)
    """What it answers to further APIs (in their version of the listener), by the user."""

    ports: dict[str, int] = field(default_factory=dict)
    logins: int = 0
    accepted: int = 0
    _sockets: list[socket.socket] = field(default_factory=list)
    _open: set[socket.socket] = field(default_factory=set)

    @contextmanager
    def running(self) -> Iterator[FakeKafka]:
        """Serve all listeners."""
        for name, listener in self.listeners.items():
            server = socket.create_server((HOST, 0))
            self._sockets.append(server)
            self.ports[name] = server.getsockname()[1]
            threading.Thread(target=self._accept, args=(server, listener), daemon=True).start()
        try:
            yield self
        finally:
            for server in self._sockets:
                server.shutdown(socket.SHUT_RDWR)
                server.close()
            self.cut()

    def cut(self) -> None:
        """End all connections."""
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self, server: socket.socket, listener: Listener) -> None:
        context = _context(listener)
        while True:
            try:
                plain, _ = server.accept()
            except OSError:
                return
            args = (plain, listener, context)
            threading.Thread(target=self._serve, args=args, daemon=True).start()

    def _serve(
        self, plain: socket.socket, listener: Listener, context: ssl.SSLContext | None
    ) -> None:
        self.accepted += 1
        self._open.add(plain)
        stream = plain
        try:
            if context is not None:
                if plain.recv(1, socket.MSG_PEEK) != b"\x16":
                    plain.sendall(_ALERT)
                    return
                stream = context.wrap_socket(plain, server_side=True)
                self._open.remove(plain)
                self._open.add(stream)
            Conversation(self, listener, stream).go_on()
        except (OSError, Closed, struct.error):
            pass
        finally:
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_WR)
                while plain is stream and stream.recv(4096):
                    pass
            self._open.discard(stream)
            stream.close()

    def knows(self, user: str) -> str | None:
        """Return the password of a user."""
        return self.users.get(user) or self.strangers.get(user)


def _context(listener: Listener) -> ssl.SSLContext | None:
    if listener.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(listener.certificate)
    if listener.client_authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(listener.client_authority)
    return context


class Conversation:
    """One connection, from the first request to the last."""

    def __init__(self, node: FakeKafka, listener: Listener, stream: socket.socket) -> None:
        self.node, self.listener, self.stream = node, listener, stream
        self.user = "" if listener.mechanisms else "ANONYMOUS"
        self.greeted = False
        self.expires: float | None = None

    def go_on(self) -> None:
        """Answer until one side ends it."""
        while True:
            api, version, number, body = self._request()
            if api == HANDSHAKE:
                self._handshake(number, body)
            elif not self.user:
                self._before_login(api, version, number)
            elif self.expires is not None and time.monotonic() > self.expires:
                raise Closed
            else:
                self._answer(api, version, number)

    def _before_login(self, api: int, version: int, number: bytes) -> None:
        """Kafka takes one good ApiVersions, and any number in versions that it does not know."""
        if api != API_VERSIONS or self.greeted:
            raise Closed
        self.greeted = version <= self.listener.apis[api][1]
        self._answer(api, version, number)

    def _answer(self, api: int, version: int, number: bytes) -> None:
        if api not in self.listener.apis:
            raise Closed
        if api == API_VERSIONS:
            self._reply(number, _api_versions(self.listener.apis, version))
        elif api == METADATA:
            port = self.stream.getsockname()[1]
            topics = [TOPIC] if self._may_see() else []
            self._reply(number, _metadata(port, topics, self.node.leader))
        elif api == QUORUM:
            self._reply(number, _quorum(0 if self._may_see() else 31))
        else:
            self._reply(number, self.node.more[api](self.user))

    def _may_see(self) -> bool:
        return self.user not in self.node.strangers

    def _handshake(self, number: bytes, body: bytes) -> None:
        mechanism = body[2:].decode()
        offered = self.listener.mechanisms
        names = struct.pack(">i", len(offered)) + b"".join(map(_text, offered))
        error = 0 if mechanism in offered else 33 if offered else 34
        self._reply(number, struct.pack(">h", error) + names)
        if error == 33:
            raise Closed
        if not error:
            self._log_in(mechanism)

    def _log_in(self, mechanism: str) -> None:
        lives_s = self.node.session_s
        if mechanism == "PLAIN":
            _, user, password = self._token()[2].decode().split("\0")
            if self.node.knows(user) != password:
                self._refuse("Authentication failed: Invalid username or password")
        elif mechanism == "OAUTHBEARER":
            token = self._token()[2].split(b"Bearer ")[1].rstrip(b"\x01").decode()
            lives_s = _lives_s(token)
            if lives_s <= 0:
                self._say(b'{"status":"invalid_token"}')
                self._token()
                self._refuse('{"status":"invalid_token"}')
            user = "healer"
        else:
            user = self._scram(mechanism)
        self.user = user
        self.node.logins += 1
        self._say(self.last, lives_s)
        self.expires = time.monotonic() + lives_s if lives_s > 0 else None

    last = b""

    def _scram(self, mechanism: str) -> str:
        digest = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}[mechanism]
        words = f"invalid credentials with SASL mechanism {mechanism}"
        first = self._token()[2].decode().removeprefix("n,,")
        name, nonce = (part[2:] for part in first.split(","))
        user = name.replace("=2C", ",").replace("=3D", "=")
        password = self.node.knows(user)
        if password is None:
            self._refuse(words)
        assert password is not None
        salt = hashlib.sha256(user.encode()).digest()[:16]
        joined = nonce + secrets.token_hex(8)
        offer = f"r={joined},s={base64.b64encode(salt).decode()},i={ITERATIONS}"
        self._say(offer.encode())
        final = self._token()[2].decode()
        without_proof, _, proof = final.rpartition(",p=")
        message = ",".join((first, offer, without_proof)).encode()
        salted = hashlib.pbkdf2_hmac(digest, password.encode(), salt, ITERATIONS)
        key = hmac.digest(salted, b"Client Key", digest)
        signature = hmac.digest(hashlib.new(digest, key).digest(), message, digest)
        if base64.b64decode(proof) != bytes(a ^ b for a, b in zip(key, signature, strict=True)):
            self._refuse(words)
        server_key = hmac.digest(salted, b"Server Key", digest)
        self.last = b"v=" + base64.b64encode(hmac.digest(server_key, message, digest))
        return user

    def _token(self) -> tuple[int, bytes, bytes]:
        api, version, number, body = self._request()
        if api != AUTHENTICATE:  # Kafka takes nothing else during a login
            raise Closed
        time.sleep(self.node.pause_s)
        self.number, self.version = number, version
        return version, number, body[1 + (len(body) > 128) : -1]

    def _say(self, data: bytes, lives_s: float = 0.0) -> None:
        self._authenticated(0, None, data, lives_s)

    def _refuse(self, words: str) -> None:
        self._authenticated(58, words, b"", 0.0)
        raise Closed

    def _authenticated(self, error: int, words: str | None, data: bytes, lives_s: float) -> None:
        said = b"\0" if words is None else bytes((len(words) + 1,)) + words.encode()
        size = len(data) + 1
        length = bytes((size,)) if size < 128 else bytes((size & 127 | 128, size >> 7))
        body = struct.pack(">h", error) + said + length + data
        self._reply(self.number, b"\0" + body + struct.pack(">q", int(lives_s * 1000)) + b"\0")

    def _request(self) -> tuple[int, int, bytes, bytes]:
        (size,) = struct.unpack(">i", self._exactly(4))
        if not 8 <= size <= 100 << 20:
            raise Closed
        frame = self._exactly(size)
        api, version, named = *struct.unpack(">hh", frame[:4]), frame[8:10]
        start = 10 + int.from_bytes(named, "big")
        flexible = (api == API_VERSIONS and version >= 3) or (api == AUTHENTICATE and version >= 2)
        return api, version, frame[4:8], frame[start + flexible :]

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.stream.recv(size - len(data))
            if not part:
                raise Closed
            data += part
        return data

    def _reply(self, number: bytes, body: bytes) -> None:
        self.stream.sendall(struct.pack(">i", 4 + len(body)) + number + body)


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _api_versions(apis: dict[int, tuple[int, int]], version: int) -> bytes:
    if version > apis[API_VERSIONS][1]:
        return struct.pack(">hihhh", 35, 1, API_VERSIONS, *apis[API_VERSIONS])
    if version < 3:
        rows = b"".join(struct.pack(">hhh", key, *ends) for key, ends in apis.items())
        return struct.pack(">hi", 0, len(apis)) + rows + (bytes(4) if version else b"")
    rows = b"".join(struct.pack(">hhhx", key, *ends) for key, ends in apis.items())
    return b"\0\0" + bytes((len(apis) + 1,)) + rows + bytes(4) + b"\0"


def _metadata(port: int, topics: list[str], leader: int) -> bytes:
    broker = struct.pack(">ii", 1, 1) + _text(HOST) + struct.pack(">i", port) + b"\xff\xff"
    part = struct.pack(">hiiiiii", 0, 0, leader, 1, 1, 1, leader)
    part = part if leader >= 0 else struct.pack(">hiiiii", 5, 0, leader, 1, 1, 0)
    rows = b"".join(
        b"\0\0" + _text(topic) + b"\0" + struct.pack(">i", 1) + part for topic in topics
    )
    return broker + struct.pack(">ii", 1, len(topics)) + rows


def _quorum(error: int) -> bytes:
    if error:
        return b"\0" + struct.pack(">h", error) + b"\1" + b"\0"
    name = b"__cluster_metadata"
    part = struct.pack(">ihiiq", 0, 0, 1, 7, 40) + b"\2" + struct.pack(">iq", 1, 40) + b"\0\1\0"
    topic = bytes((len(name) + 1,)) + name + b"\2" + part + b"\0"
    return b"\0" + b"\0\0" + b"\2" + topic + b"\0"


HEALER: Final = ("healer", "h,e=aler-S3cret")
STRANGER: Final = ("stranger", "stranger-S3cret")


def guarded_node(pki: Pki) -> FakeKafka:
    """Return a node with the listeners of the contract, not yet running."""
    scram = ("SCRAM-SHA-512", "SCRAM-SHA-256")
    return FakeKafka(
        listeners={
            "SCRAM": Listener(pki.broker, mechanisms=scram),
            "PLAIN": Listener(pki.broker, mechanisms=("PLAIN",)),
            "OAUTH": Listener(pki.broker, mechanisms=("OAUTHBEARER",)),
            "MTLS": Listener(pki.broker, pki.ca),
            "CONTROLLER": Listener(pki.broker, pki.ca, apis=CONTROLLER_APIS),
            "EXPIRED": Listener(pki.expired),
            "FUTURE": Listener(pki.future),
            "OTHERHOST": Listener(pki.other_host),
            "FOREIGN": Listener(pki.foreign),
            "OPEN": Listener(),
        },
        users=dict([HEALER]),
        strangers=dict([STRANGER]),
        pause_s=0.01,
    )


def as_guarded(node: FakeKafka, pki: Pki) -> Guarded:
    """Return a running node as the contract wants it."""
    return Guarded(
        HOST,
        node.ports,
        pki,
        HEALER,
        STRANGER,
        token=lambda lives_s: f"token.{time.time() + lives_s}",
        shortest_s=0.3,
    )


def _lives_s(token: str) -> float:
    name, _, ends = token.partition(".")
    return float(ends) - time.time() if name == "token" else 0.0
