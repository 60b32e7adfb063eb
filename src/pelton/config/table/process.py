"""What the process is for the system: its user, its directory, its name.

Rows of the table of settings; see `pelton.config.setting` for what each part means.
"""

from __future__ import annotations

from dataclasses import dataclass

from pelton.config.setting import Group, Part, Unit, setting


@dataclass(frozen=True, kw_only=True)
class Process:
    daemon: bool = setting(
        False,
        Unit.FLAG, Group.PROCESS, Part.SUPERVISOR, "--daemon -D",
        help="Leave the terminal and run in the background.",
        reason="Service managers and containers want the process that they started.",
    )  # fmt: skip
    pid_file: str | None = setting(
        None,
        Unit.PATH, Group.PROCESS, Part.SUPERVISOR, "--pid -p",
        help="Write the process's number to this file, and remove it at the end.",
        reason="Service managers know it without.",
    )  # fmt: skip
    user: str | None = setting(
        None,
        Unit.TEXT, Group.PROCESS, Part.SUPERVISOR, "--user -u",
        help="Run as this user (name or number) once the addresses are bound. Needs --workers.",
        reason="Service managers and containers do it before.",
    )  # fmt: skip
    group: str | None = setting(
        None,
        Unit.TEXT, Group.PROCESS, Part.SUPERVISOR, "--group -g",
        help="Run as this group (name or number); without it, as the user's own. Needs --workers.",
        reason="As for the user.",
    )  # fmt: skip
    umask: str | None = setting(
        None,
        Unit.TEXT, Group.PROCESS, Part.SUPERVISOR, "--umask -m",
        help="Permissions that new files do not get, also unix sockets; octal, for example 007.",
        reason="Whoever starts it has set one.",
    )  # fmt: skip
    chdir: str | None = setting(
        None,
        Unit.PATH, Group.PROCESS, Part.SUPERVISOR, "--chdir",
        help="Change to this directory first; other paths are relative to it.",
        reason="The directory of the start is where people expect their application to be.",
    )  # fmt: skip
    environment: tuple[str, ...] = setting(
        (),
        Unit.TEXT, Group.PROCESS, Part.SUPERVISOR, "--env -e",
        help="Set an environment variable: NAME=VALUE. May be repeated.",
        reason="The environment is usually set outside.",
    )  # fmt: skip
    python_path: tuple[str, ...] = setting(
        (),
        Unit.PATH, Group.PROCESS, Part.SUPERVISOR, "--pythonpath",
        help="Look for modules in this directory first. May be repeated, or separated by commas.",
        reason="The working directory and what is installed are enough for most.",
    )  # fmt: skip
    process_name: str | None = setting(
        None,
        Unit.TEXT, Group.PROCESS, Part.SUPERVISOR, "--proc-name -n",
        help="What ps and top show; all of it if the package setproctitle is installed, else 15 characters.",
        reason="The command line says more.",
    )  # fmt: skip
    reload: bool = setting(
        False,
        Unit.FLAG, Group.PROCESS, Part.SUPERVISOR, "--reload",
        help="Start the application again whenever its code changes. For development; in one process.",
        reason="Watching files is for development: in production SIGHUP loads the code again.",
        first=True,
        more="See reloader.md; `flask serve --debug` does more.",
    )  # fmt: skip
