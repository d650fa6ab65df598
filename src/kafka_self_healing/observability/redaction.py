"""Takes credentials out of what is about to be written: known ones, and what looks like one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any
from urllib.parse import quote

from kafka_self_healing.secret import Secret

HIDDEN = "***"
SHORTEST = 4
"""Secrets of fewer characters are not searched for: they would black out ordinary words."""

MAX_DEPTH = 8

_NAME = "(?:passwords?|passwd|passphrase|secrets?|tokens?|api[_-]?keys?|credentials?)"
# Without quotes up to the next space: a password may hold any sign, and too much hidden is no harm.
_VALUE = r"""(?:"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|\S+)"""
_PATTERNS = (
    # password=…, "token": …, ssl.key.password = "…", sasl.jaas.config … password='…'
    (re.compile(rf"({_NAME}\\?[\"']?\s*[=:]\s*\\?){_VALUE}", re.IGNORECASE), rf"\1{HIDDEN}"),
    # --password …, -token …
    (re.compile(rf"(?<!\S)(--?[\w.-]{{0,40}}{_NAME}\s+){_VALUE}", re.IGNORECASE), rf"\1{HIDDEN}"),
    # Authorization: Basic …
    (
        re.compile(r"(authorization[\"']?\s*[=:]\s*[\"']?)[^\r\n\"',]+", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(\bbearer\s+)[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1{HIDDEN}"),
    # scheme://user:password@host
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+@"), rf"\1{HIDDEN}@"),
)
_SENSITIVE_KEY = re.compile(
    r"password|passwd|passphrase|secret|token|api[_-]?key|credential|authorization", re.IGNORECASE
)


class Redactor:
    """Knows the secrets in use; whoever learns a new one tells it with `learn`."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._forms: set[str] = set()
        self._known: re.Pattern[str] | None = None
        self.learn(secrets)

    def learn(self, secrets: Iterable[Secret]) -> None:
        """Hide these from now on, also as they look inside JSON and URLs."""
        for secret in secrets:
            text = secret.reveal()
            if len(text) >= SHORTEST:
                self._forms |= {text, quote(text), quote(text, safe=""), json.dumps(text)[1:-1]}
                self._forms |= {repr(text)[1:-1]}
        # The longest first: a secret may begin with another one.
        ordered = sorted(self._forms, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        """Return `text` without credentials."""
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text

    def value(self, value: object, depth: int = 0) -> Any:
        """Return `value` as plain data without credentials; what is not plain, by its `repr`."""
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, str):
            return self.text(value)
        if depth < MAX_DEPTH:
            if isinstance(value, Mapping):
                return {
                    self.text(str(key)): self._field(str(key), item, depth + 1)
                    for key, item in value.items()
                }
            if isinstance(value, (list, tuple, set, frozenset)):
                return [self.value(item, depth + 1) for item in value]
        return self.text(repr(value))

    def __call__(
        self, _logger: object, _method: str, event: MutableMapping[str, Any]
    ) -> dict[str, Any]:
        """Redact one log line (a processor of structlog)."""
        return {str(key): self._field(str(key), item, 0) for key, item in event.items()}

    def _field(self, key: str, value: object, depth: int) -> Any:
        # A yes or no, or nothing, tells no secret.
        if _SENSITIVE_KEY.search(key) and not (value is None or isinstance(value, bool)):
            return HIDDEN
        return self.value(value, depth)
