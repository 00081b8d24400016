"""Failed runs are told once, whatever happens to the message; the heartbeat follows the daily refresh and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_sessions.assets.graph import Graph
from ev_sessions.automation.alerts import Ended, Told, failure_text, heartbeat_sensor, run_failure_alert_sensor
from ev_sessions.definitions import build_defs
from ev_sessions.resources import AlertsResource
from ev_sessions.settings import Settings
from ev_sessions.webhooks import WebhookRefused, WebhookUnreachable, call, post
from ev_sessions_tests.pipeline import Pipeline, named, own_setting, trailing
from ev_sessions_tests.processes import free_port
from ev_sessions_tests.receiver import SECRET_PATH, Receiver, receiving

PAGE = "https://dagster.example/"
GRAPH = Graph.daily(first_day=trailing(1).first, days_per_run=92)
PREFIXED = Graph.daily(first_day=trailing(1).first, days_per_run=92, key_prefix=("ev",))
OF_THE_SCHEDULE = {"dagster/schedule_name": "daily_refresh"}


@dg.op
def spoilt() -> None:
    raise dg.Failure("the <API> is ill & will not answer")


@dg.op
def fine() -> None:
    pass


@dg.job
def failing() -> None:
    spoilt()


@dg.job
def succeeding() -> None:
    fine()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as listening:
        yield listening


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A history as it is in production: SQLite files."""
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\nrun_retries: {enabled: true, max_retries: 1}\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as stored:
        yield stored


@dataclass
class Watch:
    """A sensor that is ticked by hand over one history, with the cursor that it left behind."""

    instance: dg.DagsterInstance
    sensor: dg.SensorDefinition
    alerts: AlertsResource
    cursor: str | None = None
    said: str | None = None
    warnings: list[str] = field(default_factory=list)

    def tick(self) -> None:
        context = dg.build_sensor_context(self.instance, self.cursor, resources={"session_alerts": self.alerts})
        context.log.addFilter(self.hear)
        told = self.sensor.evaluate_tick(context)
        assert not told.run_requests
        self.cursor, self.said = told.cursor, told.skip_message

    def hear(self, record: logging.LogRecord) -> bool:
        self.warnings.append(record.getMessage())
        return True


def addresses(**settings: str) -> AlertsResource:
    """What the settings say, without the environment: in a test nothing is secret."""
    return AlertsResource(
        **{"ui_url": "", "alert_url": "", "alert_url_file": "", "heartbeat_url": "", "heartbeat_url_file": "", **settings}
    )


def watching(instance: dg.DagsterInstance, url: str) -> Watch:
    """The alert, which has looked at the history once."""
    watch = Watch(instance, run_failure_alert_sensor(GRAPH, running=True), addresses(alert_url=url, ui_url=PAGE))
    watch.tick()
    return watch


def listening_for_refreshes(instance: dg.DagsterInstance, url: str, graph: Graph = GRAPH) -> Watch:
    """The heartbeat, which has looked at the history once."""
    watch = Watch(instance, heartbeat_sensor(graph, running=True), addresses(heartbeat_url=url))
    watch.tick()
    return watch


def fail(instance: dg.DagsterInstance, tags: Mapping[str, str] | None = None) -> dg.DagsterRun:
    return failing.execute_in_process(instance=instance, raise_on_error=False, tags=tags).dagster_run


def succeed(instance: dg.DagsterInstance, tags: Mapping[str, str] | None = None) -> dg.DagsterRun:
    return succeeding.execute_in_process(instance=instance, tags=tags).dagster_run


