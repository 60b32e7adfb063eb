"""What the log says of a request that pelton itself has ended."""

import logging

import pytest

from pelton import ClientDisconnected, IncompleteBodyError
from pelton.exceptions import RequestTimeout
from pelton.worker.wsgi.observer import LogObserver, printable

ENVIRON = {"REQUEST_METHOD": "GET", "PATH_INFO": "/slow"}


def test_a_timeout_takes_one_line_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    def view() -> None:
        raise RequestTimeout

    with pytest.raises(RequestTimeout) as caught:
        view()
    LogObserver().failed(ENVIRON, caught.value)
    (record,) = caplog.records
    assert record.getMessage() == (
        f"GET /slow: was ended by RequestTimeout in view ({__file__}, line "
        f"{view.__code__.co_firstlineno + 1})."
    )
    assert record.levelno == logging.ERROR
    assert record.exc_info is None


def test_a_timeout_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    LogObserver().failed(ENVIRON, RequestTimeout())
    assert caplog.messages == ["GET /slow: was ended by RequestTimeout."]


def test_what_is_the_clients_doing_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    LogObserver().failed(ENVIRON, IncompleteBodyError("it was cut"))
    LogObserver().failed(ENVIRON, ClientDisconnected())
    told = [(record.levelno, record.getMessage(), record.exc_info) for record in caplog.records]
    assert told == [
        (logging.INFO, "GET /slow: was not read to its end: it was cut.", None),
        (logging.DEBUG, "GET /slow: its client has gone.", None),
    ]


def test_what_an_application_made_of_it_is_its_own_fault(caplog: pytest.LogCaptureFixture) -> None:
    def view() -> None:
        try:
            raise RequestTimeout
        except RequestTimeout as error:
            raise ValueError("translated") from error

    with pytest.raises(ValueError, match="translated") as caught:
        view()
    LogObserver().failed(ENVIRON, caught.value)
    assert caplog.messages == ["GET /slow: the application failed."]
    assert caplog.records[0].exc_info is not None


def test_printable() -> None:
    assert printable("/café\n\x1b\u2028\ud800") == "/café\\n\\x1b\\u2028\\ud800"
