from collections.abc import Iterator

import pytest

from tests.events import ringing


@pytest.fixture(autouse=True)
def _nothing_is_broken() -> Iterator[None]:
    yield
    ringing.broken.clear()
