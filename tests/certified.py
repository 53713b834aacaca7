"""Google's certificates from a server of our own, under Google's own name, and tokens signed by what it certifies.

The functions are told nothing of it: HTTPS_PROXY leads them here, REQUESTS_CA_BUNDLE makes them trust it. So what is tested
is the very code that talks to www.googleapis.com, TLS included, and there is no setting that could point it elsewhere.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from google.auth import crypt, jwt

HOST = "www.googleapis.com"
OIDC, USERS = "/oauth2/v1/certs", "/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com"


class Key:
    """An RSA key with a certificate of its own, by the id `kid`."""

    def __init__(self, kid: str, name: str = "test") -> None:
        self.kid, self.private = kid, rsa.generate_private_key(65537, 2048)
        called, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), datetime.now(UTC)
        made = x509.CertificateBuilder().subject_name(called).issuer_name(called).public_key(self.private.public_key())
        made = made.serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        self.certificate = made.sign(self.private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    @property
    def pem(self) -> str:
        form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return self.private.private_bytes(serialization.Encoding.PEM, form, plain).decode()

    def sign(self, **claims: Any) -> str:
        """Return a token that is valid for an hour from now, unless the claims say otherwise."""
        now = int(time.time())
        signer = crypt.RSASigner.from_string(self.pem, self.kid)
        return jwt.encode(signer, {"iat": now - 5, "exp": now + 3600} | claims).decode()


@dataclass
class Google:
    """The running server: its keys by purpose, how often it was asked, and what leads a process to it."""

    oidc: Key
    users: Key
    env: dict[str, str]
    asked: list[str]
    working: bool = True

    def certificates(self, path: str) -> dict[str, str] | None:
        key = {OIDC: self.oidc, USERS: self.users}.get(path)
        return {key.kid: key.certificate} if key and self.working else None


@contextmanager
def google(folder: Path) -> Iterator[Google]:
    """Serve Google's certificates until the end."""
    own = Key("tls", HOST)
    ca, both = folder / "ca.pem", folder / "server.pem"
    ca.write_text(own.certificate)
    both.write_text(own.certificate + own.pem)
    credentials = folder / "adc.json"
    account = {"type": "service_account", "project_id": "p", "client_email": "x@p.iam.gserviceaccount.com"}
    credentials.write_text(json.dumps(account | {"private_key": own.pem, "token_uri": f"https://{HOST}/token"}))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    running = Google(Key("google-1"), Key("firebase-1"), {}, [])
    handler = type("Handler", (_Proxy,), {"context": context, "google": running})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    running.env |= {"HTTPS_PROXY": f"http://127.0.0.1:{server.server_port}", "REQUESTS_CA_BUNDLE": str(ca)}
    running.env |= {"GOOGLE_APPLICATION_CREDENTIALS": str(credentials), "NO_PROXY": "127.0.0.1,localhost"}
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()


class _Proxy(BaseHTTPRequestHandler):
    context: ssl.SSLContext
    google: Google

    def do_CONNECT(self) -> None:
        """Be whoever was asked for: TLS is spoken from here on."""
        self.send_response(200)
        self.end_headers()
        with self.context.wrap_socket(self.connection, server_side=True) as secure:
            path = secure.recv(65536).split(b" ")[1].decode()
            self.google.asked.append(path)
            found = self.google.certificates(path)
            body = json.dumps(found).encode()
            status = "200 OK" if found else "503 Service Unavailable"
            head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nCache-Control: public, max-age=3600\r\n"
            head += f"Date: {self.date_time_string()}\r\n"
            secure.sendall(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Be quiet."""


def without_signature(token: str) -> str:
    """Return what Cloud Run makes of a token that IAM has checked."""
    return token.rpartition(".")[0] + ".SIGNATURE_REMOVED_BY_GOOGLE"


def unsigned(**claims: Any) -> str:
    """Return a token as Firebase's emulator makes them, signed by nobody."""
    now = int(time.time())
    parts = ({"alg": "none", "typ": "JWT"}, {"iat": now - 5, "exp": now + 3600} | claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."
