"""What somebody can fetch: every address of the interface and the web admin, and their answers."""

import io
import json
import logging
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from pypdf import PdfReader

from reporting.models import SafetySummary
from tests.factories import TODAY, Study
from tests.interface import token_of
from trials.models import User
from trials.permissions import Permission, Role, allows


UNBLINDED = {Permission.READ_UNBLINDED_REPORT, Permission.LOAD_LIST, Permission.SUPPLY_KITS}
BLINDED = [role for role in Role if not any(allows(role, p) for p in UNBLINDED)]
MOST_PAGES = 800
# The protocol names its own arms, to those who may read it: that tells of nobody.
NOT_FOLLOWED = ("logout", "/protocolversion/")
NOT_ASKED = "<version:version>/file"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ABOUT_PEOPLE = re.compile(
    "/(security|user|loginrecord|machineclient|training|roleassignment|leaver|oncall"
    "|accessreview|periodictask)/"
)
SUBJECT, RECORD = "<uuid:subject_id>", "<uuid:record_id>"
QUERIES = {
    "reports/pfs": f"cutoff={TODAY}",
    "/events": "trial=<slug:code>",
    "/changes": "since=<version:version>",
    "/impact": f"in_force_from={TODAY}",
}


def routes_of_the_interface(study: Study) -> list[str]:
    """Return every address of the interface that can be got, with a place left open for a subject.

    What is named after a record of another kind, or has no such record, is left out.
    """
    named = _names(study)
    found = []
    for route in _addresses("get"):
        if route.endswith(NOT_ASKED):
            continue
        query = next((q for end, q in QUERIES.items() if route.endswith(end)), "")
        address = _filled(f"{route}?{query}" if query else route, named)
        if "<" not in address.replace(SUBJECT, ""):
            found.append(address)
            found += [f"{address}?as={kind}" for kind in ("html", "pdf") if summary_of(route)]
    return found


def posts_of_the_interface(study: Study) -> list[str]:
    """Return every address of the interface that takes a body, as those that can be got."""
    named = _names(study)
    found = [_filled(route, named) for route in _addresses("post")]
    return [address for address in found if "<" not in address.replace(SUBJECT, "")]


def addresses_of_a_record(method: str) -> list[str]:
    """Return the addresses of the interface that are named after one record of any kind."""
    return [route for route in _addresses(method) if RECORD in route]


def _addresses(method: str) -> list[str]:
    routes = _routes(get_resolver().url_patterns)
    ours = [(route, view) for route, view in routes if route.startswith("api/v1/")]
    return [f"/{route}" for route, view in ours if hasattr(view.view_class, method)]


def _names(study: Study) -> dict[str, str]:
    named = {
        "<slug:code>": study.trial.code,
        "<version:version>": study.trial.current_version.version,
        "<slug:site>": study.site.code,
        "<uuid:list_id>": str(study.list.pk),
    }
    for summary in SafetySummary.objects.filter(trial=study.trial)[:1]:
        named["<uuid:summary_id>"] = str(summary.pk)
    return named


def _filled(address: str, named: Mapping[str, str]) -> str:
    for name, value in named.items():
        address = address.replace(name, value)
    return address


def summary_of(route: str) -> bool:
    return route.endswith("<uuid:summary_id>")


def _routes(patterns: Any, prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += _routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            found.append((route, pattern.callback))
    return found


def browser(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def program(person: User) -> Client:
    return Client(headers={"Authorization": f"Bearer {token_of(person)}"})


def text_of(answer: Any) -> str:
    """Return what an answer says, that of a PDF as it would be read."""
    content = b"".join(answer)
    if answer.get("Content-Type", "").startswith("application/pdf"):
        pages = PdfReader(io.BytesIO(content)).pages
        return "\n".join(page.extract_text() for page in pages)
    return content.decode(errors="replace")


def crawl(client: Client, *, starts: list[str]) -> dict[str, str]:
    """Follow every link from the starts; return each page's text and headers by path."""
    waiting, pages = list(starts), {}
    while waiting and len(pages) < MOST_PAGES:
        path = waiting.pop()
        if path in pages:
            continue
        answer = client.get(path)
        assert answer.status_code < 500, path
        text = text_of(answer)
        pages[path] = text + str(dict(answer.headers))
        waiting.extend(links(path, text))
    assert set(waiting) <= set(pages), "there are more pages than were opened"
    return pages


class _Links(HTMLParser):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path.partition("?")[0]
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get("href" if tag == "a" else "action") or ""
        if re.match(r"\?p=\d+$", address):  # the next page of a list
            address = self.path + address
        wanted = address.startswith(("/admin/", "/reports/"))
        if wanted and not any(word in address for word in NOT_FOLLOWED):
            self.found.append(address.partition("#")[0])


def links(path: str, text: str) -> list[str]:
    parser = _Links(path)
    parser.feed(text)
    return parser.found


@contextmanager
def listening() -> Iterator[Callable[[], str]]:
    """Give a function that returns what the log has said since it was last asked."""
    written = io.StringIO()

    def since() -> str:
        text = written.getvalue()
        written.seek(0)
        written.truncate()
        return text

    with pytest.MonkeyPatch.context() as patch:
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.get_name() == "out":
                patch.setattr(handler, "stream", written)
        yield since


class Reader:
    """Somebody who keeps whatever they were ever answered, and what the log said meanwhile."""

    def __init__(self, person: User, log: Callable[[], str]) -> None:
        self.person, self.log = person, log
        self.program = program(person)
        self.browser = browser(person)
        self.pages: dict[str, str] = {}

    def get(self, path: str, *, kept_as: str = "") -> str:
        client = self.program if path.startswith("/api/") else self.browser
        return self._kept(kept_as or path, client.get(path))

    def get_whole(self, path: str) -> None:
        """Get an address, and the rest of it if it comes in pages."""
        text = self.get(path).partition(" ")[2]
        found = json.loads(text) if text.startswith("{") else {}
        if found.get("next"):
            del self.pages[path]
            self.get(f"{path}?page_size=1000")
        if found.get("events"):
            self.get_whole(f"{path.partition('&after')[0]}&after={found['after']}")

    def read_lists(self) -> None:
        """Open the pages of the web admin that are not about one record, from the first one on.

        Those about people's own log-ins and roles are left out: they hold no subject.
        """
        waiting, seen = ["/admin/"], set()
        while waiting:
            path = waiting.pop()
            if path not in seen:
                seen.add(path)
                waiting += [link for link in links(path, self.get(path)) if is_a_list(link)]

    def post(self, path: str, body: Mapping[str, Any], *, called: str, kept_as: str = "") -> str:
        """Send a body to the interface; the answer is kept under the path and a name."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        content = json.dumps(body, default=str)
        answer = self.program.generic("POST", path, content, "application/json", headers=headers)
        return self._kept(f"{kept_as or path} {called}", answer)

    def forget(self, name: str) -> None:
        for kept in (name, f"{name} headers", f"{name} log"):
            self.pages.pop(kept, None)

    def _kept(self, name: str, answer: Any) -> str:
        assert answer.status_code < 500, name
        text = text_of(answer)
        lines = ",".join(self.log().splitlines())
        self.pages[name] = text
        self.pages[f"{name} headers"] = json.dumps(dict(answer.headers))
        self.pages[f"{name} log"] = f"[{lines}]"
        return f"{answer.status_code} {text}"


def is_a_list(path: str) -> bool:
    place, _, query = path.partition("?")
    left_out = UUID.search(place) or re.search(r"/\d+/|/add/", place) or ABOUT_PEOPLE.search(place)
    return not left_out and re.fullmatch(r"(p=\d+)?", query) is not None
