"""The composition root: a configuration becomes objects, here and nowhere else."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from functools import partial

import aiosmtplib

from kafka_self_healing.api.local import listening
from kafka_self_healing.clock import Clock, SystemClock
from kafka_self_healing.config import ConfigurationManager, Settings, secrets_in
from kafka_self_healing.daemon import Daemon
from kafka_self_healing.errors import ConfigError, DeliveryError
from kafka_self_healing.hosts.open_files import raise_file_limit
from kafka_self_healing.hosts.own_unit import unsafe_start
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.event import Event, Told
from kafka_self_healing.model.evidence import CheckResult, CustomFact
from kafka_self_healing.model.node import Cluster
from kafka_self_healing.model.notification import Notice, NoticeKind, Notification
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.model.recovery import StepReport
from kafka_self_healing.monitoring import (
    CanaryMonitoringPlugin,
    CertificateMonitoringPlugin,
    CommandMonitoringPlugin,
    HostMonitoringPlugin,
    HttpMonitoringPlugin,
    JMXMonitoringPlugin,
    KafkaMonitoringPlugin,
    LogMonitoringPlugin,
    MonitoringService,
    ReferenceMonitoringPlugin,
    ServiceMonitoringPlugin,
    SocketMonitoringPlugin,
    ZookeeperMonitoringPlugin,
)
from kafka_self_healing.monitoring.access import Access
from kafka_self_healing.notification import DeliveryQueue, EmailNotifier, NotificationService
from kafka_self_healing.observability import (
    AuditLogger,
    LogFormat,
    LoggingService,
    LogSettings,
    Redactor,
)
from kafka_self_healing.plugins.contract import MonitoringPlugin, NotificationPlugin
from kafka_self_healing.ports import Ports
from kafka_self_healing.reach import Reach
from kafka_self_healing.recovery import RecoveryEngine, ServiceRestartPlugin
from kafka_self_healing.storage import Journal, Store, StoredOutbox, open_store

_LOGGER = logging.getLogger(__name__)
ALARM_TIMEOUT_S = 30.0
NO_CRASH: Callable[[str], None] = lambda _name: None  # noqa: E731  a port that tests fill


class JournalStore:
    """The daemon's memory port: the journal, the audit file that follows it, and the lease."""

    def __init__(self, store: Store, journal: Journal, audit: AuditLogger) -> None:
        self._store, self._journal, self._audit = store, journal, audit
        self.append = journal.append

    def read(self, after: int) -> Iterable[Event]:
        """Return the events after an entry number."""
        return (entry.event for entry in self._journal.entries(after=after))

    def holds_lease(self) -> bool:
        """Whether the state folder's lock is ours."""
        return self._store.lease is not None and self._store.lease.held()

    def follow(self) -> None:
        """Bring the audit file up to date."""
        self._audit.catch_up()


class Telling:
    """The daemon's voice port: composes, queues and, without a store, tells directly."""

    def __init__(
        self,
        queue: DeliveryQueue,
        plugins: Sequence[NotificationPlugin],
        cluster: str,
        clock: Clock,
    ) -> None:
        self._queue, self._plugins, self._cluster, self._clock = queue, plugins, cluster, clock
        self._service = NotificationService()
        self.notify = queue.notify
        self.run = queue.run

    @property
    def channels(self) -> Sequence[str]:
        """The names of the configured channels."""
        return [plugin.name for plugin in self._plugins]

    def compose(self, told: Told) -> Notification:
        """Make a notification of a notice."""
        return self._service.compose(told.notice)

    async def alarm(self, text: str) -> None:
        """Tell all channels directly: the store, and so the outbox, cannot be written."""
        now: Instant = self._clock.now()
        key = f"store/{int(now.utc_s)}"
        notice = Notice(
            key=key,
            kind=NoticeKind.ESCALATION,
            cluster=self._cluster,
            incident="store",
            condition="STORE_UNWRITABLE",
            nodes=(),
            summary=text,
            story=(text,),
            at=now,
        )
        letter = self._service.compose(notice)
        for plugin in self._plugins:
            try:
                async with asyncio.timeout(ALARM_TIMEOUT_S):
                    await plugin.deliver(letter)
            except (DeliveryError, TimeoutError) as error:
                _LOGGER.warning("the alarm was not delivered by %s: %s", plugin.name, error)


