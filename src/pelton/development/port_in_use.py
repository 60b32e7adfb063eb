"""What to do when the development server's address cannot be used, in the words of ``app.run()``.

Owns the wording. Main thread.
"""

from __future__ import annotations

from pelton.exceptions import AddressInUseError, StartError


def explained(error: StartError, port: int) -> str:
    """The message for a person; ``port`` as it was asked for."""
    if not isinstance(error, AddressInUseError) or not error.address_has_port:
        return str(error)
    other = port + 1 if port < 65535 else 0
    lines = [*error.held_by] or [f"Another program listens there; `ss -ltnp 'sport = :{port}'` shows which."]
    lines.append(
        f"Stop it, or choose another port: app.run(port={other}), or --port {other} for the flask command "
        "(port 0: any free one)."
    )
    return "\n".join([error.what, *(f"  {line}" for line in lines)])
