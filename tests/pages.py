"""The pages of the web admin as a test looks at them."""

from datetime import timedelta
from unittest.mock import patch

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from trials.log_in import middleware


def questions(client: Client, address: str) -> int:
    """Return how many statements the page asks, without the session's clock.

    That clock is written every few seconds, so on a slow machine in one of two compared requests.
    """
    with (
        patch.object(middleware, "WRITTEN_EVERY", timedelta(days=1)),
        CaptureQueriesContext(connection) as asked,
    ):
        assert client.get(address).status_code == 200
    return len(asked)
