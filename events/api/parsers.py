"""JSON as it may be sent: what could be read in two ways, or not be stored, is refused here."""

import json
from typing import Any, NoReturn

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser


class StrictJson(BaseParser):
    """RFC 8259 and no more: UTF-8, every name of an object once, finite numbers, whole characters.

    Raises ``ParseError`` with the reason.
    """

    media_type = "application/json"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            data = json.loads(
                stream.read().decode(),
                object_pairs_hook=_each_name_once,
                parse_constant=_not_a_number,
            )
        except RecursionError as error:
            raise ParseError("The JSON is nested too deeply.") from error
        except UnicodeDecodeError as error:
            raise ParseError("The body is not UTF-8.") from error
        except json.JSONDecodeError as error:
            raise ParseError(
                f"The body is not JSON: {error.msg}, line {error.lineno}, column {error.colno}."
            ) from error
        except ValueError as error:
            raise ParseError("The JSON holds a number with too many digits.") from error
        if not _is_text(data):
            raise ParseError("The JSON holds half a character (a lone surrogate).")
        return data


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ParseError("The JSON names the same field twice.")
    return found


def _not_a_number(name: str) -> NoReturn:
    raise ParseError(f"{name} is not a number of JSON.")


def _is_text(data: Any) -> bool:
    """Return whether every string in the data can be written as UTF-8."""
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.keys())
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                return False
    return True
