"""What applications get from the Python side: template, error stream, file wrapper, observer."""

import io
import logging
import threading
from typing import Any
from wsgiref.validate import validator

import pytest

from pelton.worker.wsgi.environ import template
from pelton.worker.wsgi.error_stream import ErrorStream
from pelton.worker.wsgi.file_wrapper import FileWrapper
from pelton.worker.wsgi.observer import LogObserver


def test_template_and_request_satisfy_pep_3333() -> None:
    environ = template("127.0.0.1", "8000", multithread=True)
    request = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": "", "SERVER_PROTOCOL": "HTTP/1.1"}

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        return lambda data: None

    response: Any = validator(application)({**environ, **request, "wsgi.input": io.BytesIO()}, start_response)
    assert list(response) == [b"hello"]
    response.close()
    assert environ["wsgi.multithread"] is True
    assert environ["wsgi.multiprocess"] is False
    assert environ["wsgi.run_once"] is False
    assert environ["wsgi.input_terminated"] is True
    assert environ["wsgi.file_wrapper"] is FileWrapper
    assert environ["SERVER_PORT"] == "8000"
    assert environ["SERVER_SOFTWARE"].startswith("pelton/")


def test_one_thread_is_told_to_the_application() -> None:
    assert template("localhost", "80", multithread=False)["wsgi.multithread"] is False


def test_error_stream_logs_lines(caplog: pytest.LogCaptureFixture) -> None:
    stream = ErrorStream()
    print("one", "two", file=stream)
    stream.write("a\nb\nrest")
    assert caplog.messages == ["one two", "a\nb"]
    stream.flush()
    stream.flush()
    assert caplog.messages[2:] == ["rest"]
    stream.writelines(["x", "y\n"])
    assert caplog.messages[3:] == ["xy"]
    stream.close()
    assert stream.write("still open\n") == 11
    assert {one.name for one in caplog.records} == {"pelton.application"}


def test_error_stream_keeps_threads_apart(caplog: pytest.LogCaptureFixture) -> None:
    stream = ErrorStream()
    stream.write("half ")
    other = threading.Thread(target=stream.write, args=("of another\n",))
    other.start()
    other.join()
    stream.write("a line\n")
    assert caplog.messages == ["of another", "half a line"]


def test_error_stream_takes_text_only() -> None:
    bytes_by_mistake: Any = b"x"
    with pytest.raises(TypeError):
        ErrorStream().write(bytes_by_mistake)


def test_file_wrapper_iterates_and_closes() -> None:
    file = io.BytesIO(b"abcdefg")
    wrapper = FileWrapper(file, 3)
    assert list(wrapper) == [b"abc", b"def", b"g"]
    wrapper.close()
    assert file.closed


def test_file_wrapper_starts_where_the_file_is() -> None:
    file = io.BytesIO(b"abcdefg")
    file.seek(5)
    assert b"".join(FileWrapper(file)) == b"fg"


def test_file_wrapper_needs_no_close() -> None:
    class Endless:
        def read(self, size: int) -> bytes:
            return b"x" * size

    wrapper = FileWrapper(Endless(), 2)
    assert next(wrapper) == b"xx"
    wrapper.close()


def test_observer_writes_the_traceback_and_no_secrets(caplog: pytest.LogCaptureFixture) -> None:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/caf\xc3\xa9\n\x1b[31m", "QUERY_STRING": "token=secret"}
    error = ValueError("no")
    LogObserver().failed(environ, error)
    (record,) = caplog.records
    assert record.getMessage() == "GET /café\\n\\x1b[31m: the application failed."
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert record.levelno == logging.ERROR


def test_observer_warns(caplog: pytest.LogCaptureFixture) -> None:
    LogObserver().misused({}, "start_response was not called.")
    assert caplog.messages == ["? : start_response was not called."]
    assert caplog.records[0].levelno == logging.WARNING
