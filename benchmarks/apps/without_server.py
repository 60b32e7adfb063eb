"""What `waiting` does for /nested, without any server around it: the least time that it can take.

Run as a program: URL COUNT. So many greenlets ask at once; prints the seconds until all have their responses.
"""
# ruff: noqa: E402

from gevent import monkey

monkey.patch_all()

import sys
import time

import gevent
import requests


def main() -> None:
    """Ask, wait for all, and print how long it took."""
    url, count = sys.argv[1], int(sys.argv[2])
    # What is done once in a process is not to count.
    requests.get(url, timeout=30)
    began = time.monotonic()
    asking = [gevent.spawn(requests.get, url, timeout=30) for _ in range(count)]
    gevent.joinall(asking, raise_error=True)
    print(time.monotonic() - began)


if __name__ == "__main__":
    main()
