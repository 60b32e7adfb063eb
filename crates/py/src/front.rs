//! The class `Front`: starts the native front, and passes on what it is told and what it has to say.
//!
//! Owns the settings until the start and the handle after it. Every method that waits gives up the GIL first; all of them may be
//! called from any thread, also before the start and after the end.

use std::collections::HashMap;
use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pelton_front::{
    AccessRule, Challenges, Common, CompressionSettings, EdgeSettings, Encryption, ErrorPage, FieldRules,
    FrontHandle, HostPattern, Level, ListenerSettings, LocalCall, News, Origin, PathLimit, PathRule,
    Protocol, Proxies, RateRule, Role, Rules, SelfCallPolicy, Settings, StaticSettings, Streams, Told,
    WorkerLink,
};
use pelton_http::{ContentCoding, TrustedProxies, UnderscorePolicy, h2};
use pelton_link::{BodyArena, BodyPool, Doorbell, FrontEnd, FrontHalf, WaitingRoom};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::link::{Link, at_least_one, duplicate};
use crate::tls::Tls;

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

/// As [`seconds`], where 0 means that there is no limit.
fn limit(settings: &Bound<'_, PyAny>, name: &str) -> PyResult<Option<Duration>> {
    Ok(Some(seconds(settings, name)?).filter(|time| !time.is_zero()))
}

/// A time to wait, from Python's seconds: negative is none, and longer than a year is a year.
pub(crate) fn timeout_of(value: f64) -> PyResult<Duration> {
    if value.is_nan() {
        return Err(PyValueError::new_err("the timeout is not a number"));
    }
    Ok(Duration::from_secs_f64(value.clamp(0.0, LONGEST)))
}

fn number<'py, T: for<'a> FromPyObject<'a, 'py>>(settings: &Bound<'py, PyAny>, name: &str) -> PyResult<T> {
    settings
        .getattr(name)?
        .extract()
        .map_err(|_| PyValueError::new_err(format!("{name} is not a number in the range it can have")))
}

/// How responses are compressed.
fn compression_of(settings: &Bound<'_, PyAny>) -> PyResult<CompressionSettings> {
    let from = settings.getattr("compression")?;
    if from.is_none() {
        return Ok(CompressionSettings::default());
    }
    let names: Vec<String> = from.getattr("codings")?.extract()?;
    let codings = names.iter().map(|name| {
        ContentCoding::named(name.as_bytes())
            .ok_or_else(|| PyValueError::new_err(format!("there is no coding {name:?}")))
    });
    Ok(CompressionSettings {
        codings: codings.collect::<PyResult<_>>()?,
        types: from.getattr("types")?.extract()?,
        least: number(&from, "least")?,
        with_cookies: from.getattr("with_cookies")?.extract()?,
        padding: number(&from, "padding")?,
        most: number(&from, "most")?,
    })
}

/// How often clients may ask: of each rule the path, a number in so many seconds, the burst, the field that tells clients apart, and the host.
fn rate_limits_of(settings: &Bound<'_, PyAny>) -> PyResult<Vec<RateRule>> {
    let rules: Vec<(String, u32, f64, u32, String, String)> = settings.getattr("rate_limits")?.extract()?;
    let made = rules.into_iter().map(|(path, count, window, burst, field, host)| RateRule {
        host: HostPattern::new(&host),
        path: path.into_bytes(),
        count,
        window_us: (window * 1e6) as u64,
        burst,
        field: field.to_ascii_lowercase().into_bytes(),
    });
    Ok(made.collect())
}

type Pairs = Vec<(String, String)>;

/// What one network is called in the settings.
fn network_of(text: &str) -> PyResult<TrustedProxies> {
    TrustedProxies::parse(text).map_err(PyValueError::new_err)
}

