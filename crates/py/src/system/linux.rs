//! Linux: see the table in [`super`].

use std::io;
use std::time::Duration;

/// What poll asks for to learn that the other end will send nothing more.
pub(crate) const READ_END: libc::c_short = libc::POLLRDHUP;

/// Has this process killed when its parent ends.
pub(crate) fn die_with_parent() -> io::Result<()> {
    control(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong)
}

/// Makes this process the parent of those descendants whose own parent ends.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    control(libc::PR_SET_CHILD_SUBREAPER, 1)
}

fn control(option: libc::c_int, value: libc::c_ulong) -> io::Result<()> {
    let unused: libc::c_ulong = 0;
    // SAFETY: both options take one integer and no pointers.
    if unsafe { libc::prctl(option, value, unused, unused, unused) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// How long the calling thread has waited for a processor in its life; 0 where the kernel does not tell.
pub(crate) fn run_delay() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let delay = text.split_ascii_whitespace().nth(1).and_then(|field| field.parse().ok());
    Duration::from_nanos(delay.unwrap_or_default())
}
