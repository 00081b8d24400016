"""The simulated API as a client meets it: the contract, and every way in which it can be made to fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from ev_sessions.sandbox import Breakage, Kind, Order, Quirks, Sandbox, SandboxOptions, broken_body, serving
from ev_sessions.settings import SessionDay, Settings

FIRST, LAST = date(2026, 6, 1), date(2026, 6, 30)
MONTH = {"from": FIRST.isoformat(), "to": LAST.isoformat()}
NOW = datetime(2026, 8, 1, tzinfo=UTC)
FOREIGN = UUID(int=1)
WRONG = "wrong"


def sandbox_with(**options: Any) -> Sandbox:  # noqa: ANN401 - options of all types
    return Sandbox(SandboxOptions(**{"end": LAST, "vehicles": 6, "now": NOW, "malformed_rate": 0, "deleted_rate": 0, **options}))


class Reader:
    """A client that knows the paths and nothing else; it neither retries nor renews."""

    def __init__(self, sandbox: Sandbox, http: httpx.Client) -> None:
        self.sandbox = sandbox
        self.http = http
        self.base = f"/api/partners/v2.0/org/{sandbox.org_id}"
        self.vehicle = sandbox.truth.vehicle_ids()[0]

    def ask_for_token(self, secret: str | None = None, grant: str = "client_credentials") -> httpx.Response:
        credentials = self.sandbox.client_id, secret or self.sandbox.client_secret
        return self.http.post("/oauth2/token/", auth=credentials, json={"grant_type": grant})

    def log_in(self) -> None:
        self.http.headers["authorization"] = f"Bearer {self.ask_for_token().json()['access_token']}"

    def path(self, vehicle: UUID | None = None) -> str:
        vehicle = vehicle or self.vehicle
        return f"{self.base}/users/{self.sandbox.truth.owner(vehicle)}/electric-vehicles/{vehicle}/sessions"

    def page(self, vehicle: UUID | None = None, /, **parameters: object) -> httpx.Response:
        return self.http.get(self.path(vehicle), params={**MONTH, **{name: str(value) for name, value in parameters.items()}})

    def ids(self, **parameters: object) -> list[str]:
        return [item["id"] for item in self.page(**parameters).json()["items"]]


@contextmanager
def reading(sandbox: Sandbox) -> Iterator[Reader]:
    with serving(sandbox) as url, httpx.Client(base_url=url, timeout=5) as http:
        reader = Reader(sandbox, http)
        reader.log_in()
        sandbox.counts.reset()
        yield reader


@pytest.fixture(scope="module")
def shared() -> Iterator[Reader]:
    """A reader of a sandbox that no test changes."""
    with reading(sandbox_with()) as reader:
        yield reader


@pytest.fixture
def reader() -> Iterator[Reader]:
    """A reader of a sandbox of the test's own."""
    with reading(sandbox_with()) as reader:
        yield reader


# The contract


def test_a_token_is_issued_as_the_contract_states(shared: Reader) -> None:
    answer = shared.ask_for_token()
    assert answer.status_code == 200
    assert {name: answer.json()[name] for name in ("expires_in", "token_type", "scope")} == {
        "expires_in": 36000,
        "token_type": "Bearer",
        "scope": "read write",
    }


def test_wrong_credentials_get_401(shared: Reader) -> None:
    assert shared.ask_for_token(WRONG).status_code == 401
    assert shared.http.post("/oauth2/token/", json={}, headers={"authorization": "Basic %%%"}).status_code == 401


def test_another_grant_or_a_body_that_is_not_json_gets_400(shared: Reader) -> None:
    credentials = shared.sandbox.client_id, shared.sandbox.client_secret
    assert shared.ask_for_token(grant="password").status_code == 400
    assert shared.http.post("/oauth2/token/", auth=credentials, content=b"grant_type=x").status_code == 400


def test_the_token_path_without_its_trailing_slash_is_not_found(shared: Reader) -> None:
    assert shared.http.post("/oauth2/token").status_code == 404


