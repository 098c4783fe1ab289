"""The certificate of a verified randomisation: plain text, JSON, and a tagged PDF to sign.

Everything for the templates is a string or a list of strings. The same verification at the same
instant gives the same bytes. Without its annex no word of it tells an arm.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from reporting.unblinded.verification import Certificate, CertifiedList


TYPESET = Path(__file__).with_name("certificate.typ")
CONTENT_TYPES = {
    "json": "application/json",
    "text": "text/plain; charset=utf-8",
    "pdf": "application/pdf",
}
BLINDED = "Tells no arm: it may be shown to everybody of the trial."
ANNEX = "UNBLINDED ANNEX: for people who may know arms, and nobody else."


def rendered_certificate(certificate: Certificate, kind: str) -> bytes:
    """Return a certificate as ``json``, ``text`` or ``pdf``."""
    return {"json": _json, "text": _text, "pdf": _pdf}[kind](certificate)


def printable_certificate(certificate: Certificate) -> dict[str, Any]:
    """Return every text of the certificate, ready to be set."""
    good = certificate.verified
    return {
        "title": f"{certificate.trial}: certificate of randomisation",
        "subtitle": certificate.title,
        "banner": ANNEX if certificate.by_arm else BLINDED,
        "result": "VERIFIED" if good else f"NOT VERIFIED: {len(certificate.findings)} findings",
        "verified": good,
        "facts": [
            {"name": "Allocations derived again", "value": str(certificate.allocations)},
            {"name": "Lists", "value": str(len(certificate.lists))},
            {"name": "Verified", "value": _instant(certificate.verified_at)},
            {"name": "By", "value": certificate.verified_by},
            {"name": "Software", "value": certificate.software},
        ],
        "lists": [_list(each) for each in certificate.lists],
        "findings": [f"{each.detail} [{each.code}]" for each in certificate.findings],
        "by_arm": [[stratum, arm, str(n)] for stratum, arm, n in certificate.by_arm],
        "method": (
            "Every list was generated again from its seed where it was generated here, every "
            "digest computed again and compared with the one published, every stratum derived "
            "again from the recorded values, and every slot compared with the allocation that "
            "took it. Lists, approvals and allocations were compared with their history, with "
            "the events that told of them, and with the log of looks behind the blind."
        ),
    }


def _list(each: CertifiedList) -> dict[str, Any]:
    return {
        "title": f"List {each.number}",
        "facts": [
            f"{each.method.replace('_', ' ')}, {each.origin}, generator {each.generator}",
            f"live since {_instant(each.live_at) if each.live_at else 'unknown'}",
            f"approved by {' and '.join(each.approved_by) or 'nobody'}",
        ],
        "digest": each.digest,
        "taken": [[stratum, str(count)] for stratum, count in sorted(each.taken.items())],
    }


def _instant(at: datetime) -> str:
    utc = at.astimezone(UTC)
    return f"{utc.day} {utc:%B %Y, %H:%M} UTC"


def _json(certificate: Certificate) -> bytes:
    body = printable_certificate(certificate)
    return json.dumps(body, sort_keys=True, ensure_ascii=False).encode()


def _text(certificate: Certificate) -> bytes:
    told = printable_certificate(certificate)
    lines = [told["title"], told["subtitle"], told["banner"], "", told["result"], ""]
    lines += [f"{fact['name']}: {fact['value']}" for fact in told["facts"]]
    for each in told["lists"]:
        lines += ["", each["title"], *(f"  {fact}" for fact in each["facts"])]
        lines += [f"  digest {each['digest']}"]
        lines += [f"  stratum {stratum}: {count} allocated" for stratum, count in each["taken"]]
    lines += ["", *(f"! {finding}" for finding in told["findings"])]
    lines += [f"{stratum} {arm}: {count}" for stratum, arm, count in told["by_arm"]]
    lines += ["", told["method"], "", "Name, date, signature: ______________________________", ""]
    return "\n".join(lines).encode()


def _pdf(certificate: Certificate) -> bytes:
    import typst

    pages: bytes = typst.compile(
        TYPESET,
        format="pdf",
        sys_inputs={"certificate": json.dumps(printable_certificate(certificate))},
        ignore_system_fonts=True,
        pdf_standards=["ua-1"],
        timestamp=0,
    )
    return pages
