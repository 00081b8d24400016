"""A signal ends what runs in an event loop, wherever it lands."""

import asyncio
import os
import signal
from types import FrameType

import pytest

from ev_sessions.ingest.interruptible import run_interruptibly


class StoppedError(BaseException):
    """What the handler raises, as Dagster's does: no Exception."""


def stop(_: int, __: FrameType | None) -> None:
    raise StoppedError


async def signalled_between_two_tasks() -> str:
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
    await asyncio.sleep(1)
    return "went on as if nothing had happened"


def test_a_signal_that_lands_between_two_tasks_is_heard_and_its_handler_stays() -> None:
    former = signal.signal(signal.SIGINT, stop)
    try:
        with pytest.raises(StoppedError):
            run_interruptibly(signalled_between_two_tasks())
        assert signal.getsignal(signal.SIGINT) is stop
    finally:
        signal.signal(signal.SIGINT, former)


def test_what_is_not_interrupted_gives_its_result() -> None:
    async def work() -> int:
        return 7

    assert run_interruptibly(work()) == 7
