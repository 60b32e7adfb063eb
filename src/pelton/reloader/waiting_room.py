"""Where idle connections wait from one child of the reloader to the next.

Owns the pair of sockets: one end for the front that leaves, which sends each connection that is between two
requests, and one for the front that comes, which takes them before it accepts. So a browser that has kept its
connection asks its next request on it as if nothing had happened. The sockets themselves stay with the
parent, which never reads from them.
"""

from __future__ import annotations

from typing import Any

from pelton.reloader.environment import inheritance, inherited_descriptors


def waiting_room(bind: tuple[str, ...]) -> dict[str, Any]:
    """The settings of a front that listens on ``bind``: the waiting room's ends, where it is for this front.

    Another server of the same process, on sockets of its own, has nothing to do with it.
    """
    found = inheritance()
    ours = {f"fd://{descriptor}" for descriptor in inherited_descriptors()}
    if found is None or not ours or not ours <= set(bind):
        return {}
    return {"waiting_in": found.waiting_in, "waiting_out": found.waiting_out}
