"""Repeatable chance: every draw is a function of its key, so nothing depends on the order in which things are asked for."""

from __future__ import annotations

from hashlib import blake2b
from random import Random

_BYTES = 8


def share(*key: object) -> float:
    """A number in [0, 1) that belongs to `key` for ever."""
    return _digest(key) / float(1 << 8 * _BYTES)


def stream(*key: object) -> Random:
    """A generator of random numbers that belongs to `key` for ever."""
    return Random(_digest(key))  # noqa: S311 - an invented fleet, not a secret


def _digest(key: tuple[object, ...]) -> int:
    text = "/".join(map(str, key))
    return int.from_bytes(blake2b(text.encode(), digest_size=_BYTES).digest(), "big")
