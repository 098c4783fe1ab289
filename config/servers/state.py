"""Where a checkout keeps its servers and what it remembers of them: ``.vigil``."""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import quote


HOST = "127.0.0.1"
DATABASE, OWNER, SUPERUSER = "vigil", "vigil_owner", "postgres"
PREFERRED_POSTGRES_PORT, PREFERRED_VALKEY_PORT = 55432, 56379


class ServerProblem(Exception):
    """A server cannot be started, reached or stopped; the message says what to do."""


@dataclass(frozen=True)
class Servers:
    """Both servers, running and answering."""

    postgres_host: str
    postgres_port: int
    database: str
    owner_user: str
    owner_password: str = field(repr=False)
    superuser_password: str = field(repr=False)
    redis_url: str = field(repr=False)
    valkey_port: int
    postgres_pid: int
    valkey_pid: int

    @property
    def owner_url(self) -> str:
        """The database as its owner, who migrates."""
        return self._url(self.owner_user, self.owner_password, self.database)

    @property
    def superuser_url(self) -> str:
        """The whole server; for what the owner may not do, such as ending a session."""
        return self._url(SUPERUSER, self.superuser_password, "postgres")

    def _url(self, user: str, password: str, database: str) -> str:
        address = f"{self.postgres_host}:{self.postgres_port}"
        return f"postgres://{quote(user)}:{quote(password, safe='')}@{address}/{quote(database)}"


@dataclass(frozen=True)
class Place:
    """Where one checkout keeps its servers."""

    state: Path

    @classmethod
    def of(cls, root: Path) -> "Place":
        return cls(root.resolve() / ".vigil")

    @property
    def file(self) -> Path:
        return self.state / "servers.json"

    @property
    def postgres(self) -> Path:
        return self.state / "postgres"

    @property
    def data(self) -> Path:
        return self.postgres / "data"

    @property
    def valkey(self) -> Path:
        return self.state / "valkey"

    def log(self, name: str) -> Path:
        return self.state / "logs" / f"{name}.log"


@dataclass(frozen=True)
class State:
    """What ``servers.json`` keeps: written before a server first needs it."""

    postgres_port: int
    valkey_port: int
    superuser_password: str
    owner_password: str
    valkey_password: str
    postgres_pid: int = 0
    valkey_pid: int = 0

    @classmethod
    def fresh(cls, place: Place) -> "State":
        """Return new passwords. Raises ``ServerProblem`` where a database has the lost ones."""
        if (place.data / "PG_VERSION").exists():
            raise ServerProblem(
                f"{place.file} is missing or damaged, and with it the passwords of the database "
                f"in {place.data}. Put the file back, or delete the data with `make reset`."
            )
        state = cls(
            postgres_port=PREFERRED_POSTGRES_PORT,
            valkey_port=PREFERRED_VALKEY_PORT,
            superuser_password=secrets.token_urlsafe(24),
            owner_password=secrets.token_urlsafe(24),
            valkey_password=secrets.token_urlsafe(24),
        )
        write_state(place, state)
        return state

    def servers(self) -> Servers:
        """Return what callers get, from the same ports, process ids and passwords."""
        password = quote(self.valkey_password, safe="")
        return Servers(
            postgres_host=HOST,
            postgres_port=self.postgres_port,
            database=DATABASE,
            owner_user=OWNER,
            owner_password=self.owner_password,
            superuser_password=self.superuser_password,
            redis_url=f"redis://:{password}@{HOST}:{self.valkey_port}/0",
            valkey_port=self.valkey_port,
            postgres_pid=self.postgres_pid,
            valkey_pid=self.valkey_pid,
        )


STATE_TYPES: dict[str, Any] = get_type_hints(State)


def read_state(place: Place) -> State | None:
    try:
        found = json.loads(place.file.read_text())
        return State(**{name: kind(found[name]) for name, kind in STATE_TYPES.items()})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def write_state(place: Place, state: State) -> None:
    """Replace the file whole, readable by its owner only."""
    urls = {"owner_url": state.servers().owner_url, "redis_url": state.servers().redis_url}
    text = json.dumps({**asdict(state), **urls}, indent=1)
    write_private(place.file, text)


def write_private(path: Path, text: str, owner: tuple[int, int] | None = None) -> None:
    """Replace a file whole, mode 0600; ``owner`` is (uid, gid)."""
    draft = path.with_name(f"{path.name}.draft")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        if owner is not None:
            os.fchown(file.fileno(), *owner)
    draft.replace(path)


@contextlib.contextmanager
def alone(place: Place) -> Iterator[None]:
    """Hold this checkout's server lock: a second start waits and then reuses."""
    (place.state / "logs").mkdir(parents=True, exist_ok=True)
    with (place.state / "servers.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def explained(place: Place) -> Iterator[None]:
    """Turn the operating system's refusals into ``ServerProblem``."""
    try:
        yield
    except PermissionError as error:
        raise ServerProblem(
            f"{error.filename or place.state} may not be used by this user. If `make` was once "
            "run as root here, run it as root again, or `sudo make reset`, which deletes the data."
        ) from error
    except OSError as error:
        raise ServerProblem(f"The servers' folder {place.state}: {error}") from error
