"""A time limit for a block of code: whatever it calls, in any thread, notebook or system.

A second thread waits; when the time is over it raises an exception in the thread that works
(``PyThreadState_SetAsyncExc``), so nothing is traced and nothing gets slower. One call into
compiled code, such as one product of huge integers, is not interrupted but followed by the
exception; interpreters other than CPython, or without threads, set no limit.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading

from ..validation import InputError, as_number

#: seconds after which a block that caught the exception gets another
_AGAIN = 1.0


class TimeLimitError(InputError):
    """A computation took longer than its time limit and was stopped."""


class _Stop(BaseException):
    """What the working thread gets; no ``except Exception`` of a library holds it up."""


@contextlib.contextmanager
def within(seconds, what, way_out):
    """Stop the block after some seconds.

    Parameters
    ----------
    seconds : float or None
        On the clock; None sets no limit. Of nested limits each keeps its own.
    what, way_out : str
        For the message: what takes so long, and what to do instead.

    Raises
    ------
    TimeLimitError
        If the block is not done by then.
    """
    if seconds is None:
        yield
        return
    watch = _Watch(as_number(seconds, "time_limit", positive=True))
    try:
        try:
            watch.start()
            yield
        finally:
            watch.close()
    except _Stop:
        watch.close()
        if not watch.fired:
            raise  # of a limit around this one
        raise TimeLimitError(
            f"{what} took longer than {seconds:g} s and was stopped. {way_out}"
        ) from None


class _Watch:
    """A thread that raises ``_Stop`` in the one that made it, until it is closed."""

    def __init__(self, seconds):
        self.lock, self.done = threading.Lock(), threading.Event()
        self.worker, self.seconds, self.fired = threading.get_ident(), seconds, False

    def start(self):
        """Begin to wait."""
        if sys.implementation.name == "cpython":
            with contextlib.suppress(RuntimeError):  # no threads here
                threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self):
        wait = self.seconds
        while not self.done.wait(wait):
            with self.lock:
                if not self.done.is_set():
                    self.fired, wait = True, _AGAIN
                    _raise_in(self.worker, _Stop)

    def close(self):
        """No exception comes after this; one that is under way is called off."""
        while not self.done.is_set():
            with contextlib.suppress(_Stop), self.lock:
                self.done.set()
                _raise_in(self.worker, None)


def _raise_in(thread, kind):
    kind = None if kind is None else ctypes.py_object(kind)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), kind)