def test_a_missing_or_unknown_token_gets_401(shared: Reader) -> None:
    for authorization in ("", "Bearer nonsense", "Basic nonsense"):
        assert shared.http.get(shared.path(), params=MONTH, headers={"authorization": authorization}).status_code == 401


def test_a_revoked_token_gets_401_until_a_new_one_is_asked_for(reader: Reader) -> None:
    reader.sandbox.revoke_tokens()
    assert reader.page().status_code == 401
    reader.log_in()
    assert reader.page().status_code == 200


def test_a_foreign_organisation_gets_403(shared: Reader) -> None:
    assert shared.http.get(f"/api/partners/v2.0/org/{FOREIGN}/users").status_code == 403


def test_unknown_users_and_vehicles_and_strange_pairs_get_404(shared: Reader) -> None:
    first, second = shared.sandbox.truth.vehicle_ids()[:2]
    other_owner = shared.sandbox.truth.owner(second)
    assert shared.http.get(f"{shared.base}/users/{FOREIGN}/electric-vehicles").status_code == 404
    for user, vehicle in ((other_owner, first), (other_owner, FOREIGN), (other_owner, "x")):
        path = f"{shared.base}/users/{user}/electric-vehicles/{vehicle}/sessions"
        assert shared.http.get(path, params=MONTH).status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 0},
        {"limit": 201},
        {"limit": "ten"},
        {"offset": -1},
        {"from": "2026-6-1x"},
        {"to": "yesterday"},
        {"from": "2026-07-01"},
    ],
)
def test_a_parameter_outside_the_contract_gets_422(shared: Reader, wrong: dict[str, object]) -> None:
    assert shared.page(**wrong).status_code == 422


@pytest.mark.parametrize("missing", ["from", "to"])
def test_both_days_are_required(shared: Reader, missing: str) -> None:
    rest = {name: day for name, day in MONTH.items() if name != missing}
    assert shared.http.get(shared.path(), params=rest).status_code == 422


def test_only_get_is_allowed(shared: Reader) -> None:
    assert shared.http.delete(f"{shared.base}/users").status_code == 405


def test_sessions_are_listed_as_the_truth_has_them(shared: Reader) -> None:
    listed = shared.page(limit=200).json()
    expected = shared.sandbox.truth.sessions(shared.vehicle, FIRST, LAST, NOW)
    assert listed["total"] == len(expected) > 5
    assert [UUID(item["id"]) for item in listed["items"]] == [row["id"] for row in expected]


def test_pages_follow_limit_and_offset_and_all_report_the_total(shared: Reader) -> None:
    everything = shared.ids(limit=200)
    pages = [shared.page(limit=4, offset=offset).json() for offset in range(0, len(everything), 4)]
    assert [item["id"] for page in pages for item in page["items"]] == everything
    assert {page["total"] for page in pages} == {len(everything)}
    assert shared.ids(offset=len(everything)) == []


def test_fifty_sessions_are_the_default_of_a_page() -> None:
    sandbox = sandbox_with(days=120)
    with reading(sandbox) as reader:
        page = reader.page(**{"from": "2026-03-03"}).json()
        assert len(page["items"]) == 50 < page["total"]


def test_money_and_energy_are_numbers_with_fixed_places(shared: Reader) -> None:
    item = json.loads(shared.page().text, parse_float=str)["items"][0]
    assert len(item["energy_charged_kwh"].partition(".")[2]) == 3
    assert len(item["actual_savings_eur"].partition(".")[2]) == 4


def test_deleted_users_are_listed_on_demand_alone() -> None:
    with reading(sandbox_with(deleted_rate=1)) as reader:
        current = reader.http.get(f"{reader.base}/users").json()
        everybody = reader.http.get(f"{reader.base}/users", params={"include_deleted": "true"}).json()
        assert [user["role"] for user in current] == ["admin"]
        assert len(everybody) == 7
        assert reader.http.get(f"{reader.base}/users", params={"include_deleted": "maybe"}).status_code == 422


