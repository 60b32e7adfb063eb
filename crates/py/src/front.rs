//! The class `Front`: starts the native front, and passes on what it is told and what it has to say.
//!
//! Owns the settings until the start and the handle after it. Every method that waits gives up the GIL first; all of them may be
//! called from any thread, also before the start and after the end.

use std::collections::HashMap;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use penstock_front::{FrontHandle, Level, Settings};
use penstock_link::FrontHalf;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::link::Link;

/// A time so long that it never comes, and short enough that adding it to a clock cannot overflow.
const LONGEST: f64 = 366.0 * 86_400.0;

fn seconds(settings: &Bound<'_, PyAny>, name: &str) -> PyResult<Duration> {
    let value: f64 = settings.getattr(name)?.extract()?;
    if !(0.0..=LONGEST).contains(&value) {
        return Err(PyValueError::new_err(format!(
            "{name} must be between 0 and {LONGEST} seconds, not {value}"
        )));
    }
    Ok(Duration::from_secs_f64(value))
}

fn number<'py, T: for<'a> FromPyObject<'a, 'py>>(settings: &Bound<'py, PyAny>, name: &str) -> PyResult<T> {
    settings
        .getattr(name)?
        .extract()
        .map_err(|_| PyValueError::new_err(format!("{name} is not a number in the range it can have")))
}

fn read_settings(from: &Bound<'_, PyAny>) -> PyResult<Settings> {
    Ok(Settings {
        max_head_bytes: number(from, "max_head_bytes")?,
        max_fields: number(from, "max_fields")?,
        max_body_bytes: number(from, "max_body_bytes")?,
        body_memory_bytes: number(from, "body_memory_bytes")?,
        spool_directory: from.getattr("spool_directory")?.extract::<PathBuf>()?,
        response_buffer_bytes: number(from, "response_buffer_bytes")?,
        max_connections: number(from, "max_connections")?,
        queue_length: number(from, "queue_length")?,
        queue_time: seconds(from, "queue_seconds")?,
        retry_after_seconds: number(from, "retry_after_seconds")?,
        head_time: seconds(from, "head_seconds")?,
        body_idle_time: seconds(from, "body_idle_seconds")?,
        keep_alive_time: seconds(from, "keep_alive_seconds")?,
        write_idle_time: seconds(from, "write_idle_seconds")?,
        access_log: number(from, "access_log_descriptor")?,
    })
}

/// Something the front wants a person to know.
#[pyclass(frozen, module = "penstock._engine")]
pub struct Notice {
    notice: penstock_front::Notice,
}

#[pymethods]
impl Notice {
    /// How serious it is: "debug", "info", "warning" or "error".
    #[getter]
    fn level(&self) -> &'static str {
        match self.notice.level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }

    /// What happened, where, what to do.
    #[getter]
    fn message(&self) -> &str {
        &self.notice.message
    }
}

struct Planned {
    settings: Settings,
    listeners: Vec<OwnedFd>,
    half: FrontHalf,
    threads: usize,
}

enum Stage {
    Planned(Box<Planned>),
    Running(Arc<FrontHandle>),
    /// Starting failed.
    Void,
}

/// Owns listeners and connections; runs on its own native thread and never takes the GIL.
#[pyclass(frozen, module = "penstock._engine")]
pub struct Front {
    stage: Mutex<Stage>,
}

impl Front {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self) -> Option<Arc<FrontHandle>> {
        match &*self.stage() {
            Stage::Running(handle) => Some(Arc::clone(handle)),
            Stage::Planned(_) | Stage::Void => None,
        }
    }
}

#[pymethods]
impl Front {
    #[new]
    fn new(settings: &Bound<'_, PyAny>, listeners: Vec<RawFd>, link: &Bound<'_, Link>) -> PyResult<Self> {
        let settings = read_settings(settings)?;
        let listeners = listeners
            .into_iter()
            .map(|raw| {
                if raw < 0 {
                    return Err(PyValueError::new_err(format!("{raw} is not a descriptor")));
                }
                // SAFETY: not negative; whether it is open is found out by duplicating it, at once.
                Ok(unsafe { BorrowedFd::borrow_raw(raw) }.try_clone_to_owned()?)
            })
            .collect::<PyResult<Vec<_>>>()?;
        let half = link.get().take_front_half()?;
        let planned = Planned { settings, listeners, half, threads: link.get().threads() };
        Ok(Front { stage: Mutex::new(Stage::Planned(Box::new(planned))) })
    }

    /// Start accepting.
    fn start(&self) -> PyResult<()> {
        let mut stage = self.stage();
        match std::mem::replace(&mut *stage, Stage::Void) {
            Stage::Planned(planned) => {
                let Planned { settings, listeners, half, threads } = *planned;
                let handle = penstock_front::start(settings, listeners, half, threads)?;
                *stage = Stage::Running(Arc::new(handle));
                Ok(())
            }
            other => {
                *stage = other;
                Err(PyRuntimeError::new_err("this front has been started already"))
            }
        }
    }

    /// Close the listeners and idle connections; requests already received are still answered.
    fn drain(&self) {
        if let Some(handle) = self.handle() {
            handle.drain();
        }
    }

    /// Close everything now, whatever is running.
    fn stop(&self) {
        if let Some(handle) = self.handle() {
            handle.stop();
        }
    }

    /// Wait for the front's thread to end; False when the time (seconds) ran out first.
    #[pyo3(signature = (timeout=None))]
    fn join(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let timeout = match timeout {
            Some(value) if value.is_nan() => {
                return Err(PyValueError::new_err("the timeout is not a number"));
            }
            Some(value) => Some(Duration::from_secs_f64(value.clamp(0.0, LONGEST))),
            None => None,
        };
        // A front that never started has nothing to wait for.
        Ok(self.handle().is_none_or(|handle| py.detach(|| handle.join(timeout))))
    }

    /// Wait for the next notice; None when the front has ended and none is left.
    fn next_notice(&self, py: Python<'_>) -> Option<Notice> {
        let handle = self.handle()?;
        py.detach(|| handle.next_notice()).map(|notice| Notice { notice })
    }

    /// Everything that is counted, by name.
    fn counters(&self) -> HashMap<&'static str, u64> {
        self.handle().map(|handle| handle.counters().into_iter().collect()).unwrap_or_default()
    }
}
