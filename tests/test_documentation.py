"""The documents say what the code does: names, addresses, commands and links are checked."""

import ast
import json
import re
import uuid
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import call_command, get_commands
from django.core.management.base import CommandError
from django.urls import get_resolver, resolve

from config import reference
from patients.api.serializers import RandomisationOut, SubjectOut
from trials.api.serializers import SiteOut
from trials.permissions import Permission, Role


ROOT = Path(__file__).resolve().parent.parent
APPS = ("events", "trials", "patients", "dosing", "reporting")
OURS = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "protocols").rglob("*.md")))
WRITTEN = (
    *OURS,
    *(p for p in sorted((ROOT / "docs").rglob("*.md")) if p.parent.name != "reference"),
)
DOCUMENTS = (*WRITTEN, *sorted((ROOT / "docs" / "reference").glob("*.md")))
FORBIDDEN = re.compile(
    r"/root\b|/tmp\b|/home/|/Users/|/work\b|\bTODO\b|\bFIXME\b|\bTBD\b|\bXXX\b|lorem ipsum", re.I
)
CODE = re.compile(r"```.*?```|`[^`\n]+`|^(?: {4,}.*\n?)+", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
ADDRESS = re.compile(
    r'(?:\$VIGIL|(?:get|post) "?)(/(?:api/v1/|subjects|trials)[^"\s?]*|/oauth/\w+)'
)


def page(name):
    return (ROOT / "docs" / "reference" / f"{name}.md").read_text()


def missing(words, name):
    text = page(name)
    return sorted(word for word in words if f"`{word}`" not in text)


def source(pattern, *names):
    """What a pattern finds in each app's module of a name, whatever the reference thinks of it."""
    files = [ROOT / app / name for app in APPS for name in names]
    return {
        found for path in files if path.exists() for found in re.findall(pattern, path.read_text())
    }


def code_in(path):
    return "\n".join(CODE.findall(path.read_text()))


def slugs(path):
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def linked_from(path):
    targets = (link.partition("#")[0] for link in LINK.findall(path.read_text()))
    return {(path.parent / target).resolve() for target in targets if target.endswith(".md")}


# --- The reference pages ------------------------------------------------------------------------


def test_every_event_is_documented():
    types = source(r'(?m)^    type = "([\w.]+)"', "events.py")

    assert len(types) > 20
    assert missing(types, "events") == []


def test_every_event_is_published_by_a_function_that_says_so():
    assert "Published by nobody" not in page("events")


def test_every_refusal_is_documented_with_who_raises_it():
    codes = source(r'(?m)^    code = "(\w+)"', "errors.py")

    assert len(codes) > 10
    assert missing(codes, "refusals") == []
    assert "|  |\n" not in page("refusals").partition("## Reasons")[0]


def test_every_reason_code_is_documented():
    codes = {
        found
        for app in APPS
        for path in (ROOT / app).rglob("*.py")
        for found in re.findall(r'\bReason\(\s*"(\w+)"', path.read_text())
    }
    in_families = {each.value for family in reference.reason_families().values() for each in family}

    assert len(codes) > 40
    assert len(in_families) > 50
    assert missing(codes | in_families, "refusals") == []


def test_every_setting_is_documented():
    text = (ROOT / "config" / "settings.py").read_text()
    names = set(re.findall(r'env\.(?:text|flag|number|words)\(\s*"(\w+)"', text))

    assert "VIGIL_SECRET_KEY" in names
    assert missing(names, "settings") == []


def test_a_setting_without_a_meaning_stops_the_printing(monkeypatch):
    monkeypatch.delitem(reference.MEANINGS, "VIGIL_LOG_LEVEL")

    with pytest.raises(LookupError, match="VIGIL_LOG_LEVEL: say in config"):
        reference.settings_page()


def test_every_state_is_documented():
    words = {
        str(value)
        for model in apps.get_models()
        if model._meta.app_label in APPS
        for field in model._meta.fields
        if field.choices and field.name != "role"
        for value, _ in field.choices
        if value
    }

    assert len(words) > 40
    assert missing(words, "states") == []


def test_every_permission_and_role_is_documented():
    text = page("permissions")

    assert [each.value for each in Permission if f"| {each.value} |" not in text] == []
    assert [role.label for role in Role if f"| {role.label} | `{role.value}` |" not in text] == []


def test_every_address_of_the_interface_is_documented():
    routes = {
        "/" + "".join(re.sub(r"<\w+:(\w+)>|<(\w+)>", r"{\1\2}", part) for part in parts)
        for parts in routes_below(get_resolver().url_patterns)
    }
    addresses = {route for route in routes if route.startswith("/api/v1/")}

    assert len(addresses) > 25
    assert missing(addresses, "api") == []


def routes_below(patterns, before=()):
    for pattern in patterns:
        parts = (*before, str(pattern.pattern))
        if hasattr(pattern, "url_patterns"):
            yield from routes_below(pattern.url_patterns, parts)
        else:
            yield parts


def test_every_table_is_documented():
    tables = {
        model._meta.db_table
        for model in apps.get_models(include_auto_created=True)
        if model._meta.app_label in APPS and model._meta.managed
    }

    assert missing(tables, "database") == []


def test_pages_are_written_once_and_then_fresh(tmp_path):
    first, second = reference.write(tmp_path), reference.write(tmp_path)

    assert first == sorted(reference.pages())
    assert second == []
    assert reference.stale(tmp_path) == []


def test_changed_missing_and_foreign_pages_are_stale_and_put_right(tmp_path):
    reference.write(tmp_path)
    (tmp_path / "events.md").write_text("something else")
    (tmp_path / "states.md").unlink()
    (tmp_path / "old.md").write_text("of a page that is no more")

    found = reference.stale(tmp_path)
    reference.write(tmp_path)

    assert found == ["events.md", "old.md", "states.md"]
    assert reference.stale(tmp_path) == []


def test_the_check_names_what_is_stale(monkeypatch):
    monkeypatch.setattr(reference, "stale", lambda: ["events.md"])

    with pytest.raises(CommandError, match=r"make docs.*docs/reference/events\.md"):
        call_command("reference_docs", check=True)


# --- The written documents ----------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(path):
    broken = []
    for link in LINK.findall(path.read_text()):
        target, _, anchor = link.partition("#")
        if target.startswith(("https://", "mailto:")):
            continue
        there = (path.parent / target).resolve() if target else path
        if not there.exists() or (anchor and anchor not in slugs(there)):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_machine_of_ours_and_nothing_unfinished_is_in_a_document(path):
    assert FORBIDDEN.findall(path.read_text()) == []


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_documents_exist(path):
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = code_in(path)

    assert set(re.findall(r"\bmake ([a-z][a-z-]*)", code)) <= targets
    assert set(re.findall(r"manage\.py ([a-z_]+)", code)) <= set(get_commands())


def test_the_reader_can_get_to_every_page_from_the_index():
    reached, waiting = set(), {ROOT / "docs" / "index.md"}
    while waiting:
        path = waiting.pop()
        reached.add(path)
        waiting |= linked_from(path) - reached

    assert sorted(set((ROOT / "docs").rglob("*.md")) - reached) == []


def test_every_address_in_the_walk_through_exists():
    text = (ROOT / "docs" / "how-to" / "connect-a-site-system.md").read_text()
    found = {re.sub(r"\$\w+", str(uuid.uuid4()), address) for address in ADDRESS.findall(text)}
    whole = {f if f.startswith(("/api", "/oauth")) else f"/api/v1{f}" for f in found}

    assert len(whole) > 8
    assert [address for address in whole if not resolve(address)] == []


@pytest.mark.parametrize(
    ("begins", "answer"),
    [
        ('{"id":', SubjectOut),
        ('{"randomisation_number":', RandomisationOut),
        ('{"trial":', SiteOut),
    ],
)
def test_an_answer_in_the_walk_through_has_the_fields_the_interface_gives(begins, answer):
    text = (ROOT / "docs" / "how-to" / "connect-a-site-system.md").read_text()
    shown = next(part for part in re.findall(r"\{[^{}]*\}", text) if part.startswith(begins))

    assert list(json.loads(shown)) == list(answer().fields)


def test_every_decision_has_its_four_parts():
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    parts = ["Context", "Decision", "Consequences", "Alternatives"]
    headings = {p.name: re.findall(r"^## (.+)$", p.read_text(), re.MULTILINE) for p in pages}

    assert [p.name[:4] for p in pages] == [f"{i:04d}" for i in range(1, len(pages) + 1)]
    assert {name: found for name, found in headings.items() if found != parts} == {}


def test_every_word_of_the_readme_folders_is_a_folder():
    table = re.findall(r"^\| (`[^|]+`) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    folders = [name for row in table for name in re.findall(r"`([\w/]+)/`", row)]

    assert set(APPS) < set(folders)
    assert [name for name in folders if not (ROOT / name).is_dir()] == []


# --- Docstrings ---------------------------------------------------------------------------------


def used_elsewhere():
    """The functions that code in another folder imports, by dotted name."""
    for app in (*APPS, "config"):
        for path in (ROOT / app).rglob("*.py"):
            here = ".".join(path.relative_to(ROOT).parent.parts)
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.ImportFrom)
                    and (node.module or "").rpartition(".")[0] != here
                ):
                    yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_function_of_services_and_rules_that_others_use_says_what_it_gives():
    used = set(used_elsewhere())
    functions = dict(reference.public_functions("services", "rules"))
    silent = [
        n for n, function in functions.items() if n in used and not ast.get_docstring(function)
    ]

    assert len(used & set(functions)) > 50
    assert silent == []