def checks(
    access: Access | None = None,
    redact: Callable[[str], str] = str,
    cluster: Cluster | None = None,
) -> list[MonitoringPlugin]:
    """Return the built-in checks; they share contexts and logins, and hide what they quote."""
    access, cluster = access or Access(), cluster or Cluster("")
    return [
        SocketMonitoringPlugin(access),
        KafkaMonitoringPlugin(access),
        ZookeeperMonitoringPlugin(access),
        CertificateMonitoringPlugin(access),
        JMXMonitoringPlugin(access),
        ServiceMonitoringPlugin(),
        HostMonitoringPlugin(),
        LogMonitoringPlugin(redact),
        CanaryMonitoringPlugin(access, cluster.canary),
        ReferenceMonitoringPlugin(access, cluster.reference_hosts),
        HttpMonitoringPlugin(access),
        CommandMonitoringPlugin(),
    ]


def channels(
    settings: Settings, smtp: Callable[..., aiosmtplib.SMTP] = aiosmtplib.SMTP
) -> list[NotificationPlugin]:
    """Return the configured channels. `smtp`: the client of a mail."""
    email = settings.notification.email
    if email is None:
        return []
    return [
        EmailNotifier(
            host=email.host,
            port=email.port,
            sender=email.sender,
            recipients=email.to,
            username=email.username,
            password=email.password,
            starttls=email.starttls,
            timeout_s=email.timeout_s,
            hello_name=email.hello_name,
            smtp=smtp,
        )
    ]


def logging_service(settings: Settings, clock: Clock) -> LoggingService:
    """Return the log that a configuration asks for; it redacts the configuration's secrets."""
    wanted = settings.logging
    return LoggingService(
        LogSettings(
            level=wanted.level.value,
            format=LogFormat.JSON if wanted.as_json else LogFormat.CONSOLE,
            file=wanted.file,
            max_bytes=wanted.max_bytes,
            keep=wanted.keep,
        ),
        clock,
        secrets_in(settings),
    )


@asynccontextmanager
async def daemon_of(
    settings: Settings,
    clock: Clock,
    *,
    redact: Callable[[str], str],
    crash_point: Callable[[str], None] = NO_CRASH,
    hear: Callable[[CheckResult], None] | None = None,
    look_with: Callable[[], list[MonitoringPlugin]] | None = None,
    ports: Ports | None = None,
) -> AsyncIterator[Daemon]:
    """Build the daemon of a configuration; the store is open inside the block.

    `redact` takes credentials out of what is kept. `look_with`: other checks than ours. `ports`:
    another world than the real one.
    Raises StorageError: the state folder is in use, damaged, or of a newer version, or the
    journal's chain is broken (JournalCorrupt).
    """
    ports = ports or Ports()
    with (
        ports.executor() as in_store,
        closing(await in_store(partial(open_store, settings.state_dir))) as store,
    ):
        journal = Journal(store, settings.cluster.name, crash_point=crash_point)
        await in_store(journal.verify)
        with closing(AuditLogger(settings.audit_file, journal)) as audit:
            plugins = channels(settings, ports.smtp)
            queue = DeliveryQueue(
                StoredOutbox(store, journal),
                plugins,
                run=in_store,
                clock=clock,
                put=partial(journal.append, []),
            )
            kept = JournalStore(store, journal, audit)
            async with reaching(settings.cluster, clock, ports) as reach:
                with_reach = partial(hands, reach=reach, redact=redact, crash_point=crash_point)
                yield Daemon(
                    settings.cluster,
                    settings.policy,
                    clock=clock,
                    store=kept,
                    in_store=in_store,
                    eyes=partial(eyes, reach=reach, redact=redact, look_with=look_with),
                    hands=partial(with_reach, may_act=kept.holds_lease),
                    voice=Telling(queue, plugins, settings.cluster.name, clock),
                    run_id=f"{int(clock.now().utc_s * 1e6):x}",  # one daemon at a time runs here
                    hear=hear or (lambda _result: None),
                )


@asynccontextmanager
async def reaching(
    cluster: Cluster, clock: Clock, ports: Ports | None = None
) -> AsyncIterator[Reach]:
    """Reach the nodes inside the block."""
    reach = Reach(cluster, clock, ports)
    try:
        yield reach
    finally:
        await reach.close()


def eyes(
    cluster: Cluster,
    policy: Policy,
    heard: Callable[[CheckResult], None],
    *,
    reach: Reach,
    redact: Callable[[str], str],
    look_with: Callable[[], list[MonitoringPlugin]] | None = None,
) -> MonitoringService:
    """Return the eyes for an inventory, which is reached as it says from now on."""
    reach.follow(cluster)
    usual = partial(checks, reach.access, redact, cluster)
    plugins = (look_with or usual)()

    def hear(result: CheckResult) -> None:
        heard(_without_secrets(result, redact))

    return MonitoringService(cluster, policy, plugins, reach.clock, hear, hosts=reach.hosts)


