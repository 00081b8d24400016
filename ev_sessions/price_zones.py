"""Which local time a price zone lives by (domain rule: people's months are cut by their local date)."""

from __future__ import annotations

from collections.abc import Mapping

# The zones that the partner API names, as of its version 2.0.
_TIME_ZONES = {
    "AT": "Europe/Vienna",
    "AT_HOURLY": "Europe/Vienna",
    "BE": "Europe/Brussels",
    "CH": "Europe/Zurich",
    "DE_LU": "Europe/Berlin",
    "EE": "Europe/Tallinn",
    "HU": "Europe/Budapest",
    "IT_CNOR": "Europe/Rome",
    "IT_CSUD": "Europe/Rome",
    "IT_NORD": "Europe/Rome",
    "IT_PUN": "Europe/Rome",
    "IT_SARD": "Europe/Rome",
    "IT_SICI": "Europe/Rome",
    "IT_SUD": "Europe/Rome",
    "PT": "Europe/Lisbon",
    "RO": "Europe/Bucharest",
    "SE_1": "Europe/Stockholm",
    "SE_2": "Europe/Stockholm",
    "SE_3": "Europe/Stockholm",
    "SE_4": "Europe/Stockholm",
    "UK": "Europe/London",
}


def time_zones(replacements: Mapping[str, str]) -> dict[str, str]:
    """The IANA time zone of every known price zone, with `replacements` (setting TIME_ZONES) laid over the built-in ones."""
    return _TIME_ZONES | dict(replacements)
