//! What the front needs of the operating system beyond POSIX, mio and socket2: the only folder of this crate that may name a call of one system.
//!
//! `linux` is the only implementation, and Linux the only system that is claimed. A port is a folder beside it with the same functions and
//! nothing else; all that is said of macOS here comes from its documentation, and nobody has tried it. Readiness is mio's (epoll, kqueue), and
//! so is sendfile socket2's.
//!
//! | what | what it must do | Linux | nearest on macOS |
//! | --- | --- | --- | --- |
//! | [`accept`] | the next connection, non-blocking, not inherited by exec | accept4 | `accept`, then `FD_CLOEXEC`, `O_NONBLOCK` and `SO_NOSIGPIPE` |
//! | [`concerns_one_connection`] | which errors of accept say nothing about the listener | pending network errors | `ECONNABORTED`, `EINTR` |
//! | [`waiting_on`] | connections that nobody has accepted | `TCP_INFO` of the listener | `SO_LISTENQLEN` |
//! | [`SEND`], [`SEND_BEFORE_MORE`] | flags of send: no signal when the client has gone; more follows at once | `MSG_NOSIGNAL`, `MSG_MORE` | none, after `SO_NOSIGPIPE`; `TCP_NOPUSH` around it, or nothing |
//! | [`unacknowledged`] | bytes that the client's machine has not confirmed | `TIOCOUTQ` | `SO_NWRITE` |
//! | [`peer_process`] | who has connected a unix socket | `SO_PEERCRED` | `LOCAL_PEERPID` |
//! | [`peek_packet`] | look at a packet and its descriptor, and leave it there | SOCK_SEQPACKET, `MSG_PEEK` | SOCK_STREAM with one message in it: `MSG_PEEK` duplicates descriptors there too |
//! | [`open_folder`], [`open_beneath`] | a folder to look in; a name resolved beneath it, whatever links somebody makes meanwhile | openat2, `RESOLVE_BENEATH`; without it part by part | `O_RESOLVE_BENEATH` (since 15), or part by part with `O_NOFOLLOW`; `O_SEARCH` for the folder |
//! | [`read_at_once`] | bytes of a file if they are in memory; WouldBlock if a disk would be waited for | preadv2, `RWF_NOWAIT` | `mincore` of a mapping |
//! | [`random`] | bytes that nobody can guess | getrandom | `getentropy` |

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
pub(crate) use linux::{
    SEND, SEND_BEFORE_MORE, accept, concerns_one_connection, open_beneath, open_folder, peek_packet,
    peer_process, random, read_at_once, unacknowledged, waiting_on,
};

#[cfg(all(test, target_os = "linux"))]
pub(crate) use linux::{open_by_kernel, open_part_by_part};

#[cfg(not(target_os = "linux"))]
compile_error!(
    "pelton runs on Linux only so far. Another system needs a folder beside crates/front/src/system/linux that offers the same functions; \
     crates/front/src/system/mod.rs says what each of them must do."
);
