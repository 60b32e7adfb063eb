//! Links as a worker process gets them: what is refused, and that there is no second of anything.
#![allow(clippy::unwrap_used, reason = "failing is how a test reports")]

use std::os::fd::{AsFd, AsRawFd};

use _engine::Link;
use pelton_link::{Doorbell, body_memory, link_memory};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

fn joined<'py>(
    py: Python<'py>,
    threads: usize,
    memory: i32,
    bodies: i32,
    doorbell: i32,
) -> PyResult<Bound<'py, Link>> {
    // Any descriptor will do as long as no file is sent.
    let link = py.get_type::<Link>().call_method1("joined", (threads, memory, bodies, doorbell, doorbell))?;
    Ok(link.cast_into::<Link>()?)
}

#[test]
fn only_what_fits_is_joined_and_its_front_is_elsewhere() {
    let (memory, bodies, doorbell) =
        (link_memory(2).unwrap(), body_memory().unwrap(), Doorbell::new().unwrap());
    let (memory, bodies, doorbell) = (memory.as_raw_fd(), bodies.as_raw_fd(), doorbell.as_fd().as_raw_fd());
    Python::attach(|py| {
        let is_value = |link: PyResult<_>| link.is_err_and(|error| error.is_instance_of::<PyValueError>(py));
        let is_system = |link: PyResult<_>| link.is_err_and(|error| error.is_instance_of::<PyOSError>(py));
        assert!(is_value(joined(py, 0, memory, bodies, doorbell)));
        assert!(is_value(joined(py, 2, -1, bodies, doorbell)));
        assert!(is_system(joined(py, 2, i32::MAX, bodies, doorbell)));
        assert!(is_system(joined(py, 500, memory, bodies, doorbell)), "too little memory");
        assert!(is_system(joined(py, 2, memory, memory, doorbell)), "no place for bodies");

        let link = joined(py, 2, memory, bodies, doorbell).unwrap();
        assert_eq!(link.getattr("slots").unwrap().extract::<usize>().unwrap(), 64);
        assert!(link.get().take_front_half().is_err());
        link.call_method0("sever").unwrap();
        link.call_method0("sever").unwrap();
    });
}
