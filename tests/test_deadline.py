"""Time limits: a call that takes too long is stopped wherever it runs, and nothing else is."""

import contextlib
import functools
import sys
import threading
import time

import numpy as np
import pytest
import sympy as sp

import sparsecnn as sc
from sparsecnn import cli
from sparsecnn.derivation import book, forward, verdict
from sparsecnn.derivation.model import Derivation, Step
from sparsecnn.symbolic.deadline import TimeLimitError, within
from sparsecnn.symbolic.evidence import CONFIRMED, UNDECIDED, Evidence


def _for_ever(*arguments, **options):
    """SymPy at work without end, in code that catches what it can."""
    k = 0
    while True:
        with contextlib.suppress(Exception):
            k = sp.expand((sp.Symbol("y") + k) ** 2).subs(sp.Symbol("y"), 1) % 7


def _busy(seconds):
    """Compute for so many seconds of this thread."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def _seconds(call):
    begun = time.thread_time()
    with pytest.raises(TimeLimitError) as caught:
        call()
    return time.thread_time() - begun, str(caught.value)


def _limited(seconds, call=_for_ever):
    return within(seconds, call, "the search", "Ask for less.")


def test_a_call_that_takes_too_long_is_stopped_with_a_sentence():
    seconds, message = _seconds(lambda: _limited(0.2))
    assert 0.19 <= seconds < 5
    assert message == "the search took longer than 0.2 s and was stopped. Ask for less."


def test_a_call_in_another_thread_is_stopped_and_the_main_thread_is_not():
    found = []
    thread = threading.Thread(target=lambda: found.append(_seconds(lambda: _limited(0.2))))
    thread.start()
    total = sum(np.sqrt(np.arange(10)).sum() for _ in range(1000))
    thread.join(10)
    assert found[0][0] < 5 and total > 0


def test_a_call_that_is_done_in_time_gives_its_value_and_nothing_comes_after_it():
    before, interval = threading.active_count(), sys.getswitchinterval()
    assert _limited(None, lambda: 3) == 3
    sys.setswitchinterval(1e-6)
    values, late = [], 0
    for k in range(600):  # ends about when time is over
        try:
            values.append(_limited(1e-3, functools.partial(_busy, 9e-4 + 2e-7 * k)))
        except TimeLimitError:
            late += 1
    sys.setswitchinterval(interval)
    assert len(values) + late == 600
    patience = time.monotonic() + 20
    while threading.active_count() > before and time.monotonic() < patience:
        time.sleep(0.01)  # the waiting threads end on their own
    assert threading.active_count() <= before


@pytest.mark.skipif(not hasattr(time, "pthread_getcpuclockid"), reason="the clock's time here")
def test_time_is_what_the_thread_computes_and_not_what_others_do():
    others = [threading.Thread(target=_busy, args=(0.3,)) for _ in range(3)]
    for thread in others:
        thread.start()
    assert _limited(0.25, lambda: [time.sleep(0.4), _busy(0.1)]) == [None, None]
    for thread in others:
        thread.join()


def test_of_two_limits_the_one_whose_time_is_over_speaks():
    def nested(outer, inner):
        within(outer, lambda: _limited(inner), "outer", ".")

    assert _seconds(lambda: nested(0.2, 30))[1].startswith("outer")
    assert _seconds(lambda: nested(30, 0.2))[1].startswith("the search")


def test_an_error_of_the_call_is_its_own_and_a_limit_must_be_positive():
    with pytest.raises(ZeroDivisionError):
        _limited(5, lambda: 1 / 0)
    for bad in (0, -1, float("nan")):
        with pytest.raises(sc.InputError, match="time_limit"):
            _limited(bad, lambda: 1)


def test_a_derivation_that_does_not_end_is_stopped(monkeypatch):
    monkeypatch.setattr(forward, "solve_prox", _for_ever)
    seconds, message = _seconds(lambda: sc.derive("lam*abs(z)", time_limit=0.3))
    assert seconds < 5 and "'lam*abs(z)'" in message and "larger time_limit" in message


def test_the_command_line_takes_the_limit(monkeypatch, capsys):
    monkeypatch.setattr(forward, "solve_prox", _for_ever)
    monkeypatch.setattr(verdict, "rise", _for_ever)
    for words in (["derive", "lam*abs(z)"], ["explain", "x + x**3"]):
        assert cli.main([*words, "--time-limit", "0.3"]) == 1
        assert "took longer than 0.3 s" in capsys.readouterr().err


def test_a_power_whose_polynomial_is_huge_ends_in_time():
    begun = time.thread_time()
    try:
        sc.derive("abs(z)**0.0000001", time_limit=1)
    except sc.InputError as error:
        assert "took longer than 1 s" in str(error)
    assert time.thread_time() - begun < 15


def test_an_explanation_that_does_not_end_is_stopped(monkeypatch):
    monkeypatch.setattr(verdict, "rise", _for_ever)
    seconds, message = _seconds(lambda: sc.explain("x + x**3", time_limit=0.3))
    assert seconds < 5 and "'x + x**3'" in message and "function of arrays" in message


def test_checks_that_time_is_over_for_are_undecided_and_not_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(book, "cache_folder", lambda: tmp_path)
    good = Step("a", "b", check=lambda: Evidence("numeric", CONFIRMED, "fine"))
    slow = Step("c", "d", check=_for_ever)
    derivation = Derivation("t", (good, slow, Step("e", "f", check=_for_ever)), time_limit=0.3)
    begun = time.thread_time()
    found = book.verified(derivation)
    assert time.thread_time() - begun < 5 and found.verdicts == (CONFIRMED, UNDECIDED, UNDECIDED)
    quick = Derivation(
        "t", (good, Step("c", "d", check=good.check), Step("e", "f", check=good.check))
    )
    assert book.verified(quick).verdicts == (CONFIRMED,) * 3
    assert sc.derive("laplace", time_limit=7).time_limit == 7
