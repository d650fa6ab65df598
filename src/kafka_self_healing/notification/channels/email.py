"""`EmailNotifier`: mail by SMTP."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from hashlib import sha256
from typing import NoReturn

import aiosmtplib

from kafka_self_healing.errors import DeliveryError
from kafka_self_healing.model.notification import Notification
from kafka_self_healing.notification.template import one_line
from kafka_self_healing.plugins.contract import NotificationPlugin
from kafka_self_healing.secret import Secret

QUIT_TIMEOUT_S = 2.0
"""Seconds for the farewell. The mail is accepted by then: nothing depends on it."""
MAX_REMEMBERED = 1_000
"""Notifications of which it is remembered which recipients are still without them."""
MAX_REPLY = 300
"""Characters of a server's answer that are kept."""


class EmailNotifier(NotificationPlugin):
    """Sends each notification as one mail to all recipients, one connection a mail.

    Answers 4xx (greylisting is one), timeouts and broken connections are transient; 5xx, a refused
    login, and a server without STARTTLS or AUTH when they are configured are permanent. A recipient
    that was accepted does not get the mail again when another one is tried again.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        sender: str,
        recipients: Sequence[str],
        username: str | None = None,
        password: Secret | None = None,
        starttls: bool = False,
        timeout_s: float = 30.0,
        hello_name: str | None = None,
        name: str = "email",
        tls_context: ssl.SSLContext | None = None,
        smtp: Callable[..., aiosmtplib.SMTP] = aiosmtplib.SMTP,
    ) -> None:
        """`timeout_s`: seconds for one delivery as a whole. `tls_context`: for STARTTLS, by default
        Python's own: the certificate is verified, with the host name. `smtp`: makes the client.
        """
        self._smtp = smtp
        assert recipients, "a mail needs a recipient"
        self._host, self._port = host, port
        self._sender, self._recipients = sender, tuple(recipients)
        self._username, self._password = username, password
        self._starttls, self._tls_context = starttls, tls_context
        self._timeout_s = timeout_s
        self._hello_name = hello_name
        self._name = name
        self._missing: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    @property
    def name(self) -> str:
        """The name of the channel in the configuration."""
        return self._name

    async def deliver(self, notification: Notification) -> None:
        """Send the mail. Raises DeliveryError; the text says what the server answered."""
        recipients = self._missing.get(notification.id, self._recipients)
        message = self.message(notification)
        client = self._client()
        try:
            with self._named_errors():
                async with asyncio.timeout(self._timeout_s):
                    await client.connect()
                    refused, _ = await client.send_message(
                        message, sender=self._sender, recipients=list(recipients)
                    )
            # Accepted: from here on nothing may look like a failure, or it would be sent again.
            with suppress(aiosmtplib.SMTPException, OSError):
                await client.quit(timeout=QUIT_TIMEOUT_S)
        finally:
            client.close()
        self._missing.pop(notification.id, None)
        if refused:
            self._remember(notification.id, tuple(refused))
            self._raise_refused([(who, r.code, r.message) for who, r in refused.items()])

    def message(self, notification: Notification) -> EmailMessage:
        """Return the mail of `notification`; it is the same at each retry, to the byte."""
        notice = notification.notice
        domain = parseaddr(self._sender)[1].rpartition("@")[2] or "localhost"
        thread = sha256(f"{notice.cluster}\n{notice.incident}".encode()).hexdigest()[:32]
        message = EmailMessage(policy=policy.SMTP)
        message["From"] = self._sender
        message["To"] = ", ".join(self._recipients)
        message["Subject"] = notification.subject
        message["Date"] = format_datetime(datetime.fromtimestamp(int(notice.at.utc_s), UTC))
        message["Message-ID"] = f"<{notification.id}@{domain}>"
        # All mails of an incident refer to the same id, so that mail programs show them together.
        message["References"] = f"<incident-{thread}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message["X-Auto-Response-Suppress"] = "All"
        for header, value in (
            ("Cluster", notice.cluster),
            ("Incident", notice.incident),
            ("Condition", notice.condition),
            ("Kind", notice.kind.value),
        ):
            message[f"X-Kafka-Self-Healing-{header}"] = one_line(value, MAX_REPLY)
        message.set_content(notification.body, cte="quoted-printable")
        return message

    def _client(self) -> aiosmtplib.SMTP:
        return self._smtp(
            hostname=self._host,
            port=self._port,
            username=self._username,
            password=self._password.reveal() if self._password else None,
            local_hostname=self._hello_name,
            timeout=self._timeout_s,
            # Never "if the server happens to offer it": then an attacker decides.
            start_tls=self._starttls,
            tls_context=self._tls_context,
        )

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Turn whatever the client raises into a DeliveryError. The order of clauses matters."""
        where = f"{self._host}:{self._port}"
        try:
            yield
        except aiosmtplib.SMTPAuthenticationError as error:
            # The answer's text is not repeated: some servers echo what they were sent.
            raise DeliveryError(
                f"{where}: login refused for user {self._username!r} ({_codes(error)}): check "
                "username and password",
                transient=_transient(error.code),
            ) from None
        except aiosmtplib.SMTPRecipientsRefused as error:
            self._raise_refused([(r.recipient, r.code, r.message) for r in error.recipients])
        except aiosmtplib.SMTPResponseException as error:
            raise DeliveryError(
                f"{where}: answered {error.code} {self._clean(error.message)}",
                transient=_transient(error.code),
            ) from error
        except ssl.SSLError as error:
            raise DeliveryError(f"{where}: TLS: {error.reason}", transient=True) from error
        except TimeoutError as error:
            raise DeliveryError(
                f"{where}: no answer within {self._timeout_s:g} s", transient=True
            ) from error
        except OSError as error:  # SMTPConnectError and SMTPServerDisconnected are OSErrors too
            text = self._clean(str(error)) or type(error).__name__
            raise DeliveryError(f"{where}: {text}", transient=True) from error
        except (aiosmtplib.SMTPException, ValueError) as error:
            # No AUTH or STARTTLS there, or an address that cannot be written: waiting helps nobody.
            raise DeliveryError(f"{where}: {self._clean(str(error))}", transient=False) from error

    def _raise_refused(self, refused: Sequence[tuple[str, int, str]]) -> NoReturn:
        text = ", ".join(f"{who}: {code} {self._clean(said)}" for who, code, said in refused)
        raise DeliveryError(
            f"{self._host}:{self._port}: refused for {text}",
            transient=any(_transient(code) for _, code, _ in refused),
        )

    def _remember(self, notification_id: str, missing: tuple[str, ...]) -> None:
        self._missing[notification_id] = missing
        while len(self._missing) > MAX_REMEMBERED:
            self._missing.popitem(last=False)

    def _clean(self, text: str) -> str:
        secret = self._password.reveal() if self._password else ""
        return one_line(text.replace(secret, "***") if secret else text, MAX_REPLY)


def _transient(code: int) -> bool:
    """Return whether a reply means "not now" (RFC 5321: 4yz) and not "never" (5yz)."""
    return not 500 <= code <= 599


def _codes(error: aiosmtplib.SMTPAuthenticationError) -> str:
    enhanced = re.match(r"[245]\.\d{1,3}\.\d{1,3}\b", error.message)
    return f"{error.code} {enhanced.group()}" if enhanced else str(error.code)
