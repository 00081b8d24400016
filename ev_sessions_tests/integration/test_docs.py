"""The documentation tells the truth: its commands run, its queries answer, its links lead somewhere, its messages exist."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer.main

import ev_sessions
from ev_sessions.cli.home import prepare_home
from ev_sessions.cli.main import app
from ev_sessions.days import ONE_DAY, DayRange, utc_today
from ev_sessions.sandbox import Sandbox, SandboxOptions, serving
from ev_sessions.settings import PREFIX, variable

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
BIN = Path(sys.prefix) / "bin"

# What runs until it is ended, and the words by which it says that it has begun.
SERVERS = {
    "ev-sessions ui": "Serving dagster-webserver",
    "ev-sessions sandbox": f"export {variable('client_secret')}",
    "dagster-webserver": "Serving dagster-webserver",
    "dagster-daemon": "Instance is configured with the following daemons",
}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of `page` in `language`."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def documented_lines() -> list[str]:
    """Every line that the pages tell a reader to type, once, in the order of reading."""
    return list(dict.fromkeys(line for page in PAGES for block in blocks(page, "sh") for line in block.splitlines() if line))


def services() -> list[str]:
    """The commands of the units that the pages show."""
    units = [line for page in PAGES for block in blocks(page, "ini") for line in block.splitlines()]
    return [line.removeprefix("ExecStart=").rpartition(".venv/bin/")[2] for line in units if line.startswith("ExecStart=")]


def makefile() -> str:
    return (ROOT / "Makefile").read_text(encoding="utf-8")


def make_recipes() -> list[str]:
    """The lines of the Makefile's recipes, as a person would type them."""
    text = makefile().replace("$(BIN)", ".venv/bin").replace("$(PYTHON)", "python3").replace("$(INSTALLED)", ".venv/.installed")
    return [line.strip().replace("--quiet --disable-pip-version-check ", "") for line in text.splitlines()]


def is_server(line: str) -> bool:
    return any(line.startswith(server) for server in SERVERS)


def is_run_by_ci(line: str) -> bool:
    """Whether CI runs the line: it calls that target, or the line is part of the installation that every target makes."""
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    return line in ci if line.startswith("make ") else line in make_recipes()


def commands_to_run() -> list[str]:
    return [line for line in documented_lines() if not is_server(line) and not is_run_by_ci(line)]


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(SandboxOptions(end=utc_today(datetime.now(UTC)) - ONE_DAY, days=60, vehicles=20))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a reader who has just installed: none of our settings, `.venv` in the folder, and on the path."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "DAGSTER_"))}
    state = tmp_path / ".ev_sessions"
    return inherited | {"PATH": f"{BIN}:{os.environ['PATH']}", "DAGSTER_HOME": str(prepare_home(state / "dagster"))}


def as_typed(lines: list[str], settings: Mapping[str, str], days: DayRange) -> str:
    """The lines as one script, with the example's address, credentials, days, month and instant replaced by real ones."""
    script = "\n".join(lines).replace("2026-03-01", days.first.isoformat()).replace("2026-03-31", days.last.isoformat())
    script = script.replace("2026-03 ", f"{days.last:%Y-%m} ").replace("2026-04-01T03:15:00Z", "$(date -u +%Y-%m-%dT%H:%M:%SZ)")
    return re.sub(r"^export (\w+)=.*$", lambda line: f"export {line[1]}={settings[line[1]]}", script, flags=re.MULTILINE)


def test_the_commands_and_queries_of_the_docs_work_one_after_the_other_as_they_stand(
    sandbox: Sandbox, environment: dict[str, str], tmp_path: Path
) -> None:
    with serving(sandbox) as url:
        # A shell that has DAGSTER_HOME only where the page says so.
        settings = sandbox.settings_for(url) | {"DAGSTER_HOME": environment.pop("DAGSTER_HOME")}
        script = as_typed(commands_to_run(), settings, DayRange.trailing(sandbox.options.end, 3))
        done = subprocess.run(
            ["bash", "-euxc", script],  # noqa: S607 - the reader's own shell
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout
    data = ev_sessions.open_data(tmp_path / ".ev_sessions" / "published" / "ev_sessions.duckdb")
    queries = [query for page in PAGES for query in blocks(page, "sql")]
    answers = {query: data.sql(query) for query in queries}
    (days,) = [answer for query, answer in answers.items() if "FROM analytics.fleet_daily" in query]
    assert len(answers) >= 3
    assert len(days) == 3


def free_port() -> int:
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return int(any_port.getsockname()[1])


def output_until(process: subprocess.Popen[str], words: str) -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout:
        yield line
        if words in line:
            return


@pytest.mark.parametrize("line", [*filter(is_server, documented_lines()), *services()])
def test_what_the_docs_start_begins_to_serve_and_ends_when_told(line: str, environment: dict[str, str], tmp_path: Path) -> None:
    words = next(words for server, words in SERVERS.items() if line.startswith(server))
    port = [] if line.startswith("dagster-daemon") else ["--port", str(free_port())]
    process = subprocess.Popen(
        # One that never begins ends too, and the test with it.
        ["timeout", "120", *shlex.split(line), *port],  # noqa: S607 - as a reader's shell finds them
        cwd=tmp_path,
        env=environment | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with process:
        said = list(output_until(process, words))
        assert said, f"{line} said nothing"
        assert words in said[-1], "".join(said)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate()


def test_the_docs_show_both_commands_of_the_project_and_ci_runs_them() -> None:
    assert {"make demo", "make test"} <= set(documented_lines())
    assert all(is_run_by_ci(line) for line in documented_lines() if line.startswith("make "))


def test_every_make_target_that_the_docs_name_exists() -> None:
    targets = re.findall(r"^(\w+):", makefile(), flags=re.MULTILINE)
    named = {target for page in PAGES for target in re.findall(r"\bmake ([a-z]+)`", page.read_text(encoding="utf-8"))}
    assert named
    assert named <= set(targets)


def test_every_command_and_option_that_the_docs_name_exists() -> None:
    commands = typer.main.get_group(app).commands
    options = {name: {option for field in command.params for option in field.opts} for name, command in commands.items()}
    for page in PAGES:
        for words in re.findall(r"`ev-sessions ([^`]+)`", page.read_text(encoding="utf-8")):
            command, *rest = words.split()
            assert command in commands, f"{name_of(page)}: ev-sessions {words}"
            assert {word for word in rest if word.startswith("--")} <= options[command], f"{name_of(page)}: ev-sessions {words}"


def test_every_command_is_documented() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in typer.main.get_group(app).commands if f"ev-sessions {name}" not in text] == []


def test_every_message_in_the_table_of_troubles_is_one_that_the_code_knows() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = operations.partition("| how it looks |")[2].partition("\n\n")[0].splitlines()[2:]
    known = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "ev_sessions").rglob("*.py"))
    shown = [message for row in table for message in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert len(shown) > 20
    assert [message for message in shown if message not in known and not message.startswith("ev-sessions ")] == []


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_something_in_this_repository(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("picture", sorted((ROOT / "docs" / "images").iterdir()), ids=lambda path: path.name)
def test_every_picture_is_small_and_shown_somewhere(picture: Path) -> None:
    assert picture.stat().st_size < 200_000
    assert any(f"images/{picture.name})" in page.read_text(encoding="utf-8") for page in PAGES)


def test_every_page_is_linked_from_another() -> None:
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    }
    assert [name_of(page) for page in PAGES if page.name != "README.md" and page.resolve() not in linked] == []
