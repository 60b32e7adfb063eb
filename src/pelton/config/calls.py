"""Which settings mean nothing in a call of `pelton.run` or `pelton.start`, and what to do instead.

Owns the refusal, so that no setting is taken and then forgotten. Pure.
"""

from __future__ import annotations

from typing import Final

from pelton.config.setting import Group
from pelton.config.settings import TABLE, Settings, check_one_process
from pelton.exceptions import ConfigError

# What a program does for itself, before it calls.
_INSTEAD: Final = {
    "daemon": "The process is your program's: start it with the command, or under a service manager.",
    "pid_file": "The process is your program's: it can write os.getpid() to a file.",
    "user": "The process is your program's: start it as that user.",
    "group": "The process is your program's: start it as that group.",
    "umask": "Call os.umask before.",
    "chdir": "Call os.chdir before.",
    "environment": "Set os.environ before.",
    "python_path": "Change sys.path before.",
    "reload": "It is the command's; app.run(use_reloader=True) has it for development.",
    "process_name": "The package setproctitle does it.",
}
_MESSAGES: Final = ("log_level", "log_format", "error_log", "log_syslog")


def check_call(settings: Settings, *, serves_alone: bool) -> None:
    """Raise ConfigError for settings that would have no effect.

    ``serves_alone``: whether it is `pelton.run`, which sets up the log of a program that has none.
    """
    check_one_process(settings)
    for row in TABLE:
        if getattr(settings, row.name) == row.default:
            continue
        if row.group is Group.PROCESS:
            raise ConfigError(
                f"{row.name} means nothing in a call.",
                _INSTEAD.get(row.name, "It is the command's."),
            )
        if row.name == "mount":
            raise ConfigError("mount means nothing in a call.", "Werkzeug's DispatcherMiddleware does it.")
        if row.name in _MESSAGES and not serves_alone:
            if row.name == "log_syslog" and settings.access_log == "syslog":
                # It says where to.
                continue
            raise ConfigError(
                f"{row.name} means nothing for pelton.start: the log is your program's.",
                'Configure the logger "pelton" with the standard logging.',
            )