def _without_secrets(result: CheckResult, redact: Callable[[str], str]) -> CheckResult:
    """Return a look whose words may be journalled and told: others than we have chosen them."""
    if result.error:
        result = replace(result, error=redact(result.error))
    if isinstance(result.fact, CustomFact) and result.fact.text:
        result = replace(result, fact=replace(result.fact, text=redact(result.fact.text)))
    return result


def hands(
    report: Callable[[StepReport], Awaitable[None]],
    *,
    reach: Reach,
    redact: Callable[[str], str],
    crash_point: Callable[[str], None] = NO_CRASH,
    unsafe: Callable[[], str] = unsafe_start,
    may_act: Callable[[], bool] = lambda: True,
) -> RecoveryEngine:
    """Return the hands: they start nothing that would end with us, and keep no credentials.

    `may_act`: whether the lease is still ours, asked before each command.
    """
    engine = RecoveryEngine(
        ServiceRestartPlugin(unsafe()).actions(),
        hosts=reach.hosts,
        clock=reach.clock,
        report=report,
        crash_point=crash_point,
        redact=redact,
        may_act=may_act,
    )
    reach.busy = lambda: bool(engine.running)
    return engine


async def run(
    manager: ConfigurationManager,
    *,
    crash_point: Callable[[str], None] = NO_CRASH,
    hear: Callable[[CheckResult], None] | None = None,
    look_with: Callable[[], list[MonitoringPlugin]] | None = None,
    redactor: Redactor | None = None,
) -> None:
    """Run the daemon until SIGTERM or SIGINT; SIGHUP reloads; a second SIGTERM ends it at once.

    `redactor`: that of the log, which learns the secrets of each configuration.
    """
    clock = SystemClock()
    settings = manager.current
    redactor = redactor or Redactor()
    redactor.learn(secrets_in(settings))
    files = raise_file_limit()
    building = daemon_of(
        settings,
        clock,
        redact=redactor.text,
        crash_point=crash_point,
        hear=hear,
        look_with=look_with,
    )
    async with building as daemon:
        reloads: set[asyncio.Task[None]] = set()
        turn = asyncio.Lock()
        asked = 0

        def stop() -> None:
            nonlocal asked
            asked += 1
            if asked > 1:
                _LOGGER.warning("asked twice to stop: ending at once")
                os._exit(1)
            _LOGGER.info("asked to stop: going to a safe point")
            daemon.stop()

        async def reload_in_turn() -> None:
            async with turn:
                await _reload(daemon, manager, redactor)

        def reload() -> None:
            task = asyncio.create_task(reload_in_turn())
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        handlers: dict[int, Callable[[], None]] = {
            signal.SIGTERM: stop,
            signal.SIGINT: stop,
            signal.SIGHUP: reload,
        }
        async with _signals(handlers), listening(settings.state_dir, daemon):
            _LOGGER.info(
                "watching cluster %s with %d nodes, mode %s, at most %d open files",
                settings.cluster.name,
                len(settings.cluster.nodes),
                settings.mode.value,
                files,
            )
            await daemon.run()


@asynccontextmanager
async def _signals(handlers: dict[int, Callable[[], None]]) -> AsyncIterator[None]:
    """Handle these signals inside the block."""
    loop = asyncio.get_running_loop()
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)


async def _reload(daemon: Daemon, manager: ConfigurationManager, redactor: Redactor) -> None:
    old, source = manager.current, str(manager.current.source)
    try:
        # In a thread: a thousand nodes take a second to be read and checked.
        fresh = await asyncio.to_thread(manager.reload)
    except ConfigError as error:
        await daemon.reload_failed(source, str(error))
        return
    redactor.learn(secrets_in(fresh))
    await daemon.reload(fresh.cluster, fresh.policy, source)
    _LOGGER.info("the configuration was reloaded, mode %s", fresh.mode.value)
    sections = {
        "notifications": fresh.notification != old.notification,
        "logging": fresh.logging != old.logging,
        "audit": fresh.audit_file != old.audit_file,
    }
    later = ", ".join(name for name, changed in sections.items() if changed)
    if later:
        _LOGGER.warning("changes of %s are in force from the next start on", later)
