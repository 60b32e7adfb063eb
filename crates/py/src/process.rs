//! What the supervisor and its processes ask of the system, where Python has no function for it.
//!
//! Each starts no thread and keeps nothing, so all of them may be used before a fork.

use std::os::fd::{IntoRawFd, RawFd};

use pyo3::prelude::*;

use crate::link::at_least_one;
use crate::system;

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
    Ok(system::die_with_parent()?)
}

/// Become the parent of those descendants whose own parent ends.
#[pyfunction]
pub(crate) fn adopt_orphans() -> PyResult<()> {
    Ok(system::adopt_orphans()?)
}

/// Have a signal do in forked children what it does by default, from now on or no more.
#[pyfunction]
pub(crate) fn own_signal(number: u32, is_own: bool) {
    pelton_link::own_signal(number, is_own);
}
