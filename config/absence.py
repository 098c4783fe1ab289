"""A server that is not there, said in one sentence that names the way out."""

import contextlib
from collections.abc import Iterator


class Absent(Exception):
    """No database or no Valkey answers."""


UNREACHABLE = (
    "connection refused",
    "connection failed",
    "could not connect",
    "timeout expired",
    "could not translate host name",
    "failed to resolve",
)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn "nobody answers" into ``Absent``; every other error passes unchanged."""
    from django.core.exceptions import ImproperlyConfigured
    from django.db import OperationalError
    from redis.exceptions import ConnectionError as ValkeyConnectionError

    try:
        yield
    except ImproperlyConfigured as error:
        raise Absent(f"The settings are incomplete: {error}") from error
    except OperationalError as error:
        text = str(error).strip()
        if not any(sign in text.lower() for sign in UNREACHABLE):
            raise
        raise Absent(
            "No PostgreSQL server answers. Start the embedded servers with `make up`, "
            f"or point DATABASE_URL at a server of yours. ({text.splitlines()[0]})"
        ) from error
    except ValkeyConnectionError as error:
        raise Absent(
            "No Valkey or Redis server answers. Start the embedded servers with `make up`, "
            f"or point REDIS_URL at a server of yours. ({error})"
        ) from error
