//! The class `Front`: starts the native front, and passes orders to it and its notices to Python.
//!
//! Owns the settings until the start and the handle after it. Every method that waits gives up the GIL first; all of them may be
//! called from any thread, also before the start and after the end.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pelton_front::{
    AdminResponse, Challenges, Common, Encryption, FrontHandle, ListenerSettings, Protocol, Role, Settings,
    WorkerLink,
};
use pelton_link::{BodyArena, BodyPool, Doorbell, FrontEnd, FrontHalf};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::front_settings::{read_settings, rules_of, timeout_of};
use crate::link::{Link, at_least_one, duplicate};
use crate::notice::Notice;
use crate::tls::Tls;

/// A listener as Python describes it: its descriptor, its role, and whether it is encrypted.
type Described = (RawFd, String, bool);

fn listener((descriptor, role, tls): Described, is_h2c: bool) -> PyResult<ListenerSettings> {
    let role = match &*role {
        "application" => Role::Application,
        "redirect" => Role::Redirect,
        "admin" => Role::Admin,
        "agent" => Role::Agent,
        other => return Err(PyValueError::new_err(format!("a listener cannot be for {other:?}"))),
    };
    let protocol = if is_h2c { Protocol::Either } else { Protocol::Http1 };
    Ok(ListenerSettings { socket: duplicate(descriptor)?, role, protocol, tls })
}

fn encryption(tls: &Bound<'_, Tls>) -> Encryption {
    let tls = tls.get();
    Encryption { tls: tls.tls.clone(), asks_for_certificates: tls.asks_for_certificates }
}

/// The number of the worker in a process that has no supervisor to number them.
const ONLY_WORKER: u64 = 1;

struct Planned {
    settings: Settings,
    listeners: Vec<ListenerSettings>,
    common: Common,
    encryption: Option<Encryption>,
    /// The worker of the same process.
    worker: Option<WorkerLink>,
}

enum Stage {
    Planned(Box<Planned>),
    Running(Arc<FrontHandle>),
    /// Starting failed.
    Void,
}

/// Owns listeners and connections; runs on its own native thread and never takes the GIL.
#[pyclass(frozen, module = "pelton._engine")]
pub struct Front {
    stage: Mutex<Stage>,
    /// With which its event loop shows that it runs.
    pulse: Option<Arc<Doorbell>>,
}

impl Front {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self) -> Option<Arc<FrontHandle>> {
        match &*self.stage() {
            // In a forked child there is none.
            Stage::Running(handle) if handle.is_foreign() => None,
            Stage::Running(handle) => Some(Arc::clone(handle)),
            Stage::Planned(_) | Stage::Void => None,
        }
    }

    fn started(&self) -> PyResult<Arc<FrontHandle>> {
        self.handle()
            .ok_or_else(|| PyRuntimeError::new_err("this front has not been started in this process"))
    }
}

#[pymethods]
impl Front {
    #[new]
    #[allow(clippy::too_many_arguments, reason = "they have names where it is called")]
    #[pyo3(signature = (settings, listeners, link=None, *, bodies=-1, doorbell=-1, pulse=-1, tls=None, h2c=vec![]))]
    fn new(
        settings: &Bound<'_, PyAny>,
        listeners: Vec<Described>,
        link: Option<&Bound<'_, Link>>,
        bodies: RawFd,
        doorbell: RawFd,
        pulse: RawFd,
        tls: Option<&Bound<'_, Tls>>,
        h2c: Vec<usize>,
    ) -> PyResult<Self> {
        let settings = read_settings(settings)?;
        let listeners = listeners
            .into_iter()
            .enumerate()
            .map(|(index, described)| listener(described, h2c.contains(&index)))
            .collect::<PyResult<Vec<_>>>()?;
        let (common, worker) = match link {
            Some(link) => {
                let FrontHalf { end, bodies, doorbell } = link.get().take_front_half()?;
                let (number, pid) = (ONLY_WORKER, std::process::id());
                let threads = link.get().threads();
                (
                    Common { bodies, doorbell },
                    Some(WorkerLink { number, pid, threads, end, request_limit: 0 }),
                )
            }
            None => {
                let arena = BodyArena::shared_for_front(&File::from(duplicate(bodies)?))?;
                let doorbell = Arc::new(Doorbell::from_descriptor(duplicate(doorbell)?));
                (Common { bodies: BodyPool::new(Arc::new(arena)), doorbell }, None)
            }
        };
        let planned = Planned { settings, listeners, common, encryption: tls.map(encryption), worker };
        // Kept from the start on: when it is asked for there may be no descriptor left.
        let pulse = (pulse >= 0)
            .then(|| duplicate(pulse).map(|pulse| Arc::new(Doorbell::from_descriptor(pulse))))
            .transpose()?;
        Ok(Front { stage: Mutex::new(Stage::Planned(Box::new(planned))), pulse })
    }

