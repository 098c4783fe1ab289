"""The mail server is told by one URL, whole or not at all, and encrypted unless said otherwise."""

import pytest
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from config import environment as env
from tests.config.test_environment import PRODUCTION, python


MAIL = {
    "VIGIL_EMAIL_URL": "smtp://vigil:secret@mail.example",
    "VIGIL_EMAIL_FROM": "Vigil <vigil@vigil.example>",
    "VIGIL_ADDRESS": "https://vigil.example/",
}
SHOW = (
    "import config.settings as s;"
    "print(s.MAIL_ON, s.EMAIL_BACKEND.split('.')[-2], s.EMAIL_HOST, s.EMAIL_PORT, s.EMAIL_USE_TLS,"
    " s.VIGIL_ADDRESS)"
)


def server(url):
    return env.mail_server(url, variable="VIGIL_EMAIL_URL")


# --- The URL --------------------------------------------------------------------------------------


def test_a_server_with_its_log_in_is_taken_apart():
    found = server("smtp://anna%40b:p%40ss%3A@mail.example:2525/?tls=true")

    assert (found["EMAIL_HOST"], found["EMAIL_PORT"]) == ("mail.example", 2525)
    assert (found["EMAIL_HOST_USER"], found["EMAIL_HOST_PASSWORD"]) == ("anna@b", "p@ss:")


@pytest.mark.parametrize(
    ("url", "port", "starttls", "tls"),
    [
        ("smtp://mail.example", 587, True, False),
        ("smtp://mail.example/?tls=true", 587, True, False),
        ("smtp://mail.example?tls=false", 587, False, False),
        ("smtp://mail.example:25/?tls=false", 25, False, False),
        ("smtps://mail.example", 465, False, True),
    ],
)
def test_a_server_is_spoken_to_encrypted_unless_the_url_says_otherwise(url, port, starttls, tls):
    found = server(url)

    assert found["EMAIL_PORT"] == port
    assert (found["EMAIL_USE_TLS"], found["EMAIL_USE_SSL"]) == (starttls, tls)


@pytest.mark.parametrize(("url", "backend"), [("", "dummy"), ("console", "console")])
def test_without_a_server_mails_are_dropped_or_printed(url, backend):
    assert server(url) == {"EMAIL_BACKEND": f"django.core.mail.backends.{backend}.EmailBackend"}


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "http://mail.example",
        "smtp://",
        "smtp://u:hunter2@mail.example:port",
        "smtp://u:hunter2@mail.example:99999",
        "smtp://u:hunter2@mail.example/folder",
        "smtp://u:hunter2@mail.example?tls=maybe",
        "smtp://u:hunter2@mail.example?ssl=true",
        "smtp://u:hunter2@[mail.example",
    ],
)
def test_a_url_that_is_none_is_refused_by_the_variables_name_and_not_repeated(url):
    with pytest.raises(ImproperlyConfigured, match="VIGIL_EMAIL_URL must look like") as refusal:
        server(url)

    assert "hunter2" not in str(refusal.value)


# --- The site -------------------------------------------------------------------------------------


def test_a_site_with_a_mail_server_sends_through_it():
    ran = python("-c", SHOW, **PRODUCTION, **MAIL)

    assert ran.stdout == "True smtp mail.example 587 True https://vigil.example\n"


def test_a_site_without_one_starts_and_sends_nothing():
    ran = python("-c", SHOW, **PRODUCTION)

    assert ran.stdout.startswith("False dummy")


@pytest.mark.parametrize("name", ["VIGIL_EMAIL_FROM", "VIGIL_ADDRESS"])
def test_what_a_mail_needs_beside_the_server_is_named(name):
    ran = python("-c", SHOW, **PRODUCTION, **{k: v for k, v in MAIL.items() if k != name})

    assert ran.stderr.splitlines()[-1].endswith(f"{name} is not set")


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"VIGIL_EMAIL_URL": "console"}, "VIGIL_EMAIL_URL must be a server"),
        ({"VIGIL_ADDRESS": "http://vigil.example"}, "VIGIL_ADDRESS must begin with https://"),
    ],
)
def test_a_production_site_prints_no_mail_and_links_over_https(changes, refusal):
    ran = python("-c", SHOW, **PRODUCTION, **{**MAIL, **changes})

    assert refusal in ran.stderr.splitlines()[-1]


@pytest.mark.parametrize(("on", "warned"), [(False, ["vigil.W001"]), (True, [])])
def test_the_check_before_a_deployment_warns_that_nobody_is_mailed(settings, on, warned):
    settings.MAIL_ON = on

    found = checks.run_checks(include_deployment_checks=True)

    assert [each.id for each in found if each.id.startswith("vigil.")] == warned