def test_vehicles_are_a_bare_list_of_one_users_cars() -> None:
    with reading(sandbox_with(vehicles_per_user=3)) as reader:
        owner = reader.sandbox.truth.owner(reader.vehicle)
        cars = reader.http.get(f"{reader.base}/users/{owner}/electric-vehicles").json()
        assert len(cars) == 3
        assert {car["owner"]["id"] for car in cars} == {str(owner)}


def test_the_session_under_way_is_current_and_not_yet_listed(reader: Reader) -> None:
    listing = reader.sandbox.truth.listings(reader.vehicle, FIRST, LAST)[3]
    reader.sandbox.now = datetime.fromtimestamp(listing.plug_in + 60, UTC)
    current = reader.http.get(reader.path() + "/current").json()["session"]
    assert current["id"] == str(listing.id)
    assert current["unplug_time"] is None
    assert str(listing.id) not in reader.ids()


def test_no_session_under_way_is_null(shared: Reader) -> None:
    assert shared.http.get(shared.path() + "/current").json() == {"session": None}


@pytest.mark.parametrize("cut", SessionDay)
def test_from_and_to_filter_on_what_the_option_names(cut: SessionDay) -> None:
    with reading(sandbox_with(session_day=cut)) as reader:
        day = "2026-06-16"
        listed = {item["id"] for vehicle in reader.sandbox.truth.vehicle_ids() for item in day_of(reader, vehicle, day)}
        rows = list(reader.sandbox.truth.fleet_sessions(FIRST, LAST, NOW))
        assert listed == {str(row["id"]) for row in rows if falls_on(row, date.fromisoformat(day), cut)}


