"""One machine user of one site at the REST interface, as a site's programmer would write it."""

import random
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import httpx


API = "/api/v1"
TOKEN = "/oauth/token"  # noqa: S105 - a path
ATTEMPTS = 9
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 15.0
TRY_AGAIN = {429, 502, 503, 504}


class ApiRefused(Exception):
    """The interface answered no; says why in the trial's words.

    ``status`` is the HTTP status, ``code`` the problem's stable code and ``reasons`` its reasons,
    each with a code and a sentence.
    """

    def __init__(self, method: str, path: str, response: httpx.Response) -> None:
        problem = _problem(response)
        self.status = response.status_code
        self.code = str(problem.get("code", ""))
        self.reasons: list[dict[str, str]] = list(problem.get("reasons") or [])
        said = [reason.get("detail") or reason.get("code", "") for reason in self.reasons]
        said = said or [str(problem.get("detail") or problem.get("title") or response.text[:500])]
        super().__init__(f"{method} {path}: {self.status} {self.code} " + "; ".join(said))


class Unreachable(Exception):
    """No answer in the attempts allowed."""


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


class Client:
    """Keeps one connection pool and one token; may be used by several threads.

    A request that found no server, or one that is busy, is sent again with the same idempotency
    key, so that it takes effect once.
    """

    def __init__(
        self,
        base_url: str,
        client_id: str,
        secret: str,
        *,
        timeout_seconds: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=timeout_seconds, trust_env=False)
        self._credentials = (client_id, secret)
        self._sleep = sleep
        self._token = ""
        self._renewing = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def post(self, path: str, body: Mapping[str, object], *, key: str) -> dict[str, Any]:
        """Return the answer to ``body`` posted at ``path``, below the interface's root.

        Raises ``ApiRefused`` for every answer that is not a success, ``Unreachable`` if there is
        no answer.
        """
        return self._call("POST", path, json=body, headers={"Idempotency-Key": key})

    def get(self, path: str, **params: str | int) -> dict[str, Any]:
        """Return one page or one record. Raises as ``post`` does."""
        return self._call("GET", path, params=params)

    def download(self, path: str, **params: str | int) -> bytes:
        """Return a document's bytes. Raises as ``post`` does."""
        return self._answer("GET", path, params=params).content

    def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._answer(method, path, **request).json()
        return answer

    def _answer(self, method: str, path: str, **request: Any) -> httpx.Response:
        headers = request.pop("headers", {})
        token = ""
        for _ in range(2):
            token = self._current_token(stale=token)
            sent = {**headers, "Authorization": f"Bearer {token}"}
            response = self._send(method, API + path, headers=sent, **request)
            if response.status_code != httpx.codes.UNAUTHORIZED:
                break
        if not response.is_success:
            raise ApiRefused(method, path, response)
        return response

    def _current_token(self, *, stale: str) -> str:
        with self._renewing:
            if self._token == stale:
                self._token = self._new_token()
            return self._token

    def _new_token(self) -> str:
        grant = {"grant_type": "client_credentials"}
        response = self._send("POST", TOKEN, data=grant, auth=self._credentials)
        if not response.is_success:
            raise ApiRefused("POST", TOKEN, response)
        return str(response.json()["access_token"])

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        last = ""
        for attempt in range(ATTEMPTS):
            wished = ""
            try:
                response = self._http.request(method, path, **request)
            except httpx.TransportError as error:
                last = repr(error)
            else:
                if response.status_code not in TRY_AGAIN:
                    return response
                last = f"status {response.status_code}"
                wished = response.headers.get("Retry-After", "")
            if attempt + 1 < ATTEMPTS:
                self._sleep(_pause(attempt, wished))
        raise Unreachable(f"{method} {path}: no answer in {ATTEMPTS} attempts, last {last}")


def _pause(attempt: int, wished: str) -> float:
    """Return seconds to wait: what the server asked for, else twice as long every time."""
    if wished.isdigit():
        return min(float(wished), LONGEST_PAUSE_SECONDS)
    pause: float = min(FIRST_PAUSE_SECONDS * 2**attempt, LONGEST_PAUSE_SECONDS)
    return pause * random.uniform(0.75, 1.0)
