//! The front's settings, read from the Python object that has them.
//!
//! Owns how each of them is checked here a last time; what they mean, and their defaults, is the settings table's. Must not know the front.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pelton_front::{
    AccessRule, Composed, CompressionSettings, EdgeSettings, ErrorPage, FieldRules, HandshakeSettings,
    HostPattern, PathLimit, PathRule, Proxies, RateRule, Rules, SelfCallPolicy, Settings, Source,
    StaticSettings, StatsdSettings, Streams,
};
use pelton_http::{ContentCoding, TrustedProxies, UnderscorePolicy, h2};
use pelton_link::WaitingRoom;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::link::duplicate;

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
    settings.getattr(name)?.extract().map_err(|_| out_of_range(name))
}

fn out_of_range(name: &str) -> PyErr {
    PyValueError::new_err(format!("{name} is not a value that it can have"))
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
pub(crate) fn rules_of(settings: &Bound<'_, PyAny>) -> PyResult<Rules> {
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

/// What the word of a setting means.
fn one_of<T, const N: usize>(from: &Bound<'_, PyAny>, name: &str, words: [(&str, T); N]) -> PyResult<T> {
    let word: String = from.getattr(name)?.extract()?;
    let found = words.into_iter().find(|(one, _)| *one == word);
    found
        .map(|(_, meaning)| meaning)
        .ok_or_else(|| PyValueError::new_err(format!("{name} cannot be {word:?}")))
}

fn underscores_of(from: &Bound<'_, PyAny>) -> PyResult<UnderscorePolicy> {
    let words = [
        ("drop", UnderscorePolicy::Drop),
        ("refuse", UnderscorePolicy::Refuse),
        ("allow", UnderscorePolicy::Allow),
    ];
    one_of(from, "underscore_fields", words)
}

fn http2_of(from: &Bound<'_, PyAny>) -> PyResult<h2::Bounds> {
    Ok(h2::Bounds {
        streams: number(from, "http2_streams")?,
        stream_window: number(from, "http2_stream_window")?,
        connection_window: number(from, "http2_connection_window")?,
        continuations: number(from, "http2_continuations")?,
        resets: number(from, "http2_resets")?,
        stalled: number(from, "http2_stalled")?,
        control_frames: number(from, "http2_control_frames")?,
        websockets: number::<u64>(from, "websocket_threads")? > 0,
    })
}

fn proxies_of(from: &Bound<'_, PyAny>) -> PyResult<Proxies> {
    Ok(Proxies {
        trusted: TrustedProxies::parse(&from.getattr("trusted_proxies")?.extract::<String>()?)
            .map_err(PyValueError::new_err)?,
        removes_untrusted: from.getattr("untrusted_forwarding")?.extract::<String>()? == "remove",
        proxy_protocol: from.getattr("proxy_protocol")?.extract()?,
    })
}

fn self_call_of(from: &Bound<'_, PyAny>) -> PyResult<SelfCallPolicy> {
    let words =
        [("off", SelfCallPolicy::Off), ("warn", SelfCallPolicy::Warn), ("lend", SelfCallPolicy::Lend)];
    one_of(from, "self_call", words)
}

/// The field `Strict-Transport-Security`, if there is to be one.
fn transport_security_of(from: &Bound<'_, PyAny>) -> PyResult<Option<Vec<u8>>> {
    let age = number::<u64>(from, "hsts_seconds")?;
    Ok((age > 0).then(|| format!("max-age={age}").into_bytes()))
}

fn statsd_of(from: &Bound<'_, PyAny>) -> PyResult<StatsdSettings> {
    Ok(StatsdSettings {
        socket: number(from, "statsd_descriptor")?,
        prefix: from.getattr("statsd_prefix")?.extract()?,
        tags: from.getattr("statsd_tags")?.extract()?,
    })
}

fn handshakes_of(from: &Bound<'_, PyAny>) -> PyResult<HandshakeSettings> {
    Ok(HandshakeSettings {
        time: seconds(from, "handshake_seconds")?,
        at_once: number(from, "handshakes_at_once")?,
        rate: number(from, "handshake_rate")?,
    })
}

/// Python's object of settings.
struct Table<'a, 'py>(&'a Bound<'py, PyAny>);

impl Table<'_, '_> {
    fn value<T: for<'a, 'py> FromPyObject<'a, 'py>>(&self, name: &str) -> PyResult<T> {
        number(self.0, name)
    }
}

impl Source for Table<'_, '_> {
    type Error = PyErr;

    fn number<T: TryFrom<i128>>(&self, name: &str) -> PyResult<T> {
        T::try_from(self.value::<i128>(name)?).map_err(|_| out_of_range(name))
    }

    fn fraction(&self, name: &str) -> PyResult<f64> {
        self.value(name)
    }

    fn flag(&self, name: &str) -> PyResult<bool> {
        self.value(name)
    }

    fn text(&self, name: &str) -> PyResult<Option<String>> {
        self.value(name)
    }

    fn path(&self, name: &str) -> PyResult<PathBuf> {
        self.value(name)
    }

    fn seconds(&self, name: &str) -> PyResult<Duration> {
        seconds(self.0, name)
    }

    fn limit(&self, name: &str) -> PyResult<Option<Duration>> {
        limit(self.0, name)
    }
}

pub(crate) fn read_settings(from: &Bound<'_, PyAny>) -> PyResult<Settings> {
    let made = Composed {
        underscore_fields: underscores_of(from)?,
        http2: http2_of(from)?,
        streams: streams_of(from)?,
        proxies: proxies_of(from)?,
        offers_sockets: number::<u64>(from, "websocket_threads")? > 0,
        compression: compression_of(from)?,
        static_files: static_files_of(from, "static_files")?,
        named_files: static_files_of(from, "named_files")?,
        edge: edge_of(from)?,
        statsd: statsd_of(from)?,
        rate_limits: rate_limits_of(from)?,
        path_limits: path_limits_of(from)?,
        priority_paths: priority_paths_of(from)?,
        self_call: self_call_of(from)?,
        session_affinity: from.getattr("affinity")?.extract::<String>()? == "session",
        handshakes: handshakes_of(from)?,
        transport_security: transport_security_of(from)?,
        waiting_room: waiting_room_of(from)?,
    };
    Settings::read(&Table(from), made)
}
