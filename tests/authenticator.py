"""An authenticator in software: it makes passkeys and signs with them as a telephone would.

What a browser adds is added here too: the origin of the page, which the person never sees and a
page elsewhere cannot choose. A test that plays an attacker sets it, or lies about anything else.

Source: WebAuthn Level 2, 5.8.1 (client data), 6.1 (authenticator data), 8.7 (attestation "none").
"""

import hashlib
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fido2 import cbor


PRESENT, VERIFIED, WITH_KEY = 0x01, 0x04, 0x40
NO_MAKER = bytes(16)
ORIGIN = "http://localhost"


@dataclass
class Authenticator:
    """Holds one passkey. ``verifies`` says whether it asked for a finger, a face or a PIN."""

    origin: str = ORIGIN
    rp_id: str = ""  # as the options say, unless a test lies
    verifies: bool = True
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    user_handle: str = ""
    signed: int = 0

    def makes(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a page that asks for a new passkey."""
        asked = options["publicKey"]
        self.user_handle = asked["user"]["id"]
        client_data = self._client_data("webauthn.create", asked["challenge"])
        id_length = len(self.credential_id).to_bytes(2, "big")
        made = NO_MAKER + id_length + self.credential_id + self._public_key()
        data = self._data(asked["rp"]["id"], WITH_KEY) + made
        attested = cbor.encode({"fmt": "none", "attStmt": {}, "authData": data})
        return self._answer(
            {"clientDataJSON": encoded(client_data), "attestationObject": encoded(attested)}
        )

    def signs(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a page that asks for a signature."""
        asked = options["publicKey"]
        client_data = self._client_data("webauthn.get", asked["challenge"])
        data = self._data(asked["rpId"], 0)
        signature = self.key.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(SHA256()))
        return self._answer(
            {
                "clientDataJSON": encoded(client_data),
                "authenticatorData": encoded(data),
                "signature": encoded(signature),
                "userHandle": self.user_handle,
            }
        )

    def _client_data(self, kind: str, challenge: str) -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(said).encode()

    def _data(self, rp_id: str, flags: int) -> bytes:
        self.signed += 1
        flags |= PRESENT | (VERIFIED if self.verifies else 0)
        site = hashlib.sha256((self.rp_id or rp_id).encode()).digest()
        return site + bytes([flags]) + self.signed.to_bytes(4, "big")

    def _public_key(self) -> bytes:
        """Return the key as COSE writes ES256 (RFC 9053, 2.1 and 7.1.1)."""
        numbers = self.key.public_key().public_numbers()
        x, y = (number.to_bytes(32, "big") for number in (numbers.x, numbers.y))
        return cbor.encode({1: 2, 3: -7, -1: 1, -2: x, -3: y})

    def _answer(self, response: dict[str, str]) -> dict[str, Any]:
        return {
            "id": encoded(self.credential_id),
            "rawId": encoded(self.credential_id),
            "type": "public-key",
            "clientExtensionResults": {"credProps": {"rk": True}},
            "response": response,
        }


def encoded(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


def decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
