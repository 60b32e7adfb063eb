"""gunicorn's options about the process and its files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pelton.compat.gunicorn.options.option import (
    Fate,
    Option,
    Takes,
    Translation,
    count,
    silent,
    switch,
    text,
    texts,
    to,
)
from pelton.exceptions import ConfigError


def _name_or_number(value: Any) -> str:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else text(value)


def _umask(value: Any) -> str:
    return f"{count(value):03o}"


def _one_each(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value.strip(),) if value.strip() else ()
    return texts(value)


def _raw_env(value: Any, given: Mapping[str, Any]) -> Translation:
    pairs = _one_each(value)
    for one in pairs:
        if "=" not in one:
            raise ConfigError(f'"{one}" is no variable.', "Write NAME=value.")
    return Translation({"environment": pairs}) if pairs else Translation()


def _identity(setting: str, own: int) -> Any:
    def convert(value: Any, given: Mapping[str, Any]) -> Translation:
        # Configs are generated with the number of whoever starts it.
        if value in (None, "", own, str(own)):
            return Translation()
        return Translation({setting: _name_or_number(value)})

    return convert


def _spool(value: Any, given: Mapping[str, Any]) -> Translation:
    return Translation({"spool_directory": text(value)}) if value else Translation()


PROCESS = (
    Option(
        name="sendfile",
        flags=("--no-sendfile",),
        takes=Takes.SWITCH,
        fate=Fate.NEEDLESS,
        harmless=(True, False),
        about="The front decides how files are sent, outside of Python in any case.",
    ),
    Option(
        name="chdir",
        flags=("--chdir",),
        fate=Fate.MAPPED,
        target="chdir",
        about="The same.",
        convert=to("chdir", text),
    ),
    Option(
        name="daemon",
        flags=("-D", "--daemon"),
        takes=Takes.SWITCH,
        fate=Fate.MAPPED,
        target="daemon",
        about="The same. A service manager (systemd) does it better.",
        convert=to("daemon", switch),
    ),
    Option(
        name="raw_env",
        flags=("-e", "--env"),
        takes=Takes.VALUES,
        fate=Fate.MAPPED,
        target="environment",
        about="The same.",
        convert=_raw_env,
    ),
    Option(
        name="pidfile",
        flags=("-p", "--pid"),
        fate=Fate.MAPPED,
        target="pid_file",
        about="The same.",
        convert=to("pid_file", text),
    ),
    Option(
        name="worker_tmp_dir",
        flags=("--worker-tmp-dir",),
        fate=Fate.NEEDLESS,
        about="A worker's sign of life is a number in memory, not a file.",
    ),
    Option(
        name="user",
        flags=("-u", "--user"),
        fate=Fate.MAPPED,
        target="user",
        about="The same; sockets are opened before.",
        convert=_identity("user", os.geteuid()),
    ),
    Option(
        name="group",
        flags=("-g", "--group"),
        fate=Fate.MAPPED,
        target="group",
        about="The same.",
        convert=_identity("group", os.getegid()),
    ),
    Option(
        name="umask",
        flags=("-m", "--umask"),
        fate=Fate.MAPPED,
        target="umask",
        about="The same. Numbers of a config file are numbers (0o007), texts may be octal (007).",
        convert=to("umask", _umask),
    ),
    Option(
        name="initgroups",
        flags=("--initgroups",),
        takes=Takes.SWITCH,
        fate=Fate.NEEDLESS,
        harmless=(False,),
        about="Belongs to user: a process that changes its user takes that user's groups.",
    ),
    Option(
        name="tmp_upload_dir",
        fate=Fate.MAPPED,
        target="spool_directory",
        about="Larger bodies are received into files there before the application is called.",
        convert=_spool,
    ),
    Option(
        name="proc_name",
        flags=("-n", "--name"),
        fate=Fate.MAPPED,
        target="process_name",
        about="The same.",
        convert=to("process_name", text),
    ),
    Option(
        name="default_proc_name",
        fate=Fate.NEEDLESS,
        harmless=("gunicorn",),
        about="gunicorn sets it for itself; proc_name is the name.",
    ),
    Option(
        name="pythonpath",
        flags=("--pythonpath",),
        fate=Fate.MAPPED,
        target="python_path",
        about="The same: directories, separated by commas.",
        convert=lambda value, given: to("python_path", texts)(value, given),
    ),
    Option(
        name="paste",
        flags=("--paste", "--paster"),
        fate=Fate.MAPPED,
        target="MODULE[:APP]",
        about="The application that an ini file describes (FILE or FILE#section); PasteDeploy has to be "
        "installed. The file's server section is not read.",
        convert=silent,
    ),
    Option(
        name="raw_paste_global_conf",
        flags=("--paste-global",),
        takes=Takes.VALUES,
        fate=Fate.MAPPED,
        target="paste",
        harmless=([], ()),
        about="Handed to the ini file's application.",
        convert=silent,
    ),
)
