"""Which consent form is still to be signed?"""

from collections.abc import Iterable

from trials.rules.protocol import ConsentForm


def form_due(signed: Iterable[str], form: ConsentForm | None) -> str:
    """Return the version of the form a subject has yet to sign, or nothing.

    ``signed`` are the versions of the forms signed so far. Something is due only where the
    protocol version asks those who signed an earlier form to sign again. A later form than the
    one asked for is enough; one whose version is no number counts if it is the very one.
    """
    if form is None or not form.reconsent:
        return ""
    enough = any(
        version == form.form_version or _is_later(version, form.form_version) for version in signed
    )
    return "" if enough else form.form_version


def _is_later(version: str, than: str) -> bool:
    parts = [version.split("."), than.split(".")]
    if not all(part.isascii() and part.isdigit() for side in parts for part in side):
        return False
    one, other = ([int(part) for part in side] for side in parts)
    return one > other
