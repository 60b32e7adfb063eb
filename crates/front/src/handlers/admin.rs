//! Requests on the admin listeners: who may ask, and what the front tells of itself; the embedding process makes responses of it.
//!
//! Nothing of bodies, cookies, credentials and queries leaves here. Health checks are in `health`, which anybody may ask for. Runs on the
//! front's thread; all of it is seldom.

use std::time::Duration;

use pelton_http::{Known, Span};
use pelton_link::coarse_ms;
use pelton_link::request::RequestView;

use crate::exchange::State;
use crate::front::Front;
use crate::ids::ExchangeId;
use crate::metrics::histogram::{BOUNDS_US, Histogram};
use crate::metrics::json::Json;
use crate::metrics::{METHODS, Meter};
use crate::notices::Asked;
use crate::response::own::Response;
use crate::response::respond;
use crate::scheduling::worker_link::Worker;

/// Why a worker has as many threads as it has, in the order of `Why` in `src/pelton/sizing/policy.py`.
const REASONS: [&str; 9] =
    ["steady", "needed", "passing", "computing", "same", "memory", "bound", "calm", "ahead"];
/// How long the embedding process may take: a profile is as long as its reader wants it, up to five minutes.
const ASK_TIME: Duration = Duration::from_secs(330);

/// Running requests that are listed, of each worker; more than most have threads.
const MOST_RUNNING: usize = 512;

/// A path is cut there.
const MOST_PATH: usize = 500;

/// What has been decided about a worker's threads; false where nothing has been yet.
pub(crate) fn tell_sized(json: &mut Json, sized: &pelton_link::Sized) -> bool {
    if sized.decided_ms == 0 {
        return false;
    }
    json.name("threads").value(sized.threads);
    json.name("computing").value(f64::from(sized.computing) / 1000.0);
    let reason = REASONS.get(sized.reason as usize).copied().unwrap_or("unknown");
    json.name("reason").string(reason.as_bytes());
    true
}

/// Why the client of an admin listener gets no response of the kind that it wants; None when it may have it.
pub(crate) fn refuse_admin(front: &Front, id: ExchangeId, bytes: &[u8], is_read: bool) -> Option<Response> {
    let connection = front.connection_of(id)?;
    // A page that the user has open somewhere else must not order anything here.
    let site = field(front, Known::SecFetchSite, bytes).unwrap_or(b"none");
    if !is_read && !matches!(site, b"none" | b"same-origin") {
        return Some(Response::text(403, "Another site's page may not ask for this.", false));
    }
    // A unix socket's file has an owner and a mode.
    let (ip, _) = connection.peer.address?;
    if let Some(token) = &front.settings.admin_token {
        let given = field(front, Known::Authorization, bytes).and_then(|value| {
            let (scheme, token) = value.split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
        });
        if given.is_some_and(|given| is_equal(given, token.as_bytes())) {
            return None;
        }
        let mut refusal = Response::text(401, "Send the token: Authorization: Bearer TOKEN.", false);
        refusal.fields.push((b"WWW-Authenticate"[..].into(), b"Bearer"[..].into()));
        return Some(refusal);
    }
    if !ip.to_canonical().is_loopback() {
        let text = "Only this machine may ask for this without a token: set one with --admin-token.";
        return Some(Response::text(403, text, false));
    }
    // A name that somebody has made to point here would let a foreign page read all of it.
    if !is_local_name(front.head.authority.of(bytes)) {
        return Some(Response::text(403, "Ask by the address or as localhost.", false));
    }
    None
}

fn field<'b>(front: &Front, known: Known, bytes: &'b [u8]) -> Option<&'b [u8]> {
    front.head.find(known).map(|field| field.value.of(bytes))
}

/// Passes a request on to the embedding process, which knows what else there is.
pub(crate) fn ask_embedder(front: &mut Front, id: ExchangeId, bytes: &[u8], received_whole: bool) -> bool {
    let text = |span: &Span| String::from_utf8_lossy(span.of(bytes)).into_owned();
    let asked = Asked {
        number: id.to_token() as u64,
        method: text(&front.head.method),
        path: text(&front.head.path),
        query: text(&front.head.query),
        accept: front.head.find(Known::Accept).map(|field| text(&field.value)).unwrap_or_default(),
        state: state_text(front, front.head.path.of(bytes) == b"/history"),
    };
    if !received_whole {
        respond::respond(front, id, Response::text(413, "Requests here have no body.", false));
    } else if front.shared.notices.pass_on(asked) {
        if let Some(exchange) = front.exchanges.get_mut(id) {
            exchange.become_state(State::Queued);
        }
        front.set_deadline(id, ASK_TIME);
    } else {
        let busy = Response::text(503, "Too much is asked at once. Try again.", true);
        respond::respond(front, id, respond::with_retry_after(front, busy));
    }
    true
}

