"""The page of roles, and what each may do."""

from config.reference.markdown import code, page, table
from trials.permissions import (
    AT_ONE_SITE,
    AT_ONE_SITE_OR_ALL,
    GROUPS,
    TABLE,
    Permission,
    Role,
)


def permissions_page() -> str:
    intro = (
        "A role is given to a person or a site's system, at one site or (without a site) at all "
        "sites of a trial; training is recorded before. It holds from its start to its end. What "
        "is not in this table cannot be done. A look behind the blind asks for a role at all "
        "sites, and PostgreSQL checks that by itself."
    )
    parts: list[str] = []
    for title, permissions in GROUPS.items():
        rows = [
            (each.value, ", ".join(role.label for role in Role if each in TABLE[role]))
            for each in permissions
        ]
        parts += [f"### {title}", table(("who may", "are"), rows)]
    roles = table(
        ("role", "code", "given", "may"),
        [
            (
                role.label,
                code(role.value),
                _place(role),
                "; ".join(p.value for p in Permission if p in TABLE[role]),
            )
            for role in Role
        ],
    )
    matrix = table(
        ("may", *(role.label for role in Role)),
        [
            (each.value, *("yes" if each in TABLE[role] else "" for role in Role))
            for permissions in GROUPS.values()
            for each in permissions
        ],
    )
    return page(
        "Roles and permissions", intro, "## By what is done", *parts,
        "## By role", roles, "## As a matrix", matrix,
    )  # fmt: skip


def _place(role: Role) -> str:
    if role in AT_ONE_SITE:
        return "at one site"
    return "at one site or for all" if role in AT_ONE_SITE_OR_ALL else "for the whole trial"