/// Who may ask, own error pages, fields of requests and responses.
fn edge_of(settings: &Bound<'_, PyAny>) -> PyResult<EdgeSettings> {
    let from = settings.getattr("edge_rules")?;
    if from.is_none() {
        return Ok(EdgeSettings::default());
    }
    let access: Vec<(String, String, String, bool)> = from.getattr("access")?.extract()?;
    let access = access.into_iter().map(|(host, path, network, allows)| {
        let host = HostPattern::new(&host);
        Ok(AccessRule { host, path: path.into_bytes(), network: network_of(&network)?, allows })
    });
    let pages: Vec<(u16, String, Vec<u8>)> = from.getattr("error_pages")?.extract()?;
    let pages = pages.into_iter().map(|(status, media_type, body)| ErrorPage {
        status,
        media_type: media_type.into_bytes(),
        body: body.into(),
    });
    let names = |name: &str| -> PyResult<Vec<Vec<u8>>> {
        let names: Vec<String> = from.getattr(name)?.extract()?;
        Ok(names.into_iter().map(String::into_bytes).collect())
    };
    let pairs = |name: &str| -> PyResult<Vec<(Vec<u8>, Vec<u8>)>> {
        let pairs: Pairs = from.getattr(name)?.extract()?;
        Ok(pairs.into_iter().map(|(name, value)| (name.into_bytes(), value.into_bytes())).collect())
    };
    let rules = FieldRules {
        removed: names("removed_fields")?,
        defaults: pairs("default_fields")?,
        set: pairs("set_fields")?,
    };
    let changes = !(rules.removed.is_empty() && rules.defaults.is_empty() && rules.set.is_empty());
    Ok(EdgeSettings {
        access: access.collect::<PyResult<_>>()?,
        maintenance_allow: network_of(&from.getattr("maintenance_allow")?.extract::<String>()?)?,
        error_pages: pages.collect(),
        pages_for_application: from.getattr("pages_for_application")?.extract()?,
        response_fields: changes.then_some(rules),
        hidden_fields: names("hidden_fields")?,
        canonical_host: from.getattr("canonical_host")?.extract()?,
    })
}

/// How many requests of some paths run at once: of each limit the method, the path, the number, the bounds of its queue, and the host.
fn path_limits_of(settings: &Bound<'_, PyAny>) -> PyResult<Vec<PathLimit>> {
    let limits: Vec<(String, String, usize, usize, f64, String)> =
        settings.getattr("path_limits")?.extract()?;
    let made = limits.into_iter().map(|(method, path, count, queue_length, queue_seconds, host)| {
        let rule = path_rule(method, path, &host);
        Ok(PathLimit { rule, count, queue_length, queue_time: timeout_of(queue_seconds)? })
    });
    made.collect()
}

/// Which requests go before others: methods, paths and hosts.
fn priority_paths_of(settings: &Bound<'_, PyAny>) -> PyResult<Vec<PathRule>> {
    let rules: Vec<(String, String, String)> = settings.getattr("priority_paths")?.extract()?;
    Ok(rules.into_iter().map(|(method, path, host)| path_rule(method, path, &host)).collect())
}

fn path_rule(method: String, path: String, host: &str) -> PathRule {
    PathRule { method: method.into_bytes(), host: HostPattern::new(host), path: path.into_bytes() }
}

/// What may change while a front runs.
fn rules_of(settings: &Bound<'_, PyAny>) -> PyResult<Rules> {
    Ok(Rules {
        edge: edge_of(settings)?,
        rate_limits: rate_limits_of(settings)?,
        path_limits: path_limits_of(settings)?,
        priority_paths: priority_paths_of(settings)?,
    })
}

/// Which files are sent without the application, or where it names them.
fn static_files_of(settings: &Bound<'_, PyAny>, name: &str) -> PyResult<StaticSettings> {
    let from = settings.getattr(name)?;
    if from.is_none() {
        return Ok(StaticSettings::default());
    }
    Ok(StaticSettings {
        mounts: from.getattr("mounts")?.extract()?,
        index: from.getattr("index")?.extract()?,
        fallback: from.getattr("fallback")?.extract()?,
        fall_through: from.getattr("fall_through")?.extract()?,
        cache_control: from.getattr("cache_control")?.extract()?,
        media_types: from.getattr("media_types")?.extract()?,
        neighbours: from.getattr("neighbours")?.extract()?,
        open_files: number(&from, "open_files")?,
    })
}

