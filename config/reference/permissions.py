"""The page of roles, and what each may do."""

from config.reference.markdown import code, page, table
from trials.permissions import TABLE, Permission, Role


def permissions_page() -> str:
    intro = (
        "A role is given to a person or a site's system, at one site or (without a site) at all "
        "sites of a trial. It holds from its start to its end. What is not in this table cannot be "
        "done. A look behind the blind asks for a role at all sites, and PostgreSQL checks that by "
        "itself."
    )
    matrix = table(
        ("may", *(role.label for role in Role)),
        [
            (each.value, *("yes" if each in TABLE[role] else "" for role in Role))
            for each in Permission
        ],
    )
    roles = table(
        ("role", "code", "may"),
        [
            (
                role.label,
                code(role.value),
                "; ".join(p.value for p in Permission if p in TABLE[role]),
            )
            for role in Role
        ],
    )
    return page("Roles and permissions", intro, "## By role", roles, "## As a matrix", matrix)
