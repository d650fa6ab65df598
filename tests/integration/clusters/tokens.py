"""OAuth for the tests: signed tokens, the key file that brokers check them with, an endpoint."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

AUDIENCE: Final = "kafka"
ISSUER: Final = "https://issuer.test"
CLIENT_ID: Final = "healer-client"
CLIENT_SECRET: Final = "client-S3cret"
_KEY_ID: Final = "test-key"
_KEY_BITS: Final = 2048


class TokenIssuer:
    """Signs JSON Web Tokens (RS256)."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)

    def write_keys(self, path: Path) -> None:
        """Write the public key as the key set that `sasl.oauthbearer.jwks.endpoint.url` names."""
        public = self._key.public_key().public_numbers()
        key = {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": _KEY_ID,
            "n": _number(public.n),
            "e": _number(public.e),
        }
        path.write_text(json.dumps({"keys": [key]}), encoding="utf-8")

    def token(self, subject: str, *, lives_s: float = 3600.0, audience: str = AUDIENCE) -> str:
        """Return a token of `subject` that ends in `lives_s` seconds (negative: it has ended)."""
        now_s = datetime.now(UTC).timestamp()
        claims = {
            "sub": subject,
            "iss": ISSUER,
            "aud": audience,
            "iat": int(now_s - max(0.0, -lives_s) - 60),
            "exp": int(now_s + lives_s),
        }
        header = {"alg": "RS256", "typ": "JWT", "kid": _KEY_ID}
        signed = ".".join(_text(json.dumps(part).encode()) for part in (header, claims))
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_text(signature)}"


@dataclass(slots=True)
class Endpoint:
    """A token endpoint that is served: its address, and how often it gave a token or refused."""

    url: str
    given: int = 0
    refused: int = 0
    asked: threading.Event = field(default_factory=threading.Event)


@contextmanager
def token_endpoint(
    issuer: TokenIssuer, subject: str, tls: ssl.SSLContext | None = None
) -> Iterator[Endpoint]:
    """Serve client credentials grants on loopback: tokens of `subject` for `CLIENT_ID`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scheme = "http" if tls is None else "https"
    told = Endpoint(f"{scheme}://127.0.0.1:{server.server_port}/token")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers.get("Content-Length", "0"))
            form = parse_qs(self.rfile.read(size).decode())
            if _is_client(self.headers.get("Authorization", ""), form):
                told.given += 1
                body = {
                    "access_token": issuer.token(subject),
                    "token_type": "Bearer",
                    "expires_in": 3600,
                }
                self._answer(200, body)
            else:
                told.refused += 1
                self._answer(401, {"error": "invalid_client"})
            told.asked.set()

        def _answer(self, status: int, body: dict[str, object]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            """Say nothing."""

    server.RequestHandlerClass = Handler
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _is_client(authorization: str, form: dict[str, list[str]]) -> bool:
    if form.get("grant_type") != ["client_credentials"]:
        return False
    if authorization.startswith("Basic "):
        said = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        return said == f"{CLIENT_ID}:{CLIENT_SECRET}"
    given = (form.get("client_id"), form.get("client_secret"))
    return given == ([CLIENT_ID], [CLIENT_SECRET])


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _number(value: int) -> str:
    return _text(value.to_bytes((value.bit_length() + 7) // 8, "big"))