/// Which requests are handed on before their bodies are complete.
fn streams_of(settings: &Bound<'_, PyAny>) -> PyResult<Streams> {
    let below: Vec<String> = settings.getattr("stream_path")?.extract()?;
    Ok(if settings.getattr("request_buffering")?.extract::<String>()? == "off" {
        Streams::Always
    } else if below.is_empty() {
        Streams::Never
    } else {
        Streams::Below(below.into_iter().map(String::into_bytes).collect())
    })
}

/// Where idle connections wait for the next front, if there is such a place.
fn waiting_room_of(settings: &Bound<'_, PyAny>) -> PyResult<Option<Arc<WaitingRoom>>> {
    let [exit, entrance] =
        [settings.getattr("waiting_out")?.extract()?, settings.getattr("waiting_in")?.extract()?];
    if exit < 0 {
        return Ok(None);
    }
    Ok(Some(Arc::new(WaitingRoom::new(duplicate(exit)?, duplicate(entrance)?))))
}

fn read_settings(from: &Bound<'_, PyAny>) -> PyResult<Settings> {
    Ok(Settings {
        max_head_bytes: number(from, "max_head_bytes")?,
        max_fields: number(from, "max_fields")?,
        max_line_bytes: number(from, "max_line_bytes")?,
        underscore_fields: match &*from.getattr("underscore_fields")?.extract::<String>()? {
            "drop" => UnderscorePolicy::Drop,
            "refuse" => UnderscorePolicy::Refuse,
            "allow" => UnderscorePolicy::Allow,
            other => return Err(PyValueError::new_err(format!("underscore_fields cannot be {other:?}"))),
        },
        http2: h2::Bounds {
            streams: number(from, "http2_streams")?,
            stream_window: number(from, "http2_stream_window")?,
            connection_window: number(from, "http2_connection_window")?,
            continuations: number(from, "http2_continuations")?,
            resets: number(from, "http2_resets")?,
            stalled: number(from, "http2_stalled")?,
            control_frames: number(from, "http2_control_frames")?,
            websockets: number::<u64>(from, "websocket_threads")? > 0,
        },
        max_body_bytes: number(from, "max_body_bytes")?,
        body_memory_bytes: number(from, "body_memory_bytes")?,
        spool_directory: from.getattr("spool_directory")?.extract::<PathBuf>()?,
        spool_bytes: number(from, "spool_bytes")?,
        streams: streams_of(from)?,
        response_buffer_bytes: number(from, "response_buffer_bytes")?,
        response_memory_bytes: number(from, "response_memory_bytes")?,
        response_file_bytes: number(from, "response_file_bytes")?,
        proxies: Proxies {
            trusted: TrustedProxies::parse(&from.getattr("trusted_proxies")?.extract::<String>()?)
                .map_err(PyValueError::new_err)?,
            removes_untrusted: from.getattr("untrusted_forwarding")?.extract::<String>()? == "remove",
            proxy_protocol: from.getattr("proxy_protocol")?.extract()?,
        },
        max_connections: number(from, "max_connections")?,
        connections_per_client: number(from, "connections_per_client")?,
        requests_per_connection: number(from, "requests_per_connection")?,
        offers_sockets: number::<u64>(from, "websocket_threads")? > 0,
        queue_length: number(from, "queue_length")?,
        queue_time: seconds(from, "queue_seconds")?,
        retry_after_seconds: number(from, "retry_after_seconds")?,
        head_time: seconds(from, "head_seconds")?,
        body_idle_time: seconds(from, "body_idle_seconds")?,
        keep_alive_time: seconds(from, "keep_alive_seconds")?,
        body_time: limit(from, "body_seconds")?,
        body_rate: number(from, "body_rate")?,
        write_idle_time: seconds(from, "write_idle_seconds")?,
        write_rate: number(from, "write_rate")?,
        access_log: number(from, "access_log_descriptor")?,
        compression: compression_of(from)?,
        static_files: static_files_of(from, "static_files")?,
        named_files: static_files_of(from, "named_files")?,
        edge: edge_of(from)?,
        statsd: number(from, "statsd_descriptor")?,
        statsd_prefix: from.getattr("statsd_prefix")?.extract()?,
        statsd_tags: from.getattr("statsd_tags")?.extract()?,
        log_health: from.getattr("access_log_health")?.extract()?,
        traces: from.getattr("traces")?.extract()?,
        request_ids: from.getattr("request_id")?.extract()?,
        trust_request_id: from.getattr("trust_request_id")?.extract()?,
        server_timing: from.getattr("server_timing")?.extract()?,
        request_time: limit(from, "request_timeout")?,
        interrupt_grace: seconds(from, "request_timeout_grace")?,
        worker_time: limit(from, "worker_timeout")?,
        health_path: from.getattr("health_path")?.extract()?,
        admin_token: from.getattr("admin_token")?.extract()?,
        processors: from.getattr("processors")?.extract()?,
        cache_bytes: number(from, "cache_bytes")?,
        rate_limits: rate_limits_of(from)?,
        path_limits: path_limits_of(from)?,
        priority_paths: priority_paths_of(from)?,
        self_call: match &*from.getattr("self_call")?.extract::<String>()? {
            "off" => SelfCallPolicy::Off,
            "warn" => SelfCallPolicy::Warn,
            "lend" => SelfCallPolicy::Lend,
            other => return Err(PyValueError::new_err(format!("self_call cannot be {other:?}"))),
        },
        debugger_affinity: from.getattr("debugger_affinity")?.extract()?,
        session_affinity: from.getattr("affinity")?.extract::<String>()? == "session",
        handshake_time: seconds(from, "handshake_seconds")?,
        handshakes_at_once: number(from, "handshakes_at_once")?,
        handshake_rate: number(from, "handshake_rate")?,
        transport_security: match number::<u64>(from, "hsts_seconds")? {
            0 => None,
            seconds => Some(format!("max-age={seconds}").into_bytes()),
        },
        waiting_room: waiting_room_of(from)?,
    })
}

