"""What the demo tells at its end."""

import pytest

from config.management.commands.demo import second_factor


@pytest.mark.parametrize(
    ("required", "said"),
    [
        (False, "off, for the demo alone. In production everybody needs one."),
        (True, "on: the first log-in asks for an authenticator application or a passkey."),
    ],
)
def test_the_demo_says_whether_a_second_factor_is_asked_for(settings, required, said):
    settings.VIGIL_MFA_REQUIRED = required

    text = second_factor("http://127.0.0.1:8000")

    assert text.startswith(said)
    assert "VIGIL_MFA_REQUIRED" in text
    assert "Passkeys work at http://localhost:8000/admin/ only." in text
