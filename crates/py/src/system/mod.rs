//! What the native module needs of the operating system beyond POSIX: the only folder of this crate that may name a call of one system.
//!
//! `linux` is the only implementation, and Linux the only system that is claimed. A port is a file beside it with the same functions and
//! nothing else; all that is said of macOS here comes from its documentation, and nobody has tried it.
//!
//! | what | what it must do | Linux | nearest on macOS |
//! | --- | --- | --- | --- |
//! | [`die_with_parent`] | this process is killed when its parent ends | `PR_SET_PDEATHSIG` | a thread that waits for `EVFILT_PROC` with `NOTE_EXIT` of the parent, and ends the process |
//! | [`adopt_orphans`] | become the parent of descendants whose own parent ends | `PR_SET_CHILD_SUBREAPER` | nothing: they go to launchd, and the supervisor has to watch them by `EVFILT_PROC` |
//! | [`run_delay`] | how long the calling thread has waited for a processor; 0 where nobody knows | `/proc/thread-self/schedstat` | 0 |
//! | [`READ_END`] | what poll asks for to learn that the other end will send nothing more, while there may be something to read | `POLLRDHUP` | `EVFILT_READ` with `EV_EOF`; poll has only `POLLHUP`, for both directions |

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
pub(crate) use linux::{READ_END, adopt_orphans, die_with_parent, run_delay};

#[cfg(not(target_os = "linux"))]
compile_error!(
    "pelton runs on Linux only so far. Another system needs a file beside crates/py/src/system/linux.rs that offers the same functions; \
     crates/py/src/system/mod.rs says what each of them must do."
);
