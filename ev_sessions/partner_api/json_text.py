"""Cutting JSON text into its parts without decoding them, so that a part can be kept exactly as it was sent.

Laxer than JSON on purpose: NaN, infinities and broken escapes pass, for a page must not be lost to one bad record. Whoever
decodes a part is the judge of it.
"""

from __future__ import annotations

import json
import re

# Numbers stay text: Python's int refuses more than 4,300 digits, and the values are thrown away anyway.
_LAX = json.JSONDecoder(strict=False, parse_int=str, parse_float=str, parse_constant=str)
_SPACE = re.compile(r"[ \t\r\n]*")


class NotJsonError(ValueError):
    """Text that cannot be cut: truncated, not JSON at all, or not of the kind that was asked for."""


def elements(text: str) -> list[str]:
    """The texts of the elements of the JSON array `text`.

    Raises:
        NotJsonError: `text` is not an array.
    """
    found: list[str] = []
    at = _opened(text, "[]")
    while not _closed(text, at, "]"):
        end = _value_end(text, at)
        found.append(text[at:end])
        at = _next(text, end, "]")
    return found


def members(text: str) -> list[tuple[str, str]]:
    """The members of the JSON object `text` as (name, text of the value), in their order, repeated names included.

    Raises:
        NotJsonError: `text` is not an object.
    """
    found: list[tuple[str, str]] = []
    at = _opened(text, "{}")
    while not _closed(text, at, "}"):
        name_end = _value_end(text, at)
        start = _after(text, _skip(text, name_end), ":")
        end = _value_end(text, start)
        found.append((str(json.loads(text[at:name_end], strict=False)), text[start:end]))
        at = _next(text, end, "}")
    return found


def _opened(text: str, brackets: str) -> int:
    """The position of the first part of the collection that fills `text`."""
    stripped = text.rstrip()
    start = _skip(text, 0)
    if not (stripped.startswith(brackets[0], start) and stripped.endswith(brackets[1])):
        raise NotJsonError(f"expected {brackets[0]}...{brackets[1]}")
    return _skip(text, start + 1)


def _closed(text: str, at: int, bracket: str) -> bool:
    if not text.startswith(bracket, at):
        return False
    if text[at + 1 :].strip():
        raise NotJsonError(f"something follows the closing {bracket}")
    return True


def _next(text: str, end: int, bracket: str) -> int:
    """The position of the next part, or of the closing `bracket`."""
    at = _skip(text, end)
    return at if text.startswith(bracket, at) else _after(text, at, ",")


def _after(text: str, at: int, sign: str) -> int:
    if not text.startswith(sign, at):
        raise NotJsonError(f"expected {sign} at character {at}")
    return _skip(text, at + 1)


def _value_end(text: str, at: int) -> int:
    try:
        return _LAX.raw_decode(text, at)[1]
    except json.JSONDecodeError as error:
        raise NotJsonError(f"{error.msg} at character {error.pos}") from None
    except RecursionError:
        raise NotJsonError(f"nested too deeply at character {at}") from None


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at