/// Everything that the front knows, as JSON. `pelton.observe` reads it.
fn state_text(front: &Front, with_history: bool) -> String {
    let mut json = Json::default();
    json.open('{').name("uptime_seconds").value(front.clock.now_us() as f64 / 1e6);
    json.name("draining").value(front.draining);
    json.name("counters").open('{');
    for (name, value) in front.shared.counters.all() {
        json.name(name).value(value);
    }
    json.close('}');
    if let Some(meter) = &front.recording.meter {
        tell_meter(&mut json, meter);
        if with_history {
            meter.history.tell(json.name("history"));
        }
    }
    let since = front.dispatch.oldest_queued_ms().map_or(0, |since| front.clock.now_ms.saturating_sub(since));
    json.name("queue").open('{');
    json.name("length").value(front.dispatch.queued()).name("limit").value(front.settings.queue_length);
    json.name("oldest_seconds").value(since as f64 / 1000.0).close('}');
    json.name("permits").value(front.dispatch.permits());
    json.name("backlog").value(front.listeners.waiting());
    json.name("workers").open('[');
    for worker in front.dispatch.living() {
        tell_worker(front, &mut json, worker);
    }
    json.close(']').close('}');
    json.into_text()
}

fn tell_worker(front: &Front, json: &mut Json, worker: &Worker) {
    let now = coarse_ms();
    let waiting = worker.end.waiting();
    json.open('{').name("number").value(worker.number).name("pid").value(worker.pid);
    json.name("retiring").value(worker.is_retiring).name("most_threads").value(worker.threads);
    json.name("running").value(worker.in_use().saturating_sub(waiting)).name("waiting").value(waiting);
    tell_sized(json, &worker.end.sized());
    json.name("requests").open('[');
    for (slot, place) in worker.used_slots().filter(|(_, place)| !place.is_done).take(MOST_RUNNING) {
        let started = worker.end.started_ms(u32::from(slot));
        // The record lies where the worker can write: read as a client's bytes are.
        let Some(request) = RequestView::new(worker.end.record(u32::from(slot))) else { continue };
        let age = started.map_or(0, |started| now.saturating_sub(started));
        let waited = front.clock.now_ms.saturating_sub(place.since_ms).saturating_sub(age);
        let path = request.path();
        json.open('{').name("slot").value(slot);
        json.name("method").string(request.method());
        json.name("path").string(path.get(..path.len().min(MOST_PATH)).unwrap_or_default());
        json.name("client").string(request.peer());
        json.name("running").value(started.is_some());
        json.name("age_seconds").value(age as f64 / 1000.0);
        json.name("queued_seconds").value(waited as f64 / 1000.0).close('}');
    }
    json.close(']').close('}');
}

fn tell_meter(json: &mut Json, meter: &Meter) {
    json.name("requests").open('[');
    for (method, classes) in METHODS.iter().zip(&meter.requests) {
        for (class, count) in classes.iter().enumerate().filter(|(_, count)| **count > 0) {
            json.open('[').string(method.as_bytes()).value(class).value(count).close(']');
        }
    }
    json.close(']').name("routes").open('[');
    for route in &meter.routes {
        json.open('{').name("route").string(&route.name).name("errors").value(route.errors);
        tell_histogram(json.name("duration"), &route.duration);
        json.close('}');
    }
    json.close(']').name("response_bytes").value(meter.response_bytes);
    json.name("bounds_us").open('[');
    for bound in BOUNDS_US {
        json.value(bound);
    }
    json.close(']');
    tell_histogram(json.name("duration"), &meter.duration);
    tell_histogram(json.name("queue_time"), &meter.queue);
}

fn tell_histogram(json: &mut Json, histogram: &Histogram) {
    json.open('{').name("counts").open('[');
    for count in histogram.counts {
        json.value(count);
    }
    json.close(']').name("sum_us").value(histogram.sum_us).close('}');
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
fn is_equal(given: &[u8], wanted: &[u8]) -> bool {
    given.len() == wanted.len() && given.iter().zip(wanted).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// Whether a Host names this machine by itself: an address, or `localhost`.
fn is_local_name(authority: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(authority) else { return false };
    let port = |rest: &str| rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    let host = match text.rsplit_once(':') {
        Some((host, rest)) if port(&format!(":{rest}")) => host,
        _ => text,
    };
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_name_this_machine() {
        for local in
            ["localhost", "localhost:80", "127.0.0.1", "127.0.0.1:9000", "[::1]", "[::1]:9000", "LOCALHOST"]
        {
            assert!(is_local_name(local.as_bytes()), "{local}");
        }
        for foreign in
            ["", "evil.example", "evil.example:9000", "localhost.evil.example", "127.0.0.1.evil.example:80"]
        {
            assert!(!is_local_name(foreign.as_bytes()), "{foreign}");
        }
    }

    #[test]
    fn secrets_are_compared_whole() {
        assert!(is_equal(b"abc", b"abc"));
        assert!(!is_equal(b"abc", b"abd") && !is_equal(b"ab", b"abc") && !is_equal(b"", b"abc"));
    }
}
