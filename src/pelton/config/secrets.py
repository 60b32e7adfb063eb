"""Which settings hold what nobody else is to read, and what is shown in their place. Any thread."""

from __future__ import annotations

from typing import Any, Final

HIDDEN: Final = "***"


def without_secrets(name: str, value: Any) -> Any:
    """The value of a setting as it may be shown."""
    if name == "admin_token":
        return None if value is None else HIDDEN
    # Variables are how passwords reach an application; such a list ends up in tickets and in chats.
    if name == "environment":
        return tuple(f"{one.partition('=')[0]}={HIDDEN}" for one in value)
    return value
