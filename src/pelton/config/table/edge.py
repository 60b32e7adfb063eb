"""What the front does before the application: the response cache, and limits of rate.

Rows of the table of settings; see `pelton.config.setting` for what each part means.
"""

from __future__ import annotations

from dataclasses import dataclass

from pelton.config.rates import Rate, parse_rate
from pelton.config.setting import Group, Part, Unit, setting


@dataclass(frozen=True, kw_only=True)
class Edge:
    cache_bytes: int = setting(
        0,
        Unit.BYTES, Group.EDGE, Part.FRONT, "--cache",
        help="Memory for responses that say that they may be kept (Cache-Control, Expires); 0 for no cache.",
        reason="A cache that nobody asked for hides changes. With one, a kept page costs no Python.",
        zero="no cache",
        more="cache.md says what is kept, for how long, and how it is purged.",
    )  # fmt: skip
    rate_limit: tuple[str, ...] = setting(
        (),
        Unit.TEXT, Group.EDGE, Part.FRONT, "--rate-limit",
        help="How often a client may ask: /login=5/m,burst=10. May be repeated; the longest path counts.",
        reason="What is too often only the application's owner knows.",
        more="For one host: api.example.com/=100/s. So many requests in a second (s), minute (m), hour (h) or"
        " day (d), for all workers together; "
        "burst: so many at once (the number itself without it). Clients are distinguished by address (IPv6: "
        "by network, /64), or with by=X-API-Key by that field. rate-limits.md has the rest.",
        reloadable=True,
    )  # fmt: skip

    @property
    def rate_limits(self) -> list[Rate]:
        """The rules of ``rate_limit``, as the front takes them."""
        return [parse_rate(text) for text in self.rate_limit]
