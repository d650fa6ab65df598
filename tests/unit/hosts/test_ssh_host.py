"""SshHost with the system's own client: each way to fail, what is kept, what is seen of it."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest
from hypothesis import HealthCheck, given, settings, strategies
from tests.unit.hosts.ssh_server import Lets, World, ssh_world

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.hosts import (
    Asked,
    CommandOutcome,
    CommandServiceManager,
    HostUnreachable,
    Question,
    SshFault,
    SshHost,
)
from kafka_self_healing.hosts.run_dir import RunDirectory
from kafka_self_healing.model.access import CommandService, SshAccess
from kafka_self_healing.model.evidence import Outcome

LIMIT_S = 20.0
QUESTION = Question(commands=(Asked("status", ("echo", "well")),))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A server that lets us in."""
    async with ssh_world(tmp_path / "ssh") as made:
        yield made


class Pool:
    """Makes hosts with one run directory, and closes them."""

    def __init__(self) -> None:
        self.run_dir, self._made = RunDirectory(), list[SshHost]()

    def host(self, access: SshAccess, **more: object) -> SshHost:
        """Return a host with this access."""
        number = len(self._made) + 1
        made = SshHost(access, SystemClock(), self.run_dir, number=number, **more)  # type: ignore[arg-type]
        self._made.append(made)
        return made

    async def close(self) -> None:
        """Close all of them."""
        for host in self._made:
            await host.close()
        self.run_dir.remove()


@pytest.fixture
async def hosts() -> AsyncIterator[Pool]:
    """Hosts that are closed in the end."""
    pool = Pool()
    yield pool
    await pool.close()


async def said(host: SshHost, *, timeout_s: float = LIMIT_S) -> str:
    """Look once and return what the command said."""
    reading = await host.look(QUESTION, timeout_s=timeout_s)
    return reading.commands["status"].stdout


async def fault(host: SshHost, *, timeout_s: float = LIMIT_S) -> HostUnreachable:
    """Look once and return why that was not possible."""
    with pytest.raises(HostUnreachable) as caught:
        await host.look(QUESTION, timeout_s=timeout_s)
    return caught.value


async def test_twenty_looks_use_one_connection(world: World, hosts: Pool) -> None:
    """One login serves all looks, also several at once."""
    host = hosts.host(world.access)
    for _ in range(10):
        assert await said(host) == "well\n"
    assert await asyncio.gather(*(said(host) for _ in range(10))) == ["well\n"] * 10
    assert (world.logins, world.gate.connections) == (1, 1)
    assert len(world.sessions) == 20


