"""A mail server on this machine, spoken to over a socket: it keeps what it is sent."""

import ipaddress
import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from config import environment as env


HOST = "127.0.0.1"
LOG_IN = ("vigil", "a pass:word")
logging.getLogger("mail.log").setLevel(logging.ERROR)  # the server's own lines are not ours


class Box:
    """What arrived, and the answers to addresses that do not simply get their mail."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.mails: list[EmailMessage] = []
        self.answers: dict[str, str] = {}

    @property
    def addresses(self) -> list[str]:
        return sorted(mail["To"] for mail in self.mails)

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        return taken.getsockname()[1]


@contextmanager
def mail_server(
    port: int | None = None, *, certificate: Path | None = None, **options: Any
) -> Iterator[Box]:
    """Have a server running; with a certificate it wants STARTTLS and the log-in."""
    box = Box(port or free_port())
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        options = {
            "tls_context": context, "require_starttls": True, "auth_required": True,
            "authenticator": _authenticator, **options,
        }  # fmt: skip
    controller = Controller(box, hostname=HOST, port=box.port, **options)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


def _authenticator(server, session, envelope, mechanism, data) -> AuthResult:
    given = (data.login.decode(), data.password.decode())
    return AuthResult(success=given == LOG_IN, handled=False)


def certificate_in(folder: Path) -> Path:
    """A certificate of 127.0.0.1 that it signed itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    address = x509.IPAddress(ipaddress.ip_address(HOST))
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(1))
        .not_valid_after(now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "server.pem"
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


def mail_through(settings, url: str) -> None:
    """Set the site up as ``VIGIL_EMAIL_URL`` does."""
    for name, value in env.mail_server(url, variable="VIGIL_EMAIL_URL").items():
        setattr(settings, name, value)
    settings.MAIL_ON = True
    settings.EMAIL_TIMEOUT = 1
    settings.DEFAULT_FROM_EMAIL = "Vigil <vigil@vigil.example>"
    settings.VIGIL_ADDRESS = "https://vigil.example"
