"""Recorded sessions as a `Truth`: a CSV (also gzipped) or NDJSON file under the API's field names.

A record needs the columns org_id, user_id and electric_vehicle_id beside the session's own; users and vehicles are made
from them. Records are served as they stand, bad ones too: a CSV cell keeps the text of its number, an empty one is null,
True and False are booleans. Columns that the contract does not know are served as well, so that an unknown field can be
followed through a pipeline; those whose name begins with an underscore are notes on the record and are left out. A record
that occurs twice is served once. The real days are kept; the clock stands a day after the last session's end.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TextIO
from uuid import UUID, uuid5

import msgspec

from ev_sessions.days import ONE_DAY
from ev_sessions.errors import PermanentError
from ev_sessions.sandbox.records import is_well_formed
from ev_sessions.sandbox.truth import SECONDS_PER_DAY, Listing, Record, Truth, Version
from ev_sessions.tables import DECIMAL, SESSION_FIELDS

KEYS = ("org_id", "user_id", "electric_vehicle_id")
_NEEDED = (*KEYS, "id", "plug_in_time")
_ENDS = ("unplug_time", "inferred_session_end")
_NUMBERS = frozenset(column.name for column in SESSION_FIELDS if column.type == DECIMAL)
_BOOLEANS = frozenset(column.name for column in SESSION_FIELDS if column.type == "BOOLEAN")
_JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_BOOLEAN_TOKENS = {"True": "true", "true": "true", "False": "false", "false": "false"}


class ReplayFileError(PermanentError):
    """A file of recorded sessions that cannot be served."""


class _Recorded(NamedTuple):
    """A record of the file: whose it is, and its JSON tokens by field."""

    org_id: UUID
    user_id: UUID
    vehicle_id: UUID
    fields: tuple[tuple[str, str], ...]


class Recording(Truth):
    """The truth of a file of recorded sessions, all of one organisation.

    Raises:
        ReplayFileError: the file cannot be read, is empty, lacks a column, names no organisation, user or vehicle on some line,
            or names several organisations.
    """

    def __init__(self, path: Path) -> None:
        records = list(dict.fromkeys(_read(path)))
        self.org_id = _only_organisation(path, records)
        self._owners = {record.vehicle_id: record.user_id for record in records}
        self._listings = _by_vehicle(records)
        everything = [listing for listings in self._listings.values() for listing in listings]
        self.clock = datetime.fromtimestamp(max(listing.versions[0].since for listing in everything), UTC) + ONE_DAY
        self.longest_stay = max(_days_touched(listing) for listing in everything)

    def users(self, now: datetime) -> list[Record]:  # noqa: ARG002 - recorded users neither come nor go
        """The file's users, about whom nothing else is known."""
        return [_user(user_id) for user_id in dict.fromkeys(self._owners.values())]

    def vehicles(self, user_id: UUID | None, now: datetime) -> list[Record]:  # noqa: ARG002 - nor do their cars
        """The file's vehicles of that user, or of all."""
        if user_id is not None and user_id not in self._owners.values():
            raise KeyError(user_id)
        return [_vehicle(car, owner) for car, owner in self._owners.items() if user_id in {None, owner}]

    def owner(self, vehicle_id: UUID) -> UUID:
        """The user of the vehicle's last record."""
        return self._owners[vehicle_id]

    def vehicle_ids(self) -> Sequence[UUID]:
        """Every vehicle of the file."""
        return list(self._owners)

    def plugged_in(self, vehicle_id: UUID, first: int, last: int) -> Sequence[Listing]:
        """The vehicle's records of those days."""
        listings = self._listings[vehicle_id]
        return [listing for listing in listings if first <= listing.plug_in // SECONDS_PER_DAY <= last]

    def running(self, vehicle_id: UUID, now: datetime) -> bytes | None:  # noqa: ARG002 - what was recorded has ended
        """Nothing, ever."""
        return None


def _read(path: Path) -> Iterator[_Recorded]:
    rows = _json_rows if {".ndjson", ".jsonl"} & set(path.suffixes) else _csv_rows
    try:
        with _open(path) as file:
            for line, tokens in rows(path, file):
                yield _recorded(path, line, tokens)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise ReplayFileError(f"cannot read the recorded sessions in {path}: {error}") from None


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _csv_rows(path: Path, file: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV: line number, and JSON tokens by column."""
    reader = csv.DictReader(file, restkey="_rest", restval="")
    _require(path, reader.fieldnames or ())
    for row in reader:
        yield reader.line_num, {name: _token(name, cell) for name, cell in row.items() if _is_served(name)}


def _json_rows(path: Path, file: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The records of an NDJSON file: line number, and JSON tokens by field, digit by digit as they stand."""
    for number, line in enumerate(file, start=1):
        try:
            record = msgspec.json.decode(line, type=dict[str, msgspec.Raw]) if line.strip() else {}
        except msgspec.MsgspecError as error:
            raise ReplayFileError(f"{path}, line {number}: no JSON object ({error}); write one record per line") from None
        if record:
            _require(path, record)
            yield number, {name: bytes(value).decode() for name, value in record.items() if _is_served(name)}


def _is_served(name: str) -> bool:
    return not name.startswith("_")


def _require(path: Path, names: Iterable[str]) -> None:
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise ReplayFileError(f"{path} has no {', '.join(missing)}; recorded sessions need {', '.join(_NEEDED)}")


def _token(name: str, cell: str) -> str:
    """A CSV cell as a JSON token; what does not fit its column is sent as the text that it is."""
    if not cell:
        return "null"
    if name in _NUMBERS and _JSON_NUMBER.fullmatch(cell):
        return cell
    if name in _BOOLEANS and cell in _BOOLEAN_TOKENS:
        return _BOOLEAN_TOKENS[cell]
    return json.dumps(cell)


def _recorded(path: Path, line: int, tokens: dict[str, str]) -> _Recorded:
    org_id, user_id, vehicle_id = (_key(path, line, name, tokens[name]) for name in KEYS)
    fields = tuple((name, token) for name, token in tokens.items() if name not in KEYS)
    return _Recorded(org_id, user_id, vehicle_id, fields)


def _key(path: Path, line: int, name: str, token: str) -> UUID:
    found = _uuid(token)
    if found is None:
        raise ReplayFileError(f"{path}, line {line}: {name} is {token}, not a UUID, so nobody could ask for the record")
    return found


def _only_organisation(path: Path, records: list[_Recorded]) -> UUID:
    found = {record.org_id for record in records}
    if len(found) != 1:
        raise ReplayFileError(f"{path} holds records of {len(found)} organisations; a replay serves exactly one")
    return found.pop()


def _by_vehicle(records: list[_Recorded]) -> dict[UUID, list[Listing]]:
    stamps = [begin for record in records if (begin := _begin(dict(record.fields))) is not None]
    earliest = min(stamps, default=0)
    listings: dict[UUID, list[Listing]] = {}
    for record in records:
        listings.setdefault(record.vehicle_id, []).append(_listing(record, earliest))
    return {vehicle: sorted(found, key=lambda listing: listing.plug_in) for vehicle, found in listings.items()}


def _listing(record: _Recorded, earliest: int) -> Listing:
    """The record, listed from its end on. One without any stamp stands on the file's first day: it has to stand somewhere."""
    fields = dict(record.fields)
    body = ("{" + ",".join(f"{json.dumps(name)}:{token}" for name, token in record.fields) + "}").encode()
    begin, end = _begin(fields), _end(fields)
    plug_in = earliest if begin is None else begin
    listed_from = plug_in if end is None else end
    session_id = _uuid(fields["id"]) or uuid5(record.vehicle_id, body.decode())
    return Listing(session_id, plug_in, end, (Version(listed_from, body, is_well_formed(body)),))


def _begin(fields: dict[str, str]) -> int | None:
    return next((found for name in ("plug_in_time", *_ENDS) if (found := _instant(fields.get(name))) is not None), None)


def _end(fields: dict[str, str]) -> int | None:
    return next((found for name in _ENDS if (found := _instant(fields.get(name))) is not None), None)


def _instant(token: str | None) -> int | None:
    """The instant that a JSON token names, to place its record by; read as UTC where it has no zone. None where it names none."""
    value = json.loads(token) if token else None
    try:
        stamp = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if stamp is None:
        return None
    return int((stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp())


def _days_touched(listing: Listing) -> int:
    return 0 if listing.end is None else max(0, listing.end // SECONDS_PER_DAY - listing.plug_in // SECONDS_PER_DAY)


def _uuid(token: str) -> UUID | None:
    value = json.loads(token)
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _user(user_id: UUID) -> Record:
    return {
        "id": str(user_id),
        "email": f"{user_id}@recorded.invalid",
        "role": "user",
        "external_user_id": None,
        "first_name": None,
        "last_name": None,
        "country_iso2": None,
        "deleted_at": None,
    }


def _vehicle(vehicle_id: UUID, user_id: UUID) -> Record:
    owner = _user(user_id)
    return {
        "id": str(vehicle_id),
        "owner": {name: owner[name] for name in ("id", "email", "first_name", "last_name")} | {"external_id": None},
        "device_model": None,
        "created_at": None,
        "updated_at": None,
        "deleted_at": None,
        "price_zone": None,
        "lifecycle_state": None,
        "is_authenticated": None,
        "is_smart_optimization_active": None,
        "battery_capacity_kwh": None,
    }
