"""``pelton check``: whether this machine can serve with these settings, without serving.

Owns the checks of settings, addresses, files and descriptors; the application is looked at in
`pelton.cli.application_check`. Leaves nothing behind: addresses are opened and closed again, no
file is made. Main thread.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pelton.cli.findings import Finding, doubtful, fault, good
from pelton.config.address import DescriptorAddress, TcpAddress, UnixAddress, parse_bind
from pelton.config.bounds import Bounds
from pelton.config.settings import Settings, check_one_process
from pelton.config.units import format_bytes, format_seconds
from pelton.config.worker_kinds import kind_of
from pelton.exceptions import ConfigError, PeltonError
from pelton.logs.access import SYSLOG
from pelton.logs.statsd import OFF, open_statsd_of
from pelton.net.listeners import open_listeners
from pelton.process.daemon import PidFile, identity_of, umask_of, variables_of
from pelton.sizing.limits import thread_bounds, worker_bounds
from pelton.traces.required import require_traces

# What a front has open besides clients and requests: listeners, logs, control sockets, the poller.
_OF_THE_FRONT: Final = 32


def number_of_workers(settings: Settings) -> int:
    """Processes that run the application at most; 1 where it is this one."""
    return worker_bounds(settings).most


def check_settings(settings: Settings, sources: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the settings agree with each other."""
    if settings.workers == 0:
        try:
            check_one_process(settings, sources)
        except ConfigError as error:
            yield fault("one_process", error.what, *error.lines)
            return
    found = list(_disagreements(settings))
    yield from found or [good("agreement", "The settings agree with each other.")]


def _disagreements(settings: Settings) -> Iterator[Finding]:
    if not settings.bind:
        yield fault("bind", "There is no address to listen on.")
    try:
        kind_of(settings).require()
        require_traces(settings)
    except ConfigError as error:
        yield fault("missing_package", error.what, *error.lines)
    if settings.body_memory_bytes > settings.max_body_bytes:
        yield doubtful(
            "body_memory_bytes",
            f"body_memory_bytes ({format_bytes(settings.body_memory_bytes)}) is more than any body may have: "
            f"max_body_bytes is {format_bytes(settings.max_body_bytes)}.",
        )
    if 0 < settings.spool_bytes < settings.max_body_bytes:
        yield doubtful(
            "spool_bytes",
            f"One body may have {format_bytes(settings.max_body_bytes)}, but all files for bodies together "
            f"only {format_bytes(settings.spool_bytes)}: the largest uploads are answered 503.",
            "Raise spool_bytes or lower max_body_bytes.",
        )
    if settings.response_buffer_bytes > settings.response_memory_bytes:
        yield doubtful(
            "response_buffer_bytes",
            "response_buffer_bytes, for one response, is more than response_memory_bytes, for all.",
        )
    if settings.max_requests_jitter and not settings.max_requests:
        yield doubtful("max_requests_jitter", "max_requests_jitter means nothing without max_requests.")
    if settings.request_timeout > settings.graceful_timeout:
        yield doubtful(
            "graceful_timeout",
            f"A request may run {format_seconds(settings.request_timeout)} (request_timeout), but at the end "
            f"it is cut off after {format_seconds(settings.graceful_timeout)} (graceful_timeout).",
        )
    # Bounds keep to it by themselves.
    threads = 0 if isinstance(settings.threads, Bounds) else number_of_workers(settings) * settings.threads
    if 0 < settings.max_connections < threads:
        yield doubtful(
            "max_connections",
            f"{threads} requests can run at once, but only {settings.max_connections} connections are "
            "accepted: some threads never work.",
        )
    if 0 < settings.max_connections < settings.connections_per_client:
        yield doubtful("connections_per_client", "connections_per_client is more than max_connections.")


def check_addresses(settings: Settings) -> Iterator[Finding]:
    """Whether pelton could listen where it should."""
    seen: set[str] = set()
    for text in (*settings.bind, *settings.redirect_bind, *settings.admin_bind, *settings.agent_bind):
        address = parse_bind(text).address
        if str(address) in seen and not (isinstance(address, TcpAddress) and address.port == 0):
            yield fault("address", f"{address} is named twice.")
            continue
        seen.add(str(address))
        try:
            if isinstance(address, UnixAddress):
                _check_socket_file(address)
            else:
                for listener in open_listeners([address]):
                    if isinstance(address, DescriptorAddress):
                        # Somebody else's socket: its file, if it has one, is not ours.
                        listener.socket.close()
                    else:
                        listener.close()
        except PeltonError as error:
            yield fault("address", error.what, *error.lines)
        else:
            yield good("address", f"{address} is free.")