/// An address and a port.
type Address = (String, u16);
/// A request's number, the process at the other end of its connection, or the addresses of both ends.
type Call = (u64, Option<u32>, Option<(Address, Address)>);

/// Something the front wants a person to know.
#[pyclass(frozen, module = "pelton._engine")]
pub struct Notice {
    notice: pelton_front::Notice,
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

    /// What happened, where, what to do; empty when there is only an event.
    #[getter]
    fn message(&self) -> &str {
        &self.notice.message
    }

    /// What happened to a worker, if that is it.
    #[getter]
    fn event(&self) -> Option<&'static str> {
        if self.notice.question.is_some() {
            return Some("waiting");
        }
        self.notice.news.map(|(news, _)| match news {
            News::Added => "added",
            News::Quiet => "quiet",
            News::Spent => "spent",
            News::Stuck => "stuck",
            News::Frozen => "frozen",
        })
    }

    /// A request on an admin listener that is to be responded to: number, method, path, query, what is accepted, and
    /// what the front knows, as JSON.
    #[getter]
    fn asked(&self) -> Option<(u64, &str, &str, &str, &str, &str)> {
        let one = self.notice.asked.as_deref()?;
        Some((one.number, &one.method, &one.path, &one.query, &one.accept, &one.state))
    }

    /// The worker that it happened to.
    #[getter]
    fn worker(&self) -> Option<u64> {
        self.notice.news.map(|(_, worker)| worker)
    }

    /// Requests that wait and were made on this machine: number, and either the process at the other end or the addresses of both ends.
    #[getter]
    fn local_calls(&self) -> Vec<Call> {
        let told = |call: &LocalCall| match call.origin {
            Origin::Process(pid) => (call.number, Some(pid), None),
            Origin::Tcp(peer, own) => {
                let told = |address: SocketAddr| (address.ip().to_string(), address.port());
                (call.number, None, Some((told(peer), told(own))))
            }
        };
        self.notice.question.iter().flat_map(|question| &question.calls).map(told).collect()
    }

    /// The processes of all workers, where there are such requests.
    #[getter]
    fn processes(&self) -> Vec<u32> {
        self.notice.question.iter().flat_map(|question| &question.workers).copied().collect()
    }
}

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
        self.started()?.respond(number, Told { status, fields, body });
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
