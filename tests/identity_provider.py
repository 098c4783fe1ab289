"""An OpenID Connect provider on loopback: it asks what the standard asks, and lies when told to.

Source: OpenID Connect Core 1.0 (authorization code flow), Discovery 1.0; RFC 7636 (PKCE, S256).
"""

import hashlib
import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa


CLIENT, SECRET = "vigil", "a secret of the client"


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class IdentityProvider:
    """Answers for one person at a time: ``subject``.

    ``claims`` are put over those of the ID token (``None`` leaves one out), ``config`` over the
    discovery document, ``token`` over the token answer. ``key`` signs; ``published`` is shown.
    """

    issuer: str = ""
    callback: str = ""
    subject: str = "subject-of-a-coordinator"
    claims: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    token: dict[str, Any] = field(default_factory=dict)
    published: rsa.RSAPrivateKey = field(default_factory=new_key)
    key: Any = None
    algorithm: str = "RS256"
    asked: list[dict[str, str]] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    answer: str = "yes"

    def tells_the_truth(self) -> None:
        self.subject, self.algorithm, self.answer = "subject-of-a-coordinator", "RS256", "yes"
        self.claims, self.config, self.token = {}, {}, {}
        self.key = self.published

    # --- What it answers ----------------------------------------------------------------------

    def discovery(self) -> dict[str, Any]:
        own = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }
        return {name: v for name, v in (own | self.config).items() if v is not None}

    def keys(self) -> dict[str, Any]:
        algorithm = jwt.algorithms.RSAAlgorithm
        shown = json.loads(algorithm.to_jwk(self.published.public_key()))
        return {"keys": [{**shown, "kid": "one", "alg": "RS256", "use": "sig"}]}

    def authorise(self, asked: dict[str, str]) -> str:
        """Return where the browser goes next. Raises ``ValueError`` for what is not in order."""
        expected = {
            "client_id": CLIENT, "redirect_uri": self.callback, "response_type": "code",
            "scope": "openid", "code_challenge_method": "S256", "max_age": "300",
        }  # fmt: skip
        wrong = {name: asked.get(name) for name in expected if asked.get(name) != expected[name]}
        if wrong or not asked.get("state") or not asked.get("nonce"):
            raise ValueError(f"not in order: {wrong or asked}")
        self.asked.append(asked)
        if self.answer == "no":
            back = {"error": "access_denied"}
        else:
            code = secrets.token_urlsafe(8)
            self.codes[code] = asked
            back = {"code": code}
        return f"{self.callback}?{urlencode({**back, 'state': asked['state']})}"

    def exchange(self, sent: dict[str, str]) -> dict[str, Any]:
        """Return tokens for a code, once. Raises ``ValueError`` for what is not in order."""
        asked = self.codes.pop(sent.get("code", ""), None)
        if asked is None or (sent.get("client_id"), sent.get("client_secret")) != (CLIENT, SECRET):
            raise ValueError("no such code, or not your secret")
        digest = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
        if urlsafe_b64encode(digest).decode().rstrip("=") != asked["code_challenge"]:
            raise ValueError("not who began")
        if sent.get("redirect_uri") != asked["redirect_uri"]:
            raise ValueError("another address than at the beginning")
        tokens = {
            "access_token": secrets.token_urlsafe(8), "token_type": "Bearer",
            "id_token": self.id_token(asked["nonce"]),
        } | self.token  # fmt: skip
        return {name: value for name, value in tokens.items() if value is not None}

    def id_token(self, nonce: str) -> str:
        now = int(time.time())
        own = {
            "iss": self.issuer, "sub": self.subject, "aud": CLIENT, "nonce": nonce, "iat": now,
            "exp": now + 300, "email": "somebody@example.org", "email_verified": True,
            "auth_time": now,
        }  # fmt: skip
        said = {name: value for name, value in (own | self.claims).items() if value is not None}
        return jwt.encode(said, self.key, algorithm=self.algorithm, headers={"kid": "one"})


class _Handler(BaseHTTPRequestHandler):
    provider: IdentityProvider  # set on the class that a server of its own gets

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        match address.path.removeprefix("/realm"):
            case _ if self.provider.answer == "down":
                self.send_error(503)
            case "/.well-known/openid-configuration":
                self._json(self.provider.discovery())
            case "/keys":
                self._json(self.provider.keys())
            case "/authorize":
                self._try(lambda: self._away(self.provider.authorise(_flat(address.query))))
            case _:
                self.send_error(404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._try(lambda: self._json(self.provider.exchange(_flat(body))))

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except ValueError as error:
            self._json({"error": str(error)}, status=400)

    def _away(self, address: str) -> None:
        self.send_response(302)
        self.send_header("Location", address)
        self.end_headers()

    def _json(self, content: Any, *, status: int = 200) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        """Say nothing on the terminal of the tests."""


@contextmanager
def identity_provider(callback: str) -> Iterator[IdentityProvider]:
    """A provider that listens on a port of its own, at an issuer with a path."""
    provider = IdentityProvider(callback=callback)
    provider.tells_the_truth()
    handler = type("Handler", (_Handler,), {"provider": provider})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    provider.issuer = f"http://127.0.0.1:{server.server_port}/realm"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()


def _flat(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}
