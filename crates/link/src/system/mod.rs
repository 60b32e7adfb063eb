//! What the link needs of the operating system beyond POSIX: the only folder of this crate that may name a call of one system.
//!
//! `linux` is the only implementation, and Linux the only system that is claimed. A port is a folder beside it with the same functions and
//! nothing else; all that is said of macOS here comes from its documentation, and nobody has tried it.
//!
//! | what | what it must do | Linux | nearest on macOS |
//! | --- | --- | --- | --- |
//! | [`wait`], [`wake`] | compare a word of shared memory and sleep, in one step; wake so many sleepers of a word, from any process | futex | `os_sync_wait_on_address` and `os_sync_wake_by_address_any`, `…_all` (since 14.4; `__ulock_wait` before) with the flag for shared memory |
//! | [`new_bell`], [`ring_bell`], [`silence_bell`] | a descriptor that is readable from the first ring until it is silenced, never blocks, and crosses to another process by inheritance | eventfd | a non-blocking pipe whose full buffer counts as rung; `EVFILT_USER` serves within one process only, as a kqueue is not inherited |
//! | [`memory_file`], [`fix_size`], [`forbid_new_writers`] | memory without a name, by descriptor; nobody may resize it; nobody may get a writable mapping any more | memfd_create and seals | `shm_open` with a random name and `shm_unlink` at once. Its size can be set once only. Nothing forbids later writers: workers have to be given a descriptor that was opened for reading |
//! | [`forget_pages`] | whole pages are zero afterwards and cost nothing | `MADV_DONTNEED`, `MADV_REMOVE` | `MADV_FREE_REUSABLE` and zeroes written by hand |
//! | [`send_packet`], [`receive_packet`], [`packet_pair`] | packets with borders and descriptors, in order, without waiting; new descriptors are not inherited by exec | SOCK_SEQPACKET, SCM_RIGHTS | SOCK_STREAM: every packet of one fixed length, a short one kept until its rest has come, its descriptors with its first byte; `FD_CLOEXEC` by a second call |
//! | [`either_of`] | a descriptor that is readable while one of two is | an epoll instance | a kqueue with two `EVFILT_READ`: it is readable itself |
//! | [`close_what_is_polled`] | in a child that was just forked: close what a poller waits for. No locks, no allocation | `/proc/self/fdinfo` | nothing to do for the poller, which is not inherited; `proc_pidinfo(PROC_PIDLISTFDS)` finds the sockets |
//! | [`lead_nowhere`] | in such a child: a number means a socket that nobody reaches | dup3 | `dup2` and `FD_CLOEXEC` |
//! | [`coarse_us`], [`coarse_step_us`], [`fine_us`] | the same monotonic clock in all processes; the coarse one without a system call | `CLOCK_MONOTONIC_COARSE`, `CLOCK_MONOTONIC` | `CLOCK_MONOTONIC_RAW_APPROX`, `CLOCK_MONOTONIC_RAW` |
//! | [`process_cpu_us`] | processor time of a process by its number | `clock_getcpuclockid` | `proc_pid_rusage` |
//! | [`own_thread`], [`thread_time`], [`is_runnable`] | processor time of another thread of this process, and whether it lacks a processor | `pthread_getcpuclockid`, `/proc/self/task` | `thread_info(THREAD_BASIC_INFO)` of its Mach port: `user_time`, `system_time`, `run_state` |
//!
//! What POSIX has (mmap, poll, fcntl, pthread_atfork, signals) is called where it is needed.

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
pub(crate) use linux::{
    Packet, close_what_is_polled, coarse_step_us, coarse_us, either_of, fine_us, fix_size,
    forbid_new_writers, forget_pages, is_runnable, lead_nowhere, memory_file, new_bell, own_thread,
    process_cpu_us, receive_packet, ring_bell, send_packet, silence_bell, thread_time, wait, wake,
};

#[cfg(all(test, target_os = "linux"))]
pub(crate) use linux::packet_pair;

#[cfg(not(target_os = "linux"))]
compile_error!(
    "pelton runs on Linux only so far. Another system needs a folder beside crates/link/src/system/linux that offers the same functions; \
     crates/link/src/system/mod.rs says what each of them must do."
);