async def test_the_folder_of_the_sockets_is_private(world: World, hosts: Pool) -> None:
    """Nobody else may use the connection; after the end nothing of it is left."""
    host = hosts.host(world.access)
    await said(host)
    folder = hosts.run_dir.path()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir() if path.is_socket()] == ["1-1"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
    assert len(os.fsencode(folder)) < 60
    await hosts.close()
    assert not folder.exists()


async def test_a_folder_with_a_long_path_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of a socket has room for 104 characters only."""
    deep = tmp_path / ("x" * 60) / ("y" * 40)
    deep.mkdir(parents=True)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(deep))
    made = RunDirectory(deep)
    assert made.path().parent == Path("/tmp")
    made.remove()


async def test_a_changed_host_key_is_permanent_and_not_asked_again(
    world: World, hosts: Pool
) -> None:
    """Somebody else may be answering: no login, the words say what to do, no storm of tries."""
    world.trust(asyncssh.generate_private_key("ssh-ed25519"))
    host = hosts.host(world.access)
    wrong = await fault(host)
    assert (wrong.fault, wrong.outcome) == (SshFault.HOST_KEY_CHANGED, Outcome.AUTHENTICATION)
    assert wrong.permanent
    assert "host key has changed" in str(wrong)
    assert "known_hosts" in str(wrong)
    tried = world.gate.connections
    for _ in range(5):
        assert (await fault(host)).fault is SshFault.HOST_KEY_CHANGED
    assert (world.gate.connections, world.logins) == (tried, 0)


async def test_an_unknown_host_key_is_refused(world: World, hosts: Pool) -> None:
    """A key that nobody has compared is not taken over."""
    (world.folder / "known_hosts").write_text("")
    wrong = await fault(hosts.host(world.access))
    assert (wrong.fault, world.logins) == (SshFault.HOST_KEY_UNKNOWN, 0)
    assert (world.folder / "known_hosts").read_text() == ""


async def test_the_operators_settings_cannot_turn_the_host_key_off(
    world: World, hosts: Pool
) -> None:
    """Ours are read first, and what is said first counts."""
    world.trust(asyncssh.generate_private_key("ssh-ed25519"))
    (world.folder / "config").write_text("Host *\n  StrictHostKeyChecking no\n  BatchMode no\n")
    assert (await fault(hosts.host(world.access))).fault is SshFault.HOST_KEY_CHANGED


async def test_a_refused_login_is_permanent(world: World, hosts: Pool) -> None:
    """The answer names the authorized_keys; it is an answer, the machine lives."""
    world.lets = Lets.NOBODY
    wrong = await fault(hosts.host(world.access))
    assert (wrong.fault, wrong.outcome) == (SshFault.PERMISSION_DENIED, Outcome.AUTHENTICATION)
    assert "authorized_keys" in str(wrong)
    assert "publickey" in str(wrong)


async def test_a_refused_connection_is_tried_again(world: World, hosts: Pool) -> None:
    """Refused now, answered once it listens."""
    access = world.access
    await world.gate.close()
    host = hosts.host(access)
    wrong = await fault(host)
    assert (wrong.fault, wrong.outcome) == (SshFault.REFUSED, Outcome.REFUSED)
    assert not wrong.permanent
    assert world._server is not None
    await world.gate.listen(world._server.get_port())
    await asyncio.sleep(0.6)
    assert await said(host) == "well\n"


async def test_an_unknown_name_is_unreachable(world: World, hosts: Pool) -> None:
    """A name that does not resolve is no silence of a host."""
    wrong = await fault(hosts.host(replace(world.access, destination="no.such.host.invalid")))
    assert (wrong.fault, wrong.outcome) == (SshFault.UNKNOWN_HOST, Outcome.UNREACHABLE)


async def test_a_machine_without_a_client_is_said_so(world: World, hosts: Pool) -> None:
    """The remedy is on the healer's machine."""
    wrong = await fault(hosts.host(world.access, program="/nonexistent/ssh"))
    assert wrong.fault is SshFault.NO_CLIENT


@pytest.mark.parametrize("config", ["missing", "NoSuchOption yes\n"])
async def test_wrong_settings_are_said_so(world: World, hosts: Pool, config: str) -> None:
    """A configuration that is not there, or that the client does not understand, is permanent."""
    file = world.folder / "other"
    if config != "missing":
        file.write_text(config)
    wrong = await fault(hosts.host(replace(world.access, config_file=str(file))))
    assert (wrong.fault, wrong.permanent) == (SshFault.MISCONFIGURED, True)
    assert str(file) in str(wrong)


async def test_a_host_that_accepts_and_says_nothing_is_frozen(world: World, hosts: Pool) -> None:
    """The look ends in its own time; the connecting goes on and then says why it was in vain."""
    world.gate.hold()
    host = hosts.host(replace(world.access, connect_timeout_s=1.0))
    first = await fault(host, timeout_s=0.3)
    assert (first.fault, first.outcome) == (SshFault.TIMED_OUT, Outcome.TIMED_OUT)
    await asyncio.sleep(1.5)
    second = await fault(host, timeout_s=0.3)
    assert (second.fault, second.outcome) == (SshFault.SILENT_BANNER, Outcome.TIMED_OUT)
    assert "frozen" in str(second)


@pytest.mark.parametrize(("code", "answers"), [(0, True), (1, False), (2, None)])
async def test_a_silent_host_is_pinged(
    world: World, hosts: Pool, monkeypatch: pytest.MonkeyPatch, code: int, answers: bool | None
) -> None:
    """Only while it says nothing; an error of ping's own tells nothing."""
    called = world.folder / "pinged"
    world.program("ping", f'echo "$*" >>{called}; exit {code}')
    monkeypatch.setenv("PATH", f"{world.bin}:{os.environ['PATH']}")
    access = replace(world.access, connect_timeout_s=1.0)
    host = hosts.host(access, address="192.0.2.1")
    assert await said(host) == "well\n"
    assert not called.exists()
    world.gate.hold()
    async with asyncio.timeout(LIMIT_S):
        while not called.exists():
            await fault(host, timeout_s=0.3)
            await asyncio.sleep(0.2)
        while host._tasks:
            await asyncio.sleep(0.02)
    assert host.ping is answers
    assert called.read_text().splitlines()[0] == "-n -c 1 -W 1 -- 192.0.2.1"
    world.gate.let_go()
    async with asyncio.timeout(LIMIT_S):
        while host._master is None:
            await asyncio.sleep(0.3)
            host._connect_beside()
    assert host.ping is None


async def test_a_look_shorter_than_a_login_does_not_cut_it_off(world: World, hosts: Pool) -> None:
    """The first look is over before the login, and the second one finds the connection."""
    host = hosts.host(world.access)
    await fault(host, timeout_s=0.0)
    async with asyncio.timeout(LIMIT_S):
        while host._master is None:
            await asyncio.sleep(0.02)
    assert await said(host) == "well\n"
    assert world.gate.connections == 1


async def test_a_dead_connection_delays_no_later_look(world: World, hosts: Pool) -> None:
    """Silence of a connection that was good: one look times out, the next has a fresh one."""
    host = hosts.host(world.access)
    await said(host)
    world.gate.hold()
    wrong = await fault(host, timeout_s=0.5)
    assert wrong.outcome is Outcome.TIMED_OUT
    world.gate.let_go()
    assert await said(host) == "well\n"
    assert world.gate.connections == 2


async def test_a_cut_connection_is_made_anew_in_the_same_look(world: World, hosts: Pool) -> None:
    """A look changes nothing, so it is simply made once more."""
    host = hosts.host(world.access)
    await said(host)
    world.gate.cut()
    await asyncio.sleep(0.1)
    assert await said(host) == "well\n"
    assert world.gate.connections == 2


async def test_a_command_whose_connection_is_cut_is_unknown(world: World, hosts: Pool) -> None:
    """It was given; whether it ran to its end, nobody knows."""
    host = hosts.host(world.access)
    await said(host)
    begun = world.folder / "begun"
    command = ["sh", "-c", f"touch {begun}; sleep 1; touch {begun}.ended"]
    running = asyncio.create_task(host.run(command, timeout_s=LIMIT_S))
    async with asyncio.timeout(LIMIT_S):
        while not begun.exists():
            await asyncio.sleep(0.02)
    world.gate.cut()
    result = await running
    assert result.outcome is CommandOutcome.UNKNOWN
    assert "lost after it was given" in result.stderr


async def test_a_command_that_could_not_be_given_was_not_started(world: World, hosts: Pool) -> None:
    """A host that cannot be reached has done nothing; the reason is told."""
    access = world.access
    await world.gate.close()
    result = await hosts.host(access).run(["touch", "x"], timeout_s=LIMIT_S)
    assert result.outcome is CommandOutcome.NOT_STARTED
    assert "refused" in result.stderr


async def test_a_shell_that_never_answers_gets_no_command(world: World, hosts: Pool) -> None:
    """The command is sent only once the shell there has shown that it listens."""
    ran = world.folder / "ran"
    world.shell = str(world.program("slow", 'sleep 2; exec /bin/sh "$@"'))
    host = hosts.host(world.access)
    await host._connected(SystemClock().now().mono_s + LIMIT_S)
    result = await host.run(["touch", str(ran)], timeout_s=0.5)
    await asyncio.sleep(3.0)
    assert result.outcome is CommandOutcome.NOT_STARTED
    assert not ran.exists()


async def test_an_account_without_a_shell_is_said_so_once(world: World, hosts: Pool) -> None:
    """It is a setting there: the words are told, and no login is tried again for it."""
    world.shell = str(world.program("nologin", "echo This account is not available; exit 1"))
    host = hosts.host(world.access)
    wrong = await fault(host)
    result = await host.run(["true"], timeout_s=LIMIT_S)
    assert wrong.fault is SshFault.MISCONFIGURED
    assert "This account is not available" in str(wrong)
    assert result.outcome is CommandOutcome.NOT_STARTED
    assert "This account is not available" in result.stderr
    assert world.logins == 1


async def test_a_login_that_says_much_is_no_trouble(world: World, hosts: Pool) -> None:
    """What the shell's own start files print is no part of any answer."""
    noise = "echo Welcome; echo '@x exit 0'; echo no terminal >&2"
    world.shell = str(world.program("noisy", f'{noise}; exec /bin/sh "$@"'))
    host = hosts.host(world.access)
    assert await said(host) == "well\n"
    result = await host.run(["echo", "out"], timeout_s=LIMIT_S)
    assert (result.stdout, result.exit_code) == ("out\n", 0)


async def test_nothing_of_a_command_stands_in_a_process_list(world: World, hosts: Pool) -> None:
    """Arguments of ssh and of the remote shell are the same for every command."""
    await hosts.host(world.access).run(
        ["echo", "WORDS"], timeout_s=LIMIT_S, env={"TOKEN": "hidden-away"}
    )
    assert world.sessions == ["exec /bin/sh -s"]


async def test_the_environment_of_the_client_has_no_locale(
    world: World, hosts: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LC_* and LANG would be sent to the host; the agent's socket is kept for the client."""
    seen = world.folder / "environment"
    body = f'env >{seen}; exec ssh "$@"'
    client = world.program("client", body)
    for name in ("LANG", "LC_ALL", "LC_TIME", "DISPLAY"):
        monkeypatch.setenv(name, "C.UTF-8")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nonexistent/agent")
    await said(hosts.host(world.access, program=str(client)))
    names = {line.partition("=")[0] for line in seen.read_text().splitlines()}
    assert not {name for name in names if name.startswith("LC_") or name in {"LANG", "DISPLAY"}}
    assert "SSH_AUTH_SOCK" in names


async def test_a_jump_host_leads_to_it(world: World, hosts: Pool, tmp_path: Path) -> None:
    """Through another host, which is checked as strictly; a wrong key there is refused."""
    async with ssh_world(tmp_path / "inner") as inner:
        ours = inner.folder / "id"
        (world.folder / "id.pub").touch()
        world._client_key = inner._client_key
        known = inner.folder / "known_hosts"
        known.write_text(known.read_text() + (world.folder / "known_hosts").read_text())
        jump = f"{inner.access.user}@127.0.0.1:{world.gate.port}"
        access = replace(inner.access, jump=jump, identity_file=str(ours))
        assert await said(hosts.host(access)) == "well\n"
        assert (world.logins, inner.logins) == (1, 1)
        foreign = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
        right = known.read_text().splitlines()[0]
        known.write_text(f"{right}\n[127.0.0.1]:{world.gate.port} {foreign}")
        wrong = await fault(hosts.host(access))
        assert wrong.outcome is Outcome.AUTHENTICATION
        assert (world.logins, inner.logins) == (1, 1)


@pytest.mark.parametrize("permitted", [True, False])
async def test_sudo_is_used_where_it_is_permitted(
    world: World, hosts: Pool, *, permitted: bool
) -> None:
    """Readings go on without it; a command that needs it was not started, and why is said."""
    calls = world.folder / "sudo-calls"
    refuse = "echo 'sudo: a password is required' >&2; exit 1"
    obey = '[ "$1" = -n ] || exit 9; shift; exec "$@"'
    world.program("sudo", f"echo call >>{calls}; {obey if permitted else refuse}")
    host = hosts.host(replace(world.access, sudo=True))
    for _ in range(3):
        assert await said(host) == "well\n"
    result = await host.run(["sudo", "-n", "echo", "x"], timeout_s=LIMIT_S)
    question = await host.run(["sudo", "-n", "-l", "echo"], timeout_s=LIMIT_S)
    looks = 3 if permitted else 1  # refused once, it is not asked again for each look
    assert calls.read_text() == "call\n" * (looks + 2)
    assert question.outcome is CommandOutcome.EXITED
    if permitted:
        assert result.stdout == "x\n"
    else:
        assert result.outcome is CommandOutcome.NOT_STARTED
        assert "sudoers" in result.stderr


async def test_the_operators_own_programs_get_no_more_rights(world: World, hosts: Pool) -> None:
    """Their status is run as the user who logs in, like their start and stop."""
    world.program("sudo", "exit 9")
    status = str(world.program("status", "echo state=running"))
    host = hosts.host(replace(world.access, sudo=True))
    programs = CommandService((status,), (status,), (status,), (status,))
    fact = await CommandServiceManager(programs, host, (), "there").status(timeout_s=LIMIT_S)
    assert fact.active == "active"
    assert world.sessions == ["exec /bin/sh -s"]


async def test_what_hangs_on_the_host_is_asked_once(world: World, hosts: Pool) -> None:
    """A status that does not come back is not called again beside itself, look after look."""
    calls = world.folder / "calls"
    hang = world.program("hang", f"echo call >>{calls}; exec sleep 2")
    host = hosts.host(world.access)
    question = Question(commands=(Asked("status", (str(hang),)),))
    for _ in range(3):
        reading = await host.look(question, timeout_s=0.7)
        assert reading.commands["status"].outcome is CommandOutcome.TIMED_OUT
    assert calls.read_text() == "call\n"
    async with asyncio.timeout(LIMIT_S):
        while calls.read_text() != "call\n" * 2:
            await host.look(question, timeout_s=0.7)


async def test_a_word_that_no_program_can_get_is_not_sent(world: World, hosts: Pool) -> None:
    """A null byte, or a name that is none of a variable, is refused before anything happens."""
    host = hosts.host(world.access)
    null = await host.run(["echo", "a\0b"], timeout_s=LIMIT_S)
    name = await host.run(["echo"], timeout_s=LIMIT_S, env={"A; rm -rf /": "x"})
    assert {null.outcome, name.outcome} == {CommandOutcome.NOT_STARTED}


WORDS = strategies.text(strategies.characters(exclude_characters="\0", codec="utf-8"), max_size=40)


async def test_any_words_make_the_way_through_the_remote_shell(world: World, hosts: Pool) -> None:
    """Whatever the words and the environment hold, they arrive as they were given."""
    host = hosts.host(world.access)
    script = '{ for w do printf "%s\\0" "$w"; done; printf %s "$VALUE"; } | od -An -v -tx1'
    loop = asyncio.get_running_loop()

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(words=strategies.lists(WORDS, max_size=5), value=WORDS)
    def arrive(words: list[str], value: str) -> None:
        run = host.run(
            ["sh", "-c", script, "sh", *words],
            timeout_s=LIMIT_S,
            env={"VALUE": value},
        )
        result = asyncio.run_coroutine_threadsafe(run, loop).result()
        expected = "".join(f"{word}\0" for word in words) + value
        assert bytes.fromhex("".join(result.stdout.split())) == expected.encode()

    await asyncio.to_thread(arrive)
