"""Cutting JSON text into its parts without decoding them, so that a part can be kept exactly as it was sent.

Laxer than JSON on purpose: NaN, infinities and broken escapes pass, for a page must not be lost to one bad record. Whoever
decodes a part is the judge of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

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

    def take(at: int) -> int:
        end = _value_end(text, at)
        found.append(text[at:end])
        return end

    _walk(text, "[]", take)
    return found


def members(text: str) -> list[tuple[str, str]]:
    """The members of the JSON object `text` as (name, text of the value), in their order, repeated names included.

    Raises:
        NotJsonError: `text` is not an object.
    """
    found: list[tuple[str, str]] = []

    def take(at: int) -> int:
        name_end = _value_end(text, at)
        start = _after(text, name_end, ":")
        end = _value_end(text, start)
        found.append((str(_LAX.decode(text[at:name_end])), text[start:end]))
        return end

    _walk(text, "{}", take)
    return found


def _walk(text: str, brackets: str, take: Callable[[int], int]) -> None:
    """Call `take` with the position of each part of the collection that fills `text`; it answers where the part ends."""
    at = _after(text, 0, brackets[0])
    if not text.startswith(brackets[1], at):
        at = _skip(text, take(at))
        while text.startswith(",", at):
            at = _skip(text, take(_skip(text, at + 1)))
    if _after(text, at, brackets[1]) < len(text):
        raise NotJsonError(f"something follows the closing {brackets[1]}")


def _after(text: str, at: int, sign: str) -> int:
    """The position of what follows `sign`, which is the next thing from `at` on."""
    at = _skip(text, at)
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