def test_a_failed_run_is_told_once_with_its_days_its_cause_and_where_to_look(
    instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    watch = watching(instance, receiver.url)
    days = {"dagster/asset_partition_range_start": "2025-03-01", "dagster/asset_partition_range_end": "2025-03-15"}
    run = fail(instance, days)
    watch.tick()
    watch.tick()
    assert receiver.arrived == [
        (
            "POST",
            SECRET_PATH,
            {
                "text": "failing failed for 2025-03-01..2025-03-15: the &lt;API&gt; is ill &amp; will not answer\n"
                f"Dagster tries it again. Run {run.run_id}: https://dagster.example/runs/{run.run_id}"
            },
        )
    ]
    assert watch.said == "No run has ended that is to be told."


def test_whether_dagster_tries_the_run_again_is_said(instance: dg.DagsterInstance, receiver: Receiver) -> None:
    watch = watching(instance, receiver.url)
    fail(instance, {"dagster/max_retries": "0", "dagster/partition": "2025-03-31"})
    watch.tick()
    assert "failing failed for 2025-03-31..2025-03-31: " in receiver.texts[0]
    assert "It is not tried again by itself." in receiver.texts[0]


def test_the_message_names_no_secret_and_nobody(pipeline: Pipeline, receiver: Receiver) -> None:
    watch = watching(pipeline.instance, receiver.url)
    with own_setting("client_secret", "wrong-but-mine"):
        assert not pipeline.refresh(trailing(2)).success
    watch.tick()
    (text,) = receiver.texts[-1:]
    assert text.startswith(f"refresh failed for {trailing(2)}: ")
    assert "refuses the client id and secret" in text
    sandbox = pipeline.sandbox
    people = {str(sandbox.truth.owner(car)) for car in sandbox.truth.vehicle_ids()} | {
        str(c) for c in sandbox.truth.vehicle_ids()
    }
    for forbidden in {sandbox.client_id, sandbox.client_secret, "wrong-but-mine", str(sandbox.org_id), *people}:
        assert forbidden not in text


def test_of_an_error_that_nobody_foresaw_only_the_class_is_told(instance: dg.DagsterInstance, receiver: Receiver) -> None:
    @dg.op
    def careless() -> None:
        raise ValueError("customer jane@example.org")

    @dg.job
    def broken() -> None:
        careless()

    watch = watching(instance, receiver.url)
    broken.execute_in_process(instance=instance, raise_on_error=False)
    watch.tick()
    assert "ValueError" in receiver.texts[0]
    assert "jane" not in receiver.texts[0]


def test_a_run_whose_process_was_killed_is_told(instance: dg.DagsterInstance, receiver: Receiver) -> None:
    watch = watching(instance, receiver.url)
    run = instance.create_run_for_job(failing)
    instance.report_run_failed(run, "the process that ran it was killed")
    watch.tick()
    assert "the process that ran it was killed" in receiver.texts[0]


def test_runs_that_failed_before_it_was_turned_on_and_runs_that_did_not_fail_are_not_told(
    instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    fail(instance)
    watch = watching(instance, receiver.url)
    assert watch.said == "Watches from now on; what ended before is not told."
    succeed(instance)
    instance.report_run_canceled(instance.create_run_for_job(failing))
    watch.tick()
    assert receiver.arrived == []


def test_failures_are_told_after_the_newest_run_was_deleted_too(instance: dg.DagsterInstance, receiver: Receiver) -> None:
    watch = watching(instance, receiver.url)
    instance.delete_run(fail(instance).run_id)
    watch.tick()
    assert receiver.arrived == []
    failed = [fail(instance).run_id for _ in range(2)]
    watch.tick()
    assert [run_id in text for run_id, text in zip(failed, receiver.texts, strict=True)] == [True, True]


def test_after_a_long_pause_a_few_are_told_at_each_tick_the_oldest_first(
    instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    watch = watching(instance, receiver.url)
    failed = [instance.create_run_for_job(failing) for _ in range(7)]
    for run in failed:
        instance.report_run_failed(run, "killed")
    watch.tick()
    assert watch.said == "5 of 7 messages were sent."
    watch.tick()
    assert [run.run_id in text for run, text in zip(failed, receiver.texts, strict=True)] == [True] * 7


def test_without_an_address_it_skips_with_a_sentence(instance: dg.DagsterInstance) -> None:
    watch = watching(instance, "")
    fail(instance)
    watch.tick()
    assert watch.said == "EV_SESSIONS_ALERT_URL is not set, so nobody is told of failed runs."


def test_a_message_that_does_not_arrive_is_sent_at_a_later_tick_and_nobody_reads_the_address(
    instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    watch = watching(instance, receiver.url)
    run = fail(instance)
    receiver.usual_status = 503
    watch.tick()
    assert watch.said == "0 of 1 messages were sent."
    assert len(receiver.arrived) == 3
    assert watch.warnings == [f"The message about run {run.run_id} did not arrive: the address answers 503, 3 times."]
    receiver.arrived.clear()
    receiver.usual_status = 200
    watch.tick()
    watch.tick()
    assert len(receiver.texts) == 1


def test_a_message_that_is_not_taken_is_not_sent_again_and_holds_nothing_up(
    instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    watch = watching(instance, receiver.url)
    fail(instance)
    fail(instance)
    receiver.statuses = [404]
    watch.tick()
    assert watch.said == "1 of 2 messages were sent."
    (warning,) = watch.warnings
    assert warning.endswith(" was not taken: the address answers 404; see whether it is still valid.")
    watch.tick()
    assert len(receiver.arrived) == 2


def test_the_address_may_stand_in_a_file_and_one_that_is_gone_does_not_fail_the_sensor(
    instance: dg.DagsterInstance, receiver: Receiver, tmp_path: Path
) -> None:
    file = tmp_path / "alert_url"
    file.write_text(f"{receiver.url}\n")
    environ = {"EV_SESSIONS_ALERT_URL_FILE": str(file)}
    watch = watching(instance, "")
    watch.alerts = AlertsResource.from_settings(Settings.from_env(environ), environ)
    watch.tick()
    fail(instance)
    file.rename(tmp_path / "elsewhere")
    watch.tick()
    assert watch.said == "0 of 1 messages were sent."
    (tmp_path / "elsewhere").rename(file)
    watch.tick()
    assert len(receiver.texts) == 1


def test_a_message_is_given_up_after_a_day(instance: dg.DagsterInstance, receiver: Receiver) -> None:
    watch = watching(instance, receiver.url)
    two_days_ago = (datetime.now(UTC) - timedelta(days=2)).timestamp()
    old = instance.create_run_for_job(failing)
    instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.RUN_FAILURE.value, "failing", message="killed"), old.run_id, timestamp=two_days_ago
    )
    receiver.usual_status = 500
    watch.tick()
    assert watch.said == "0 of 1 messages were sent."
    watch.tick()
    assert watch.said == "No run has ended that is to be told."


def test_a_run_that_was_deleted_meanwhile_is_told_without_its_cause(instance: dg.DagsterInstance) -> None:
    run = fail(instance)
    instance.delete_run(run.run_id)
    assert f"{run.run_id}: https://dagster.example/runs/" in failure_text(instance, run, PAGE)


STAMPS = st.datetimes(datetime(2025, 1, 1), datetime(2025, 1, 3), timezones=st.just(UTC))


@given(st.lists(STAMPS, min_size=1, max_size=30), st.lists(st.integers(1, 5), min_size=1, max_size=40))
def test_every_end_is_told_exactly_once_however_many_are_told_at_a_time(ends: list[datetime], at_a_time: list[int]) -> None:
    ended = [Ended(dg.DagsterRun("job", run_id=str(UUID(int=number))), at) for number, at in enumerate(ends)]
    told, heard = Told(), list[Ended]()
    for count in [*at_a_time, len(ended)]:
        now = Told.from_cursor(told.to_cursor()).rest(ended)[:count]
        told, heard = told.and_(now), heard + now
    assert sorted(end.run.run_id for end in heard) == sorted(end.run.run_id for end in ended)
    assert [end.at for end in heard] == sorted(ends)


def test_the_heartbeat_follows_the_daily_refresh_and_no_other_run(instance: dg.DagsterInstance, receiver: Receiver) -> None:
    watch = listening_for_refreshes(instance, receiver.url)
    succeed(instance)
    succeed(instance, {"dagster/schedule_name": "deep_refresh"})
    fail(instance, OF_THE_SCHEDULE)
    watch.tick()
    assert receiver.arrived == []
    succeed(instance, OF_THE_SCHEDULE)
    watch.tick()
    watch.tick()
    assert receiver.arrived == [("GET", SECRET_PATH, None)]


def test_the_heartbeat_knows_the_schedule_of_a_prefixed_location(instance: dg.DagsterInstance, receiver: Receiver) -> None:
    watch = listening_for_refreshes(instance, receiver.url, PREFIXED)
    succeed(instance, {"dagster/schedule_name": "ev__daily_refresh"})
    watch.tick()
    assert len(receiver.arrived) == 1


def test_a_heartbeat_that_did_not_arrive_is_sent_again(instance: dg.DagsterInstance, receiver: Receiver) -> None:
    watch = listening_for_refreshes(instance, receiver.url)
    succeed(instance, OF_THE_SCHEDULE)
    receiver.statuses = [500] * 3
    watch.tick()
    watch.tick()
    assert len(receiver.arrived) == 4
    watch.tick()
    assert len(receiver.arrived) == 4


def test_without_an_address_the_heartbeat_skips_with_a_sentence(instance: dg.DagsterInstance) -> None:
    watch = listening_for_refreshes(instance, "")
    assert watch.said == "EV_SESSIONS_HEARTBEAT_URL is not set, so nobody notices when the daily refresh stays away."


@pytest.mark.parametrize(
    ("schedules", "status"), [("on", dg.DefaultSensorStatus.RUNNING), ("off", dg.DefaultSensorStatus.STOPPED)]
)
def test_both_run_from_the_start_where_the_schedules_do(schedules: str, status: dg.DefaultSensorStatus) -> None:
    sensors = {sensor.name: sensor.default_status for sensor in build_defs(named({"schedules": schedules})).sensors or []}
    assert {sensors["run_failure_alert"], sensors["heartbeat"]} == {status}


def test_the_code_location_holds_neither_address() -> None:
    secret = named({"alert_url": f"https://hooks.example{SECRET_PATH}", "heartbeat_url": f"https://ping.example{SECRET_PATH}"})
    resources = build_defs(secret).resources
    assert resources is not None
    told = repr(resources["session_alerts"])
    assert "EV_SESSIONS_ALERT_URL" in told
    assert SECRET_PATH not in told


def test_one_failure_out_of_three_does_not_keep_a_message_from_arriving(receiver: Receiver) -> None:
    receiver.statuses = [500, 429]
    post(receiver.url, {"text": "hello"})
    assert receiver.texts == ["hello"] * 3


def test_whatever_the_address_does_is_told_in_one_line_without_it(receiver: Receiver) -> None:
    refused = f"http://127.0.0.1:{free_port()}{SECRET_PATH}"
    not_tls = receiver.url.replace("http:", "https:")
    unknown = f"http://nobody.invalid{SECRET_PATH}"
    for url, told in (
        (refused, "ConnectError"),
        (not_tls, "ConnectError"),
        (unknown, "ConnectError"),
        ("http://", "Unsupported"),
    ):
        with pytest.raises(WebhookUnreachable, match=f"failed with {told}") as raised:
            call(url)
        assert SECRET_PATH not in str(raised.value)


def test_a_redirection_is_not_followed_and_not_taken_for_an_answer(receiver: Receiver) -> None:
    receiver.usual_status = 302
    with pytest.raises(WebhookRefused, match="answers 302"):
        call(receiver.url)


def test_an_address_that_never_answers_is_given_up(receiver: Receiver) -> None:
    receiver.silent = True
    with pytest.raises(WebhookUnreachable, match=r"failed with ReadTimeout, 3 times|no answer within 8 s"):
        call(receiver.url)
