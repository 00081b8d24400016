"""What becomes of a failure: the one place that decides whether a step is tried again, and what a person reads of it.

Dagster repeats work in three ways that do not hear each other: a step (retry requests), a run (the daemon's run retries, which
a backfill waits for) and a command (a person). What each does with a failure:

    failure                                            step                   run                        command
    PermanentError: credentials, organisation,         once                   never again                ends, exit 1 or 2
      contract, settings, wrong session day, a
      file that is not ours
    TransientError: network, 5xx, limits, locks,       again, twice, after    never for this reason      ends, exit 1;
      a full disk                                      1 to 3 minutes                                    goes on when repeated
    anything else: our mistake                         once                   never for this reason      ends, exit 1
    the process is killed                              -                      again, three times         the next one goes on
    cancelled by a person                              -                      never again                ends, exit 1

A step that is tried again keeps the parts it has staged and asks only for the rest. The tag `dagster/max_retries: 0` of a run
means that nobody may repeat any of it behind a person's back; the command line sets it.

No `RetryPolicy` stands at the ops: Dagster applies one to a cancelled step too, so the run would go on after its cancellation.
And the pause stands at the beginning of the repeated attempt: Dagster's own, between two attempts, hears no signal.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from ev_sessions.errors import EvSessionsError, PermanentError, TransientError
from ev_sessions.resources import Clock

MOST_RETRIES = 2
"""How often a step is tried again after a transient failure."""

NEVER_AGAIN = {"dagster/max_retries": "0"}
"""The tags of a run that neither Dagster nor a step of it repeats."""

_FIRST_PAUSE_SECONDS = 60.0

# What Dagster says of a run whose worker is gone, and the class of what ends a step whose process is told to end.
_GONE = "This run has been marked as failed from outside the execution context."
_TOLD_TO_END = dg.DagsterExecutionInterruptedError.__name__


@contextmanager
def failures_told(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, clock: Clock) -> Iterator[None]:
    """Turn the project's own errors into one sentence in the UI, with what becomes of them; pause before a second attempt.

    Raises:
        dagster.RetryRequested: a transient failure, and attempts are left.
        dagster.Failure: any other of the project's errors. After a permanent one no part of the run is ever tried again.
    """
    if context.retry_number:
        clock.wait(_pause_before(context.retry_number))
    try:
        yield
    except TransientError as error:
        failure = _told(error, may_work_later=True)
        if _may_be_repeated(context.run):
            raise dg.RetryRequested(max_retries=MOST_RETRIES) from failure
        raise failure from error
    except PermanentError as error:
        context.instance.add_run_tags(context.run.run_id, NEVER_AGAIN)
        raise _told(error, may_work_later=False) from error


def first_cause(events: Iterable[dg.DagsterEvent]) -> str:
    """Why a run failed, in one sentence without any data: what its first failed step, or failed blocking check, says.

    `events` are those of one run, in their order. Of an error that nobody foresaw only the step and the class are named: its
    text might hold data.
    """
    findings: dict[str | None, str] = {}
    ending = "the run ended before its first step; its log tells more"
    for event in events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            evaluation = event.asset_check_evaluation_data
            if evaluation.blocking and not evaluation.passed:
                findings.setdefault(event.step_key, f"{evaluation.check_name}: {evaluation.description or 'does not hold'}")
        elif event.is_step_failure:
            return _one_line(findings.get(event.step_key) or _cause_of_step(event))
        elif event.is_failure:
            ending = _cause_of_run(event)
    return _one_line(ending)


def _cause_of_step(event: dg.DagsterEvent) -> str:
    failure = event.step_failure_data
    if failure.user_failure_data and failure.user_failure_data.description:
        return failure.user_failure_data.description
    if _class_of(failure.error) == _TOLD_TO_END:
        return "the process that ran it was told to end, as when the services are restarted"
    return _foreseen(failure.error) or f"{event.step_key} failed with {_class_of(failure.error)}; its log tells more"


def _cause_of_run(event: dg.DagsterEvent) -> str:
    """Of a run that failed outside its steps: while its resources were made, or because its process was killed."""
    # A run that somebody else reports as failed, since it was killed, has no data of its own.
    error = event.job_failure_data and event.job_failure_data.error
    if error is None:
        killed = event.message is None or event.message == _GONE
        return "the process that ran it is gone: killed, or marked as failed by somebody" if killed else str(event.message)
    return _foreseen(error) or f"the run failed with {_class_of(error)}; its log tells more"


def _foreseen(error: SerializableErrorInfo | None) -> str | None:
    """The sentence of the project's own error among the causes of `error`."""
    for cause in _causes(error):
        if cause.cls_name in _own_errors():
            return cause.message.partition(": ")[2]
    return None


def _class_of(error: SerializableErrorInfo | None) -> str:
    *_, innermost = [None, *_causes(error)]
    return (innermost and innermost.cls_name) or "an unknown error"


def _causes(error: SerializableErrorInfo | None) -> Iterator[SerializableErrorInfo]:
    while error is not None:
        yield error
        error = error.cause


def _own_errors(kind: type[EvSessionsError] = EvSessionsError) -> set[str]:
    return {kind.__name__}.union(*(_own_errors(narrower) for narrower in kind.__subclasses__()))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _told(error: EvSessionsError, *, may_work_later: bool) -> dg.Failure:
    return dg.Failure(
        description=str(error),
        metadata={"error": type(error).__name__, "may_work_later": may_work_later},
        allow_retries=may_work_later,
    )


def _may_be_repeated(run: dg.DagsterRun) -> bool:
    return not NEVER_AGAIN.items() <= run.tags.items()


def _pause_before(retry: int) -> float:
    """The pause before the `retry`-th repetition (s): doubled each time, and never the same in two runs."""
    return _FIRST_PAUSE_SECONDS * 2.0 ** (retry - 1) * random.uniform(1, 1.5)  # noqa: S311 - spreads, hides nothing