    /// Start the front's thread; with a worker of this process, also accept.
    fn start(&self) -> PyResult<()> {
        let mut stage = self.stage();
        match std::mem::replace(&mut *stage, Stage::Void) {
            Stage::Planned(planned) => {
                let Planned { settings, listeners, common, encryption, worker } = *planned;
                let handle = pelton_front::start(settings, listeners, common)?;
                if let Some(encryption) = encryption {
                    handle.encrypt(encryption);
                }
                if let Some(worker) = worker {
                    handle.add_worker(worker);
                    handle.accept();
                }
                *stage = Stage::Running(Arc::new(handle));
                Ok(())
            }
            other => {
                *stage = other;
                Err(PyRuntimeError::new_err("this front has been started already"))
            }
        }
    }

    /// Accept connections from now on.
    fn accept(&self) -> PyResult<()> {
        self.started()?.accept();
        Ok(())
    }

    /// Hand requests to this worker process, too.
    fn add_worker(
        &self,
        worker: u64,
        pid: u32,
        threads: usize,
        memory: RawFd,
        socket: RawFd,
        request_limit: u64,
    ) -> PyResult<()> {
        let handle = self.started()?;
        let memory = File::from(duplicate(memory)?);
        let end = FrontEnd::join(&memory, duplicate(socket)?, at_least_one(threads)?)?;
        handle.add_worker(WorkerLink { number: worker, pid, threads, end, request_limit });
        Ok(())
    }

    /// Go on with other rules about requests and responses.
    fn change_rules(&self, settings: &Bound<'_, PyAny>) -> PyResult<()> {
        self.started()?.change_rules(rules_of(settings)?);
        Ok(())
    }

    /// Send the files of a folder.
    fn mount(&self, prefix: String, folder: Vec<u8>) -> PyResult<()> {
        self.started()?.mount(prefix, folder);
        Ok(())
    }

    /// Hand no more requests to a worker.
    fn retire_worker(&self, worker: u64) -> PyResult<()> {
        self.started()?.retire_worker(worker);
        Ok(())
    }

    /// A worker's process has ended.
    fn worker_died(&self, worker: u64, how: String) -> PyResult<()> {
        self.started()?.worker_died(worker, how);
        Ok(())
    }

    /// One of a notice's local calls was made by this worker process.
    fn called_itself(&self, number: u64, pid: u32) -> PyResult<()> {
        self.started()?.called_itself(number, pid);
        Ok(())
    }

    /// Whether readiness checks may say so.
    fn set_ready(&self, ready: bool) -> PyResult<()> {
        self.started()?.set_ready(ready);
        Ok(())
    }

    /// Have the event loop count up the pulse.
    fn answer(&self) -> PyResult<()> {
        if let Some(pulse) = &self.pulse {
            self.started()?.answer(Arc::clone(pulse));
        }
        Ok(())
    }

    /// Encrypt new connections with this from now on.
    fn encrypt(&self, tls: &Bound<'_, Tls>) -> PyResult<()> {
        self.started()?.encrypt(encryption(tls));
        Ok(())
    }

    /// What ACME servers find below /.well-known/acme-challenge/ from now on: texts by their names.
    fn set_challenges(&self, challenges: HashMap<String, String>) -> PyResult<()> {
        let challenges: Challenges =
            challenges.into_iter().map(|(token, text)| (token.into_bytes(), text)).collect();
        self.started()?.set_challenges(challenges);
        Ok(())
    }

    /// Respond to the request of a notice's `asked`.
    fn respond(
        &self,
        number: u64,
        status: u16,
        fields: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> PyResult<()> {
        if !(200..600).contains(&status) {
            return Err(PyValueError::new_err("this is no status of a response"));
        }
        self.started()?.respond(number, AdminResponse { status, fields, body });
        Ok(())
    }

    /// Where access lines go from now on.
    fn set_access_log(&self, descriptor: RawFd) -> PyResult<()> {
        Ok(self.started()?.set_access_log(descriptor)?)
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
        let timeout = timeout.map(timeout_of).transpose()?;
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
