"""python -m benchmarks.edge [--scenes speed,readers,keys,browser] [--seconds 3] [--rounds 3] [--only TEXT]

Beside nginx on the same machine, with the same files, in turns. Needed: Linux, h2load and nginx (Debian:
nghttp2-client, nginx), for the browser chromium and the development dependencies. Read the ratios.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.edge import bounds, browser, speed


def main() -> None:
    """Runs the scenes one after the other, and prints a table for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edge", description="Beside nginx.")
    parser.add_argument("--scenes", default="speed,readers,keys,browser")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="rows of speed whose name has this in it")
    given = parser.parse_args()
    scenes: dict[str, Callable[[Path], str]] = {
        "speed": lambda place: speed.compare(place, given.seconds, given.rounds, given.only),
        "readers": lambda place: bounds.slow_readers(place, given.seconds),
        "keys": bounds.many_keys,
        "browser": lambda place: browser.compare(place, given.rounds),
    }
    for name in given.scenes.split(","):
        with tempfile.TemporaryDirectory() as directory:
            print(f"\n## {name}\n\n{scenes[name](Path(directory))}", flush=True)


if __name__ == "__main__":
    main()
