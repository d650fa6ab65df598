"""The demo's letter box keeps what is sent to it."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage
from pathlib import Path

from kafka_self_healing.demo.mailbox import Mailbox


def letter(subject: str) -> EmailMessage:
    """One mail to the operators."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@demo.example", "b@demo.example", subject
    mail.set_content("It was healed.\n")
    return mail


def test_letters_are_shown_and_kept(tmp_path: Path) -> None:
    """Two mails by SMTP are there in their order, with their text, and as files."""
    with Mailbox(tmp_path / "mails") as box:
        with smtplib.SMTP("127.0.0.1", box.port, timeout=10) as client:
            for subject in ("FAILURE of node 2", "RECOVERY of node 2"):
                client.send_message(letter(subject))
        mails = box.mails

    assert [mail.subject for mail in mails] == ["FAILURE of node 2", "RECOVERY of node 2"]
    assert mails[0].text.strip() == "It was healed."
    assert [mail.file.name for mail in mails] == ["001.eml", "002.eml"]
    assert b"RECOVERY of node 2" in mails[1].file.read_bytes()


def test_a_box_that_got_nothing_closes(tmp_path: Path) -> None:
    """No mail is no error, and its port is free again afterwards."""
    with Mailbox(tmp_path / "mails") as box:
        port = box.port
        assert box.mails == []

    with Mailbox(tmp_path / "mails") as again:
        assert again.port > 0
        assert port > 0
