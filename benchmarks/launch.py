"""Start the peers whose own command line would not do.

    python -m benchmarks.launch {bjoern,waitress,werkzeug} MODULE:NAME PORT THREADS [NAME=NUMBER...]

bjoern has none; Werkzeug's is Flask's, with a debugger; waitress-serve writes a warning for nearly every
request under load. No row has an access log, and what waitress and Werkzeug write per request by default
would be measured as one.
"""

import importlib
import logging
import sys


def main() -> None:
    kind, target, port, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    options = {name: int(value) for name, _, value in (option.partition("=") for option in sys.argv[5:])}
    module, _, name = target.partition(":")
    application = getattr(importlib.import_module(module), name)
    if kind == "bjoern":
        importlib.import_module("bjoern").run(application, "127.0.0.1", port)
    elif kind == "waitress":
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        serve = importlib.import_module("waitress").serve
        serve(application, host="127.0.0.1", port=port, threads=threads, **options)
    elif kind == "werkzeug":
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        importlib.import_module("werkzeug.serving").run_simple("127.0.0.1", port, application, threaded=True)
    else:
        sys.exit(f"launch: no server called {kind!r}")


if __name__ == "__main__":
    main()
