"""What may be kept of values that nobody vouches for: unknown fields, and records that cannot be typed.

The name, address or e-mail of a person must not be stored, wherever the API sends it. So of such values stay those that look like
none: numbers, truths, nulls, stamps, UUIDs, and words as programs write them (`not_at_home`). Any other text gives way to a mark
that tells its length, and so does everything under a name that speaks of people or places, in English or German, or that is no
such word. A name in lower case under another name would stay: nothing tells it from a word.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping

Legible = Mapping[str, re.Pattern[str]]
"""The texts that may stay in fields of known meaning, by the name of the field."""

_LONGEST_WORD = 40
_DEEPEST = 8

_SNAKE = "[a-z][a-z0-9]*(?:_[a-z0-9]+)*"
_CODE = re.compile("[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*|[A-Z][A-Z0-9]*(?:[_-][A-Z0-9]+)*")
_WORD = re.compile(_SNAKE)
_STAMP = "[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.][0-9]{1,12})?)?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})?"
_UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_HARMLESS = re.compile(f"{_SNAKE}|{_STAMP}|{_UUID}")

# Short ones stand for whole words of a name: "city" is in "capacity", "lat" in "latency".
_TELLING = re.compile(
    "name|mail|phone|mobil|dress|street|postal|postcode|owner|customer|driver|person|contact|birth|gender|passw"
    "|latitude|longitude|location|position|coordinate|iban|plate|license|zip|msisdn"
    "|strasse|anschrift|adresse|telefon|rufnummer|handy|kunde|fahrer|halter|besitzer|inhaber|geburt|kennzeichen|standort"
    "|postleit|hausnum|hausnr|wohnort"
    "|(?:^|_)(?:ort|plz|stadt|city|town|house|lat|lon|lng|geo|gps|tel|fax|vin|user|account|born|dob|note|notes|comment|remark)(?:_|$)"
)


class _Number(str):
    """A number's text, as it was sent."""

    __slots__ = ()


class _Members(tuple[tuple[str, object], ...]):
    """An object's members in their order, repeated names included."""

    __slots__ = ()


_LAX = json.JSONDecoder(strict=False, parse_int=_Number, parse_float=_Number, parse_constant=_Number, object_pairs_hook=_Members)


def is_code(text: str) -> bool:
    """Whether `text` is one of a program's own values, such as `not_at_home` or `DE_LU`."""
    return len(text) <= _LONGEST_WORD and _CODE.fullmatch(text) is not None


def marked(text: str) -> str:
    """What stands for a text that is not kept."""
    return f"(text, {len(text)} characters)"


def without_persons(raw: str, legible: Legible | None = None) -> str:
    """The JSON text `raw` (NaN and infinities may be in it) with marks for what may speak of a person, without white space.

    In the outermost object, fields called as in `legible` are of known meaning: their texts stay where they fit that alone.

    Raises:
        RecursionError: it is nested too deeply to be read.
    """
    value = _LAX.decode(raw)
    return _object(value, 1, legible or {}) if isinstance(value, _Members) else _shown(value, 1, _HARMLESS)


def _shown(value: object, depth: int, legible: re.Pattern[str]) -> str:
    match value:
        case None | bool() | _Number():
            return _literal(value)
        case str():
            kept = not value or (len(value) <= _LONGEST_WORD and legible.fullmatch(value))
            return f'"{value}"' if kept else _mark(value)
        case _Members() if depth < _DEEPEST:
            return _object(value, depth + 1, {})
        case list() if depth < _DEEPEST:
            return "[" + ",".join(_shown(element, depth + 1, _HARMLESS) for element in value) + "]"
        case _:
            return _mark(value)


def _object(members: _Members, depth: int, legible: Legible) -> str:
    return "{" + ",".join(f'"{name}":{text}' for name, text in _named(members, depth, legible)) + "}"


def _named(members: _Members, depth: int, legible: Legible) -> Iterator[tuple[str, str]]:
    marks = Counter[str]()
    for name, value in members:
        if name in legible:
            yield name, _shown(value, depth, legible[name])
        elif len(name) > _LONGEST_WORD or not _WORD.fullmatch(name):
            mark = f"(name, {len(name)} characters)"
            marks[mark] += 1
            # Two names must not become one: a reader would see the last value alone.
            yield mark if marks[mark] == 1 else f"{mark} {marks[mark]}", _mark(value)
        else:
            yield name, _mark(value) if _TELLING.search(name) else _shown(value, depth, _HARMLESS)


def _literal(value: object) -> str:
    return str(value) if isinstance(value, str) else json.dumps(value)


def _mark(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return '"(truth)"'
        case _Number():
            return '"(number)"'
        case str():
            return f'"{marked(value)}"'
        case list():
            return '"(list)"'
        case _:
            return '"(object)"'
