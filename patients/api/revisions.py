"""Updates carry the revision they were read at."""

from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.request import Request


class RevisionMissing(APIException):
    status_code = status.HTTP_428_PRECONDITION_REQUIRED
    default_detail = 'Send the revision you read as a header, like If-Match: "3".'
    default_code = "revision_missing"


def revision_read(request: Request) -> int:
    """Return the revision in ``If-Match``. Raises ``RevisionMissing`` without a whole number."""
    given = request.headers.get("If-Match", "").strip().strip('"')
    if not (given.isascii() and given.isdigit() and len(given) < 10):
        raise RevisionMissing
    return int(given)
