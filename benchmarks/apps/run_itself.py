"""A script as Flask's documentation has it: it serves itself, with the defaults of ``app.run()``."""

import logging
import time

from flask import Flask, request

app = Flask(__name__)


@app.get("/slow")
def slow() -> str:
    time.sleep(min(request.args.get("s", 1.0, type=float), 30.0))
    return "done"


if __name__ == "__main__":
    # Where it listens is wanted, a line for each request is not.
    logging.getLogger("werkzeug").addFilter(lambda record: '"GET' not in record.getMessage())
    app.run(port=0)
