"""Runs a coroutine that Ctrl-C, and whoever cancels a run, can stop.

A handler that raises inside an event loop is heard only where it happens to interrupt a task: between two of them the loop
logs the exception and goes on. So the loop takes the signals itself, cancels, and hands them on once it has ended.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_interruptibly(work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives. A signal cancels it; the handler that was there before then decides what is raised.

    Raises:
        asyncio.CancelledError: a signal came, and its handler raised nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return asyncio.run(work)
    received: list[signal.Signals] = []
    former = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        return asyncio.run(_listening(work, received))
    except asyncio.CancelledError:
        _restore(former)
        for number in received[:1]:
            signal.raise_signal(number)
        raise
    finally:
        _restore(former)


async def _listening(work: Coroutine[Any, Any, T], received: list[signal.Signals]) -> T:
    task = asyncio.ensure_future(work)

    def stop(number: signal.Signals) -> None:
        received.append(number)
        task.cancel()

    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    return await task


def _restore(former: dict[signal.Signals, Any]) -> None:
    for number, handler in former.items():
        signal.signal(number, handler)
