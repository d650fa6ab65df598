"""The fetcher of pinned files, against a small repository on loopback."""

from __future__ import annotations

import hashlib
import http.server
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.jars import Jar, JarFetcher, default_cache, pinned_jars
from kafka_self_healing.demo.progress import PlainProgress

CONTENT = bytes(range(256)) * 1000


class Repository(http.server.ThreadingHTTPServer):
    """Serves files that tests lay into it, with ranges, and fails as often as it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.failures: list[int] = []
        self.cut_after: list[int] = []
        self.ignore_ranges = False

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Repository

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        content = self.server.files.get(self.path)
        if self.server.failures:
            self.send_error(self.server.failures.pop(0))
        elif content is None:
            self.send_error(404)
        else:
            begin = 0
            if wanted and not self.server.ignore_ranges:
                begin = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(len(content) - begin))
            self.end_headers()
            until = self.server.cut_after.pop(0) if self.server.cut_after else len(content)
            self.wfile.write(content[begin:until])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own name
        return


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """A repository that serves one file."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Repository() as server:
        server.files["/org/a/a.jar"] = CONTENT
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def jar_of(content: bytes = CONTENT, path: str = "org/a/a.jar") -> Jar:
    """The pin of a file with this content."""
    return Jar(path, len(content), hashlib.sha256(content).hexdigest())


def fetch(repository: Repository, cache: Path, *jars: Jar) -> list[Path]:
    """Fetch into `cache` without waiting between attempts."""
    fetcher = JarFetcher(cache, address=repository.address, sleep=lambda _: None)
    return fetcher.fetch(jars or [jar_of()], PlainProgress(io.StringIO()))


def test_whole_file_is_fetched_and_no_partial_file_is_left(
    repository: Repository, tmp_path: Path
) -> None:
    """A file arrives under its own name with its content, and nothing else stays."""
    assert [tmp_path / "a.jar"] == fetch(repository, tmp_path)
    assert (tmp_path / "a.jar").read_bytes() == CONTENT
    assert not list(tmp_path.glob("*.part"))


def test_cached_file_is_not_asked_for(repository: Repository, tmp_path: Path) -> None:
    """A filled cache needs no network."""
    fetch(repository, tmp_path)
    repository.asked.clear()

    fetch(repository, tmp_path)

    assert repository.asked == []


def test_damaged_cached_file_is_fetched_again(repository: Repository, tmp_path: Path) -> None:
    """A cached file of the right size but the wrong content is not trusted."""
    (tmp_path / "a.jar").write_bytes(b"x" * len(CONTENT))

    fetch(repository, tmp_path)

    assert (tmp_path / "a.jar").read_bytes() == CONTENT


def test_partial_file_is_resumed(repository: Repository, tmp_path: Path) -> None:
    """Only what is missing is asked for."""
    (tmp_path / "a.jar.part").write_bytes(CONTENT[:1000])

    fetch(repository, tmp_path)

    assert repository.asked == [("/org/a/a.jar", "bytes=1000-")]
    assert (tmp_path / "a.jar").read_bytes() == CONTENT


def test_connection_that_is_cut_is_resumed(repository: Repository, tmp_path: Path) -> None:
    """A download that ends too early goes on where it ended."""
    repository.cut_after = [70_000]

    fetch(repository, tmp_path)

    assert [wanted for _, wanted in repository.asked] == [None, "bytes=70000-"]
    assert (tmp_path / "a.jar").read_bytes() == CONTENT


def test_server_without_ranges_sends_it_whole(repository: Repository, tmp_path: Path) -> None:
    """A server that ignores ranges does not lead to a file with a doubled beginning."""
    (tmp_path / "a.jar.part").write_bytes(CONTENT[:1000])
    repository.ignore_ranges = True

    fetch(repository, tmp_path)

    assert (tmp_path / "a.jar").read_bytes() == CONTENT


def test_wrong_partial_file_is_thrown_away(repository: Repository, tmp_path: Path) -> None:
    """A partial file that was never the beginning of this one costs a second download only."""
    (tmp_path / "a.jar.part").write_bytes(b"y" * 1000)

    fetch(repository, tmp_path)

    assert [wanted for _, wanted in repository.asked] == ["bytes=1000-", None]
    assert (tmp_path / "a.jar").read_bytes() == CONTENT


def test_wrong_hash_is_an_error_and_leaves_nothing(repository: Repository, tmp_path: Path) -> None:
    """A file that is not the pinned one is refused, named, and not kept."""
    repository.files["/org/a/a.jar"] = b"z" * len(CONTENT)

    with pytest.raises(DemoError, match=r"a\.jar is not the pinned file"):
        fetch(repository, tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_transient_error_is_retried(repository: Repository, tmp_path: Path) -> None:
    """A server that is busy twice is asked a third time."""
    repository.failures = [503, 429]

    fetch(repository, tmp_path)

    assert len(repository.asked) == 3


def test_missing_file_is_not_retried(repository: Repository, tmp_path: Path) -> None:
    """A 404 does not go away: one request, one clear error."""
    with pytest.raises(DemoError, match=r"b\.jar.*404"):
        fetch(repository, tmp_path, jar_of(path="org/b/b.jar"))

    assert len(repository.asked) == 1


def test_offline_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network the error names the address, the variable and the cache folder."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    fetcher = JarFetcher(tmp_path, address="http://127.0.0.1:9", sleep=lambda _: None)

    with pytest.raises(DemoError) as failure:
        fetcher.fetch([jar_of()], PlainProgress(io.StringIO()))

    for words in ("http://127.0.0.1:9", "KHEAL_MAVEN", str(tmp_path)):
        assert words in str(failure.value)


def test_plain_progress_ends_at_a_hundred_although_a_download_was_cut(
    repository: Repository, tmp_path: Path
) -> None:
    """Bytes that are counted twice are taken back: the last line says 100 %."""
    repository.cut_after = [70_000]
    lines = io.StringIO()
    fetcher = JarFetcher(tmp_path, address=repository.address, sleep=lambda _: None)

    fetcher.fetch([jar_of()], PlainProgress(lines))

    assert lines.getvalue().splitlines()[-1].endswith("100 % (0.2 MiB)")


def test_address_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable overrides the public repository, and a parameter overrides both."""
    monkeypatch.setenv("KHEAL_MAVEN", "http://mirror/maven/")

    assert JarFetcher(tmp_path).address == "http://mirror/maven"
    assert JarFetcher(tmp_path, address="http://other").address == "http://other"


def test_cache_folder_follows_the_desktop_rule() -> None:
    """XDG_CACHE_HOME decides where the cache lies."""
    assert default_cache({"XDG_CACHE_HOME": "/c"}) == Path("/c/kafka-self-healing/jars")
    assert default_cache({}) == Path.home() / ".cache/kafka-self-healing/jars"


def test_pins_are_whole() -> None:
    """Every pinned file has a size, a SHA-256 and a name of its own."""
    pins = pinned_jars()

    assert len({jar.name for jar in pins}) == len(pins) > 20
    assert all(jar.size > 0 and len(jar.sha256) == 64 for jar in pins)
