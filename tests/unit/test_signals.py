"""Signals as something to wait for; the signals are real and go to the test's own process."""

import signal
import threading

from penstock.signals import StopSignals, on_main_thread


def test_signals_wait_in_their_order() -> None:
    with StopSignals() as signals:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert signals.wait(10) == signal.SIGTERM
        assert signals.wait(10) == signal.SIGINT
        assert signals.wait(0) is None


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with StopSignals():
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


def test_ignored_sigint_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopSignals():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_wake_from_another_thread() -> None:
    with StopSignals() as signals:
        threading.Thread(target=signals.wake).start()
        assert signals.wait(10) is None


def test_only_the_main_thread_is_the_main_thread() -> None:
    seen: list[bool] = [on_main_thread()]
    other = threading.Thread(target=lambda: seen.append(on_main_thread()))
    other.start()
    other.join()
    assert seen == [True, False]
