"""Signals as something to wait for; the signals are real and go to the test's own process."""

import signal
import threading

from pelton.process.signals import Signals, on_main_thread


def test_signals_wait_in_their_order() -> None:
    with Signals() as signals:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert signals.wait(10) == signal.SIGTERM
        assert signals.wait(10) == signal.SIGINT
        assert signals.wait(0) is None


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with Signals():
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


def test_ignored_sigint_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Signals():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_signal_that_another_thread_gets_wakes_the_main_one() -> None:
    with Signals() as signals:
        other = threading.Thread(
            target=lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM), daemon=True
        )
        other.start()
        assert signals.wait(10) == signal.SIGTERM
        other.join()


def test_signals_of_the_application_are_none_of_ours() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    try:
        with Signals() as signals:
            signal.raise_signal(signal.SIGUSR1)
            signal.raise_signal(signal.SIGTERM)
            assert signals.wait(10) == signal.SIGTERM
            signal.raise_signal(signal.SIGUSR1)
            assert signals.wait(0) is None
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen == [signal.SIGUSR1] * 2


def test_waking_after_the_end_does_nothing() -> None:
    with Signals() as signals:
        pass
    signals.wake()


def test_wake_from_another_thread() -> None:
    with Signals() as signals:
        threading.Thread(target=signals.wake).start()
        assert signals.wait(10) is None


def test_only_the_main_thread_is_the_main_thread() -> None:
    seen: list[bool] = [on_main_thread()]
    other = threading.Thread(target=lambda: seen.append(on_main_thread()))
    other.start()
    other.join()
    assert seen == [True, False]


def test_all_that_has_come() -> None:
    with Signals((signal.SIGTERM, signal.SIGHUP)) as signals:
        assert signals.received() == []
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
        assert signals.received() == [signal.SIGHUP, signal.SIGTERM, signal.SIGHUP]
        assert signals.received() == []


def test_what_somebody_handles_already_stays_his() -> None:
    before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        with Signals(unclaimed=[signal.SIGUSR1, signal.SIGUSR2]) as signals:
            assert signal.getsignal(signal.SIGUSR2) is signal.SIG_IGN
            signal.raise_signal(signal.SIGUSR1)
            assert signals.wait(10) == signal.SIGUSR1
    finally:
        signal.signal(signal.SIGUSR2, before)
