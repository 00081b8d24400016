"""Settings: what the environment may say, and how a mistake in it reads."""

from datetime import date
from pathlib import Path

import pytest

from ev_sessions.limits import Limits
from ev_sessions.settings import SessionDay, Settings, SettingsError, unknown_variables


def test_without_any_variable_every_setting_has_its_default() -> None:
    settings = Settings.from_env({})
    assert settings.first_day == date(2024, 1, 1)
    assert settings.lookback_days == 14
    assert settings.session_day is SessionDay.PLUG_IN_TIME
    assert settings.database_path == Path(".ev_sessions/ev_sessions.duckdb")


def test_an_empty_variable_counts_as_absent() -> None:
    assert Settings.from_env({"EV_SESSIONS_LOOKBACK_DAYS": ""}).lookback_days == 14


def test_the_database_lies_in_the_state_folder_unless_it_is_named() -> None:
    assert Settings.from_env({"EV_SESSIONS_STATE_DIR": "there"}).database_path == Path("there/ev_sessions.duckdb")
    assert Settings.from_env({"EV_SESSIONS_DATABASE": "x.duckdb"}).database_path == Path("x.duckdb")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FIRST_DAY", "01.01.2024"),
        ("LOOKBACK_DAYS", "two"),
        ("LOOKBACK_DAYS", "-1"),
        ("ORG_ID", "acme"),
        ("SESSION_DAY", "end"),
        ("MAX_CONCURRENCY", "0"),
        ("DEFAULT_TIME_ZONE", "Mars/Olympus"),
        ("TIME_ZONES", "AT:Vienna"),
        ("TIME_ZONES", "AT=Vienna"),
        ("TIME_ZONES", "AT=Europe/Vienna,AT=Europe/Rome"),
        ("LIMITS", "much=1"),
        ("LIMITS", "stay_long_hours=40, stay_long_hours=50"),
        ("LIMITS", "cost_impossible_min=5,cost_impossible_max=-1"),
    ],
)
def test_a_malformed_setting_is_named_in_one_line_that_says_what_is_expected(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({f"EV_SESSIONS_{name}": value})
    message = str(caught.value)
    assert message.startswith(f"EV_SESSIONS_{name} is malformed: ")
    assert "Expected: " in message
    assert "\n" not in message
    assert "Value error" not in message


def test_a_secret_can_be_given_as_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("s3cret\n")
    settings = Settings.from_env({"EV_SESSIONS_CLIENT_SECRET_FILE": str(path)})
    assert settings.client_secret is not None
    assert settings.client_secret.get_secret_value() == "s3cret"


def test_a_secret_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="EV_SESSIONS_CLIENT_SECRET_FILE: cannot read .*No such file"):
        Settings.from_env({"EV_SESSIONS_CLIENT_SECRET_FILE": str(tmp_path / "absent")})


def test_no_secret_stands_in_the_repr_or_in_an_error() -> None:
    settings = Settings.from_env({"EV_SESSIONS_CLIENT_SECRET": "s3cret", "EV_SESSIONS_ACCESS_TOKEN": "t0ken"})
    assert "s3cret" not in repr(settings)
    assert "t0ken" not in f"{settings} {settings.model_dump()}"


def test_price_zones_are_mapped_as_they_are_given() -> None:
    settings = Settings.from_env({"EV_SESSIONS_TIME_ZONES": "SE_1=Europe/Stockholm, UK=Europe/London"})
    assert settings.time_zones == {"SE_1": "Europe/Stockholm", "UK": "Europe/London"}


def test_limits_are_those_that_replace_a_default() -> None:
    settings = Settings.from_env({"EV_SESSIONS_LIMITS": "energy_much_kwh=90, SE_4:cost_unusual_max=2"})
    assert settings.limits == Limits.of({"energy_much_kwh": 90, "SE_4:cost_unusual_max": 2})
    assert Settings.from_env({}).limits == Limits()


def test_a_misspelt_variable_is_found() -> None:
    assert unknown_variables({"EV_SESSIONS_LOOKBACK": "3", "EV_SESSIONS_ORG_ID": "", "PATH": ""}) == ["EV_SESSIONS_LOOKBACK"]
