"""How a limit of rate is written: ``/login=5/m,burst=10,by=X-API-Key``, for one host
``api.example.com/=100/s``. Pure.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pelton.config.path_rules import HOST, TOKEN, host_of
from pelton.exceptions import ConfigError

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_FORM = re.compile(HOST + r"?(?P<path>/[^=?#]*)=(?P<count>[1-9][0-9]*)/(?P<unit>[a-z]+)(?P<rest>(?:,[^,]+)*)")
_TOKEN = re.compile(TOKEN)
# What a 32-bit number holds; nobody means more.
_MOST = 2**32 - 1


class Rate(NamedTuple):
    """``requests`` in ``window`` seconds, ``burst`` at once, for each ``field`` or address."""

    path: str
    requests: int
    window: float
    burst: int
    field: str
    host: str = ""


def parse_rate(text: str) -> Rate:
    """The rule that a text means. Raises ConfigError."""
    found = _FORM.fullmatch(text.replace(" ", ""))
    if found is None or found["unit"] not in _SECONDS:
        raise ConfigError(
            f'"{text}" is no limit of rate.',
            "Write for example /login=5/m or /api=100/s,burst=200,by=X-API-Key.",
        )
    count = int(found["count"])
    burst, field = count, ""
    for part in filter(None, found["rest"].split(",")):
        name, _, value = part.partition("=")
        if name == "burst" and re.fullmatch("[1-9][0-9]*", value):
            burst = int(value)
        elif name == "by" and _TOKEN.fullmatch(value):
            field = value
        else:
            raise ConfigError(
                f'"{part}" is not a part of a limit of rate.', "There are burst=NUMBER and by=FIELD."
            )
    if max(count, burst) > _MOST:
        raise ConfigError(f'"{text}" is more than can be counted.')
    return Rate(found["path"], count, _SECONDS[found["unit"]], burst, field, host_of(found["host"]))