def _check_socket_file(address: UnixAddress) -> None:
    path = Path(address.path)
    # A file that is there is replaced only at the start, and only if nobody listens: that is not tried here.
    if path.exists() or path.is_symlink():
        import socket

        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            try:
                probe.connect(address.path)
            except ConnectionRefusedError:
                if path.is_socket():
                    return
                raise ConfigError(f"{path} is there, and it is no socket.", "Choose another path.") from None
            except BlockingIOError:
                pass
            except OSError as error:
                raise ConfigError(f"{path}: {error.strerror or error}.") from None
        raise ConfigError(f"Cannot listen on {address}: another program listens there.")
    for listener in open_listeners([address]):
        listener.close()


def check_process(settings: Settings) -> Iterator[Finding]:
    """Whether this process may become what it should; changes to the directory that the settings name."""
    try:
        if settings.chdir is not None:
            os.chdir(settings.chdir)
    except OSError as error:
        yield fault("chdir", f'chdir: cannot change to "{settings.chdir}": {error.strerror or error}.')
    try:
        identity = identity_of(settings)
        umask_of(settings)
        variables_of(settings)
        if settings.pid_file is not None:
            PidFile(settings.pid_file).check()
    except PeltonError as error:
        yield fault("identity", error.what, *error.lines)
        return
    if identity is None:
        return
    if settings.workers == 0:
        yield fault("identity", "user and group need --workers.")
    if os.geteuid() != 0 and (identity.user, identity.group) != (os.geteuid(), os.getegid()):
        yield fault("identity", "user and group can only be changed by root.")


def check_files(settings: Settings) -> Iterator[Finding]:
    """Whether directories and log files can be used."""
    spool = Path(settings.spool_directory)
    if not spool.is_dir():
        yield fault(
            "spool_directory", f"spool_directory {spool} does not exist.", "Set it with --spool-directory."
        )
    elif not os.access(spool, os.W_OK | os.X_OK):
        yield fault(
            "spool_directory", f"spool_directory {spool} is not writable.", "Set it with --spool-directory."
        )
    else:
        yield good("spool_directory", f"spool_directory {spool} is writable.")
    for name in ("access_log", "error_log", "pid_file"):
        # Not all versions of the table have all of them.
        file = getattr(settings, name, None)
        if isinstance(file, str) and file not in ("", "-") and (name, file) != ("access_log", SYSLOG):
            yield _check_writable(name, Path(file))
    if settings.access_log == SYSLOG and settings.log_syslog is None:
        yield fault(
            "access_log",
            "access_log is syslog, and there is none.",
            "Say where with --log-syslog unix:/dev/log.",
        )
    if settings.statsd is not None:
        yield _check_statsd(settings)


def _check_statsd(settings: Settings) -> Finding:
    try:
        descriptor = open_statsd_of(settings)
    except ConfigError as error:
        return fault("statsd", *error.args)
    if descriptor == OFF:
        return doubtful("statsd", f"statsd {settings.statsd} cannot be reached: no metrics would be sent.")
    os.close(descriptor)
    return good("statsd", f"statsd {settings.statsd} has an address.")


def _check_writable(name: str, file: Path) -> Finding:
    if file.is_dir():
        return fault(name, f"{name} {file} is a directory.")
    if file.exists():
        if os.access(file, os.W_OK):
            return good(name, f"{name} {file} is writable.")
        return fault(name, f"{name} {file} is not writable by this user.")
    directory = file.absolute().parent
    if not directory.is_dir():
        return fault(name, f"{name} {file}: the directory {directory} does not exist.")
    if not os.access(directory, os.W_OK | os.X_OK):
        return fault(name, f"{name} {file}: the directory {directory} is not writable by this user.")
    return good(name, f"{name} {file} can be made.")


def check_descriptors(settings: Settings) -> Iterator[Finding]:
    """Whether connections and running requests have enough descriptors."""
    # The front raises its own limit up to the hard one.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        yield good("open_files", "The number of descriptors is not limited.")
        return
    workers = number_of_workers(settings)
    threads = thread_bounds(settings).most
    requests = workers * threads
    # A running request can have a connection, a file for its body and one for its response; a worker process
    # has a control socket and two for its link.
    least = _OF_THE_FRONT + 3 * requests + 3 * workers
    needed = least + max(0, settings.max_connections - requests)
    about = f"{workers} times {threads} threads" if workers > 1 else f"{threads} threads"
    if hard < needed:
        yield fault(
            "open_files",
            f"{about} and {max(settings.max_connections, requests)} connections need about {needed} "
            f"descriptors, and the hard limit is {hard}.",
            "Raise it (LimitNOFILE= of systemd, ulimits of Docker, ulimit -Hn), or lower threads, workers or "
            "max_connections.",
        )
    elif settings.max_connections == 0 and hard < 2 * least:
        yield doubtful(
            "open_files", f"The limit of {hard} descriptors leaves few for idle connections beside {about}."
        )
    else:
        yield good("open_files", f"{hard} descriptors are enough for {about}.")