def day_of(reader: Reader, vehicle: UUID, day: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = reader.page(vehicle, **{"from": day, "to": day}).json()["items"]
    return items


def falls_on(row: dict[str, Any], day: date, cut: SessionDay) -> bool:
    begin: date = row["plug_in_time"].date()
    end: date = (row["unplug_time"] or row["inferred_session_end"] or row["plug_in_time"]).date()
    by_cut = {
        SessionDay.PLUG_IN_TIME: begin == day,
        SessionDay.UNPLUG_TIME: end == day,
        SessionDay.OVERLAP: begin <= day <= end,
    }
    return by_cut[cut]


def test_sessions_come_by_plug_in_unless_the_option_asks_for_another_order(shared: Reader) -> None:
    with reading(sandbox_with(order=Order.RANDOM)) as other:
        by_plug_in = [item["plug_in_time"] for item in shared.page().json()["items"]]
        shuffled = [item["plug_in_time"] for item in other.page().json()["items"]]
    assert by_plug_in == sorted(by_plug_in) == sorted(shuffled) != shuffled


# The clock and the counts


def test_moving_the_clock_lists_more_sessions(reader: Reader) -> None:
    reader.sandbox.now = datetime(2026, 6, 10, tzinfo=UTC)
    early = reader.page().json()["total"]
    answer = reader.http.post("/_sandbox/clock", json={"now": "2026-06-20T00:00:00Z"})
    assert answer.status_code == 200
    assert reader.page().json()["total"] > early


def test_a_clock_without_a_time_zone_is_refused(reader: Reader) -> None:
    assert reader.http.post("/_sandbox/clock", json={"now": "2026-06-20T00:00:00"}).status_code == 422


def test_a_restated_session_changes_in_place() -> None:
    with reading(sandbox_with(restated_rate=1)) as reader:
        listing = reader.sandbox.truth.listings(reader.vehicle, FIRST, LAST)[0]
        reader.sandbox.now = datetime.fromtimestamp(listing.versions[1].since - 1, UTC)
        before = reader.page(limit=1).json()["items"][0]
        reader.sandbox.now += timedelta(seconds=1)
        after = reader.page(limit=1).json()["items"][0]
        assert before["id"] == after["id"]
        assert before != after


def test_counts_tell_requests_by_kind_also_to_another_process(reader: Reader) -> None:
    reader.page()
    reader.page(limit=0)
    reader.http.get(f"{reader.base}/users")
    reader.ask_for_token(WRONG)
    counts = reader.sandbox.counts
    assert (counts.sessions, counts.pages, counts.users, counts.token, counts.unauthorised, counts.total) == (2, 1, 1, 1, 1, 4)
    assert reader.http.get("/_sandbox/counts").json() == counts.as_dict()


def test_totals_are_told_to_another_process_exactly(shared: Reader) -> None:
    totals = shared.http.get("/_sandbox/totals", params=MONTH).json()
    expected = shared.sandbox.truth.totals(FIRST, LAST, NOW)
    assert (totals["rows"], totals["cost_eur"]) == (expected.rows, str(expected.cost_eur))


def test_the_settings_to_export_are_read_by_the_project(shared: Reader) -> None:
    settings = Settings.from_env(shared.sandbox.settings_for(str(shared.http.base_url)))
    assert settings.org_id == shared.sandbox.org_id
    assert settings.client_secret is not None
    assert settings.client_secret.get_secret_value() == shared.sandbox.client_secret


def test_an_action_runs_at_the_request_that_it_waits_for(reader: Reader) -> None:
    reader.sandbox.at_request(2, reader.sandbox.revoke_tokens)
    assert [reader.page().status_code for _ in range(3)] == [200, 401, 401]


# Faults


def test_ordered_refusals_come_as_often_as_ordered_and_for_that_kind_alone(reader: Reader) -> None:
    reader.sandbox.fail_next(2, status=429, headers={"Retry-After": "1"}, body=b"slow down")
    assert reader.http.get(f"{reader.base}/users").status_code == 200
    refused = reader.page()
    assert (refused.status_code, refused.headers["retry-after"], refused.text) == (429, "1", "slow down")
    assert [reader.page().status_code for _ in range(2)] == [429, 200]
    assert (reader.sandbox.counts.refused_429, reader.sandbox.counts.faults) == (2, 2)


def test_ordered_refusals_can_be_for_one_vehicle_or_for_any_kind(reader: Reader) -> None:
    second = reader.sandbox.truth.vehicle_ids()[1]
    reader.sandbox.fail_next(vehicle=second)
    assert [reader.page().status_code, reader.page(second).status_code] == [200, 503]
    reader.sandbox.fail_next(kind=None)
    assert reader.ask_for_token().status_code == 503


def test_a_cut_connection_brings_no_answer(reader: Reader) -> None:
    reader.sandbox.cut_next()
    with pytest.raises(httpx.TransportError):
        reader.page()
    assert reader.page().status_code == 200


def test_a_truncated_answer_breaks_off_in_its_body(reader: Reader) -> None:
    reader.sandbox.truncate_next()
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete|without sending complete"):
        reader.page()


def test_a_hanging_answer_lasts_longer_than_the_clients_patience_and_ends_with_the_sandbox(reader: Reader) -> None:
    reader.sandbox.hang_next(seconds=3600)
    with pytest.raises(httpx.ReadTimeout):
        reader.http.get(reader.path(), params=MONTH, timeout=0.05)


def test_a_rate_limit_refuses_what_exceeds_a_seconds_worth() -> None:
    with reading(sandbox_with(rate_limit=0.001)) as reader:
        refused = reader.page()  # the log-in used up the one request that the burst allows
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1000")
        assert reader.sandbox.counts.refused_429 == 1


def test_random_failures_depend_on_the_request_and_come_in_every_form() -> None:
    outcomes = {run: [outcome(sandbox_with(fail_rate=0.5), attempts=40)] for run in range(2)}
    assert outcomes[0] == outcomes[1]
    assert {"200", "500", "502", "503", "429", "ReadError", "RemoteProtocolError"} >= set(outcomes[0][0]) > {"200"}


def outcome(sandbox: Sandbox, attempts: int) -> list[str]:
    with serving(sandbox) as url, httpx.Client(base_url=url, timeout=5) as http:
        reader = Reader(sandbox, http)
        token = sandbox.tokens.issue()
        http.headers["authorization"] = f"Bearer {token}"
        return [attempt(reader) for _ in range(attempts)]


def attempt(reader: Reader) -> str:
    try:
        return str(reader.page().status_code)
    except httpx.TransportError as error:
        return type(error).__name__


# Quirks and drift


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_vehicle_can_answer_with_a_status_for_good(reader: Reader, status: int) -> None:
    second = reader.sandbox.truth.vehicle_ids()[1]
    reader.sandbox.quirks[reader.vehicle] = Quirks(status=status)
    assert [reader.page().status_code, reader.page().status_code, reader.page(second).status_code] == [status, status, 200]


def test_a_total_can_be_wrong_on_every_read(reader: Reader) -> None:
    reader.sandbox.quirks[reader.vehicle] = Quirks(total_offset=1)
    pages = [reader.page(limit=200).json() for _ in range(2)]
    assert all(page["total"] == len(page["items"]) + 1 for page in pages)


def test_extra_records_are_listed_last_and_counted_even_where_they_are_no_json(reader: Reader) -> None:
    plain = reader.page().json()["total"]
    reader.sandbox.quirks[reader.vehicle] = Quirks(extra=(broken_body(FOREIGN, 1_780_000_000, Breakage.NAN),))
    spoilt = reader.page(limit=200).text
    assert f'"total":{plain + 1}' in spoilt
    assert spoilt.endswith('"actual_cost_eur":NaN}]}')


def test_endless_pages_never_reach_their_total(reader: Reader) -> None:
    reader.sandbox.quirks[reader.vehicle] = Quirks(endless=True)
    pages = [reader.page(limit=10, offset=offset).json() for offset in (0, 10, 1000)]
    assert all(len(page["items"]) == 10 for page in pages)
    assert [page["total"] for page in pages] == [11, 21, 1011]


def test_a_list_that_gains_a_session_between_pages_repeats_one_and_withholds_another(reader: Reader) -> None:
    true_ids = reader.ids(limit=200)
    reader.sandbox.quirks[reader.vehicle] = Quirks(shift="insert")
    first, second = reader.page(limit=10).json(), reader.page(limit=10, offset=10).json()
    read = [item["id"] for page in (first, second) for item in page["items"]]
    assert (first["total"], second["total"]) == (len(true_ids) - 1, len(true_ids))
    assert len(set(read)) < len(read)
    assert true_ids[0] not in read
    assert reader.ids(limit=200) == true_ids


def test_a_list_that_loses_a_session_between_pages_skips_one(reader: Reader) -> None:
    true_ids = reader.ids(limit=200)
    reader.sandbox.quirks[reader.vehicle] = Quirks(shift="remove")
    first, rest = reader.ids(limit=10), reader.ids(limit=200, offset=10)
    assert set(true_ids) - {*first, *rest} == {true_ids[10]}
    assert reader.ids(limit=200) == true_ids[1:]
    assert reader.sandbox.withdrawn == {UUID(true_ids[0])}


def test_drift_shifts_every_long_list_once_and_leaves_single_pages_alone() -> None:
    with reading(sandbox_with(drift=1)) as reader:
        single = reader.page(limit=200).json()["total"]
        totals = [reader.page(limit=5).json()["total"] for _ in range(3)]
        assert totals == [single - 1, single, single]


def test_a_withdrawn_session_is_listed_no_longer(reader: Reader) -> None:
    gone = reader.ids()[2]
    reader.sandbox.withdraw([UUID(gone)])
    assert gone not in reader.ids()


def test_every_kind_of_request_is_counted_apart(reader: Reader) -> None:
    owner = reader.sandbox.truth.owner(reader.vehicle)
    reader.http.get(f"{reader.base}/users/{owner}/electric-vehicles")
    reader.http.get(reader.path() + "/current")
    assert {kind: getattr(reader.sandbox.counts, kind) for kind in Kind} == {
        Kind.TOKEN: 0,
        Kind.USERS: 0,
        Kind.VEHICLES: 1,
        Kind.SESSIONS: 0,
        Kind.CURRENT: 1,
        Kind.SAVINGS: 0,
    }
