"""An application that waits, as one does that asks a database; how long its host says."""

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SECONDS = float(os.environ.get("FLEET_SECONDS", "0.05"))


def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    time.sleep(SECONDS)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
