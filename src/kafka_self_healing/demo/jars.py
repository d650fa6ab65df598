"""Fetches the pinned Kafka jars, each checked against its SHA-256, into a cache folder.

A file that is cut off is kept as `.part` and resumed; a file is there under its own name only when
it is whole and its hash is right. Proxies and certificates are those of the environment
(`https_proxy`, `SSL_CERT_FILE`).
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from kafka_self_healing.clock import pause
from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.progress import Progress

KAFKA_VERSION: Final = "4.3.1"
MAVEN_CENTRAL: Final = "https://repo1.maven.org/maven2"
ADDRESS_VARIABLE: Final = "KHEAL_MAVEN"
_PARALLEL: Final = 4
_ATTEMPTS: Final = 4
_CHUNK_BYTES: Final = 64 * 1024
_READ_TIMEOUT_S: Final = 30.0
_TRANSIENT_STATUS: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned file: its path below the repository's address, size in bytes, SHA-256 in hex."""

    path: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """The file's own name, unique among the pinned ones."""
        return self.path.rpartition("/")[2]


class _Transient(Exception):
    """This attempt failed; the next one may not."""


def pinned_jars() -> tuple[Jar, ...]:
    """Return the jars of the pinned Kafka version."""
    listing = resources.files("kafka_self_healing.demo") / f"jars-{KAFKA_VERSION}.json"
    return read_jars(listing.read_text(encoding="utf-8"))


def read_jars(listing: str) -> tuple[Jar, ...]:
    """Return the jars of a list in JSON: path, size, sha256 of each."""
    return tuple(Jar(**entry) for entry in json.loads(listing))


def default_cache(environment: Mapping[str, str] = os.environ) -> Path:
    """Return `$XDG_CACHE_HOME/kafka-self-healing/jars` (`~/.cache/...` if that is not set)."""
    root = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "kafka-self-healing" / "jars"


class JarFetcher:
    """Brings pinned jars into a folder."""

    def __init__(
        self,
        cache: Path | None = None,
        *,
        address: str | None = None,
        sleep: Callable[[float], None] = pause,
    ) -> None:
        """Take `address` (else $KHEAL_MAVEN, else Maven Central) as the repository's base."""
        self.cache = cache if cache is not None else default_cache()
        given = address or os.environ.get(ADDRESS_VARIABLE) or MAVEN_CENTRAL
        self.address = given.rstrip("/")
        self._sleep = sleep
        self._cancelled = threading.Event()

    def fetch(
        self, jars: Sequence[Jar], progress: Progress, *, title: str = f"Kafka {KAFKA_VERSION}"
    ) -> list[Path]:
        """Return the files of `jars`, fetching those that the cache lacks.

        Raises DemoError if one cannot be fetched or is not the pinned file.
        """
        self.cache.mkdir(parents=True, exist_ok=True)
        with _only_one(self.cache):
            missing = [jar for jar in jars if not self._is_cached(jar)]
            if missing:
                self._fetch_all(missing, progress, title)
        return [self.cache / jar.name for jar in jars]

    def _is_cached(self, jar: Jar) -> bool:
        path = self.cache / jar.name
        return path.is_file() and path.stat().st_size == jar.size and _sha256(path) == jar.sha256

    def _fetch_all(self, jars: Sequence[Jar], progress: Progress, title: str) -> None:
        self._cancelled.clear()
        with progress, ThreadPoolExecutor(_PARALLEL, thread_name_prefix="fetch") as threads:
            progress.begin(f"{title}: {len(jars)} jars", sum(j.size for j in jars))
            waiting = [threads.submit(self._fetch_one, jar, progress) for jar in jars]
            try:
                for fetched in waiting:
                    fetched.result()
            except BaseException:
                # Also at Ctrl-C: what is under way stops at its next chunk and can be resumed.
                self._cancelled.set()
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _fetch_one(self, jar: Jar, progress: Progress) -> None:
        part = self.cache / f"{jar.name}.part"
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._resume(jar, part, progress)
            except _Transient as failure:
                if attempt == _ATTEMPTS or self._cancelled.is_set():
                    raise DemoError(self._offline_text(jar, failure)) from failure
                self._sleep(0.5 * 2 ** (attempt - 1))
            else:
                part.replace(self.cache / jar.name)
                return

    def _resume(self, jar: Jar, part: Path, progress: Progress) -> None:
        have = part.stat().st_size if part.is_file() else 0
        if have > jar.size:
            part.unlink()
            have = 0
        resumed = have > 0
        progress.advance(have)
        if have < jar.size:
            have = self._download(jar, part, have, progress)
        if have < jar.size:
            progress.advance(-have)
            raise _Transient(f"cut off after {have} of {jar.size} bytes")
        if _sha256(part) != jar.sha256:
            part.unlink()
            progress.advance(-have)
            if resumed:
                raise _Transient("the resumed file has the wrong SHA-256")
            raise DemoError(
                f"{self.address}/{jar.path} is not the pinned file: its SHA-256 is not "
                f"{jar.sha256}. Something between here and there has changed it"
            )

    def _download(self, jar: Jar, part: Path, have: int, progress: Progress) -> int:
        """Append what is missing and return how many bytes are there then."""
        request = urllib.request.Request(f"{self.address}/{jar.path}")  # noqa: S310 - checked by hash
        if have:
            request.add_header("Range", f"bytes={have}-")
        try:
            with urllib.request.urlopen(request, timeout=_READ_TIMEOUT_S) as answer:  # noqa: S310
                if have and answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                    progress.advance(-have)
                    have = 0
                with part.open("ab" if have else "wb") as file:
                    while have <= jar.size and (chunk := answer.read(_CHUNK_BYTES)):
                        self._stop_if_cancelled()
                        file.write(chunk)
                        have += len(chunk)
                        progress.advance(len(chunk))
        except urllib.error.HTTPError as refused:
            progress.advance(-have)
            with refused:
                if refused.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    part.unlink(missing_ok=True)
                    raise _Transient("the partial file does not fit") from refused
                if refused.code in _TRANSIENT_STATUS:
                    raise _Transient(str(refused)) from refused
                raise DemoError(self._offline_text(jar, refused)) from refused
        except (OSError, http.client.HTTPException) as failure:
            progress.advance(-(part.stat().st_size if part.is_file() else 0))
            raise _Transient(str(failure) or type(failure).__name__) from failure
        return have

    def _stop_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise _Transient("cancelled")

    def _offline_text(self, jar: Jar, failure: Exception) -> str:
        return (
            f"cannot fetch {jar.name} from {self.address}: {failure}. "
            f"Without that address: set {ADDRESS_VARIABLE} to a mirror's, or copy a filled cache "
            f"folder to {self.cache} (then no network is needed)"
        )


@contextmanager
def _only_one(cache: Path) -> Iterator[None]:
    """Let one process at a time fill the folder: two would write into the same partial file."""
    with (cache / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
