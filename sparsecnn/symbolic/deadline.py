"""A time limit for a call: whatever it does, in any thread, notebook or system.

A second thread waits; when the time is over it raises an exception in the thread that works
(``PyThreadState_SetAsyncExc``), so nothing is traced and nothing gets slower. Time is what the
thread has computed, so a busy machine changes no answer; on Windows it is the clock's. One call
into compiled code, such as one product of huge integers, is not interrupted but followed by the
exception; interpreters other than CPython, or without threads, set no limit.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
import threading
import time

from ..validation import InputError, as_number

#: seconds after which a call that caught the exception gets another, and between two looks
_AGAIN, _SOON = 1.0, 1e-3


class TimeLimitError(InputError):
    """A computation took longer than its time limit and was stopped."""


class _Stop(BaseException):
    """What the working thread gets; no ``except Exception`` of a library holds it up."""


def within(seconds, call, what, way_out):
    """What ``call()`` returns, if it does so in time.

    Parameters
    ----------
    seconds : float or None
        Of computing; None sets no limit. Of nested limits each keeps its own.
    call : callable
        Of no arguments; a block of a ``with`` statement would have an end at which the exception
        could slip out.
    what, way_out : str
        For the message: what takes so long, and what to do instead.

    Raises
    ------
    TimeLimitError
        If it has not returned by then.
    """
    if seconds is None:
        return call()
    watch = _Watch(as_number(seconds, "time_limit", positive=True))
    try:
        try:
            watch.start()
            return call()
        finally:
            watch.close()
    except _Stop:
        watch.close()
        if not watch.fired:
            raise  # of a limit around this one
        raise TimeLimitError(
            f"{what} took longer than {seconds:g} s and was stopped. {way_out}"
        ) from None


def clock():
    """A function that tells, in any thread, the seconds that the calling one has computed."""
    if hasattr(time, "pthread_getcpuclockid"):
        return functools.partial(
            time.clock_gettime, time.pthread_getcpuclockid(threading.get_ident())
        )
    return time.monotonic


class _Watch:
    """A thread that raises ``_Stop`` in the one that made it, until it is closed."""

    def __init__(self, seconds):
        self.lock, self.done = threading.Lock(), threading.Event()
        self.worker, self.fired = threading.get_ident(), False
        self.clock = clock()
        self.end = self.clock() + seconds

    def start(self):
        """Begin to wait."""
        if sys.implementation.name == "cpython":
            with contextlib.suppress(RuntimeError):  # no threads here
                threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self):
        while not self.done.wait(max(self.end - self.clock(), _SOON)):
            with self.lock:
                if self.clock() >= self.end and not self.done.is_set():
                    self.fired, self.end = True, self.clock() + _AGAIN
                    _raise_in(self.worker, _Stop)

    def close(self):
        """No exception comes after this; one that is under way arrives in here."""
        while not self.done.is_set():
            with contextlib.suppress(_Stop), self.lock:
                self.done.set()


def _raise_in(thread, kind):
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))
