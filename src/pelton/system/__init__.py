"""What Python's part needs of the operating system beyond POSIX: the only folder that may name a call of one.

``linux`` is the only implementation, and Linux the only system that is claimed. A port is a folder beside it
with the same functions and nothing else; what the table says of macOS comes from its documentation, and
nobody has tried it. Imports nothing of pelton, so that everything else may import it. The native module has
such folders too (``crates/*/src/system``), with their own tables.

- ``new_bell``, ``ring_bell``, ``silence_bell``: a descriptor that is readable from the first ring until it is
  silenced, never blocks, and is rung by other processes too. Linux: eventfd. macOS: a non-blocking pipe.
- ``memory_file``, ``forbid_changes``: a file without a name that goes with its last descriptor. Linux:
  memfd_create, seals. macOS: ``shm_open`` and ``shm_unlink``; nothing forbids changes.
- ``packet_pair``, ``NO_SIGNAL``, ``NOT_INHERITED``: sockets that keep the borders of what is sent, with
  descriptors beside it; a send without SIGPIPE; received descriptors that exec closes. Linux: SOCK_SEQPACKET,
  MSG_NOSIGNAL, MSG_CMSG_CLOEXEC. macOS: SOCK_STREAM with a length before each message, SO_NOSIGPIPE,
  ``os.set_inheritable``.
- ``peer_of``: process and user at the other end of a unix socket. Linux: SO_PEERCRED. macOS: LOCAL_PEERPID,
  LOCAL_PEERCRED.
- ``private_address``: an address that only processes on this machine can connect to, and that needs no file.
  Linux: an abstract name. macOS: a path in a folder of the user's own, to be removed.
- ``keep_alive_options``: when the system asks a silent peer. macOS calls the first TCP_KEEPALIVE.
- ``open_again``: the same file, opened anew, with flags of its own. Linux: ``/proc/self/fd``. macOS: nothing;
  ``/dev/fd`` gives the same open file. OSError says so, and the caller writes in small pieces.
- ``FOLDER``, ``FILE_TO_LOOK_AT``, ``give_away``, ``is_of_kernel``: to walk a path without reading what lies
  there, and to change the owner of what was found. Linux: O_PATH, ``/proc/self/fd``. macOS: O_SEARCH,
  O_SYMLINK, ``fchownat``; there is no folder whose links are the kernel's.
- ``name_thread``: how ps shows this process. Linux: ``/proc/self/comm``. macOS: ``pthread_setname_np``.
- ``keep_one_heap_if_limited``: the C library's. Only glibc keeps a heap for each thread.
- ``processors``, ``memory_limit``, ``processes_limit``, ``memory_left``, ``throttled``, ``tasks_of_user``,
  ``idle_time``, ``pressure``, ``longest_backlog``: what this machine, or the container in it, lets us use.
  Linux: cgroups, ``/proc``. macOS: ``sysctl``, ``host_statistics64``; there are no containers.
- ``memory_of``, ``processor_time_of``, ``exact_processor_time_of``, ``figures_of``, ``unit_of``,
  ``kernel_view``: what is known of another process. macOS: ``proc_pid_rusage``, ``proc_pidinfo``; no units,
  no view into the kernel.
- ``thread_clocks``, ``waits_for``: of a thread of this process: computing, ready, and what kind of system
  call it is in. macOS: ``thread_info``; the call is not known.
- ``holders_of``, ``owners``, ``are_hidden``, ``descendants_of``, ``sockets_in``: who listens on a port, and
  who is at the other end of a connection from this machine. Linux: ``/proc/net/tcp``, ``/proc/PID/fd``.
  macOS: ``proc_pidfdinfo(PROC_PIDFDSOCKETINFO)``.
"""

from __future__ import annotations

import sys

if sys.platform != "linux":
    raise ImportError(
        f"pelton runs on Linux only so far, and this is {sys.platform}. For development there, run it in a "
        "container or a virtual machine with Linux; what another system would have to offer is written in "
        "pelton/system/__init__.py."
    )

from pelton.system.linux.bells import new_bell, ring_bell, silence_bell
from pelton.system.linux.files import (
    FILE_TO_LOOK_AT,
    FOLDER,
    forbid_changes,
    give_away,
    is_of_kernel,
    memory_file,
    open_again,
)
from pelton.system.linux.heaps import keep_one_heap_if_limited
from pelton.system.linux.kernel_view import kernel_view
from pelton.system.linux.machine import (
    idle_time,
    longest_backlog,
    memory_left,
    memory_limit,
    pressure,
    processes_limit,
    processors,
    tasks_of_user,
    throttled,
)
from pelton.system.linux.port_holder import Holder, holders_of
from pelton.system.linux.processes import (
    Figures,
    exact_processor_time_of,
    figures_of,
    memory_of,
    processor_time_of,
    unit_of,
)
from pelton.system.linux.socket_owners import Connection, are_hidden, descendants_of, owners, sockets_in
from pelton.system.linux.sockets import (
    NO_SIGNAL,
    NOT_INHERITED,
    keep_alive_options,
    packet_pair,
    peer_of,
    private_address,
)
from pelton.system.linux.threads import Waiting, name_thread, thread_clocks, waits_for

__all__ = [
    "FILE_TO_LOOK_AT",
    "FOLDER",
    "NOT_INHERITED",
    "NO_SIGNAL",
    "Connection",
    "Figures",
    "Holder",
    "Waiting",
    "are_hidden",
    "descendants_of",
    "exact_processor_time_of",
    "figures_of",
    "forbid_changes",
    "give_away",
    "holders_of",
    "idle_time",
    "is_of_kernel",
    "keep_alive_options",
    "keep_one_heap_if_limited",
    "kernel_view",
    "longest_backlog",
    "memory_file",
    "memory_left",
    "memory_limit",
    "memory_of",
    "name_thread",
    "new_bell",
    "open_again",
    "owners",
    "packet_pair",
    "peer_of",
    "pressure",
    "private_address",
    "processes_limit",
    "processor_time_of",
    "processors",
    "ring_bell",
    "silence_bell",
    "sockets_in",
    "tasks_of_user",
    "thread_clocks",
    "throttled",
    "unit_of",
    "waits_for",
]
