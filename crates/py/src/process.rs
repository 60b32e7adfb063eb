//! What the supervisor and its processes ask of the system, where Python has no function for it.
//!
//! Each starts no thread and keeps nothing, so all of them may be used before a fork.

use std::io;
use std::os::fd::{IntoRawFd, RawFd};

use pyo3::prelude::*;

use crate::link::at_least_one;

/// Memory for the slots between one front and one worker process.
#[pyfunction]
pub(crate) fn link_memory(threads: usize) -> PyResult<RawFd> {
    Ok(pelton_link::link_memory(at_least_one(threads)?)?.into_raw_fd())
}

/// Memory for the request bodies of one front.
#[pyfunction]
pub(crate) fn body_memory() -> PyResult<RawFd> {
    Ok(pelton_link::body_memory()?.into_raw_fd())
}

/// Have this process killed when its parent ends.
#[pyfunction]
pub(crate) fn die_with_parent() -> PyResult<()> {
    control(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong)
}

/// Become the parent of those descendants whose own parent ends.
#[pyfunction]
pub(crate) fn adopt_orphans() -> PyResult<()> {
    control(libc::PR_SET_CHILD_SUBREAPER, 1)
}

/// Have a signal do in forked children what it does by default, from now on or no more.
#[pyfunction]
pub(crate) fn own_signal(number: u32, is_own: bool) {
    pelton_link::own_signal(number, is_own);
}

fn control(option: libc::c_int, value: libc::c_ulong) -> PyResult<()> {
    let unused: libc::c_ulong = 0;
    // SAFETY: both options take one integer and no pointers.
    if unsafe { libc::prctl(option, value, unused, unused, unused) } != 0 {
        return Err(io::Error::last_os_error().into());
    }
    Ok(())
}
