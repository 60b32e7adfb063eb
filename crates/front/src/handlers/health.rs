//! Health checks: whether the front lives, and whether the application can take requests; answered without any worker.
//!
//! On the listeners for everybody below a path that the settings name, on the admin listeners at the root. The verdict is made when it is asked
//! for, from what the front knows anyway. Runs on the front's thread.

use std::fmt::Write;

use pelton_http::target::percent_decode;
use pelton_link::coarse_ms;

use crate::control::Command;
use crate::front::Front;
use crate::handlers::admin::tell_sized;
use crate::handlers::caching::purge;
use crate::handlers::{admin, agent};
use crate::ids::ExchangeId;
use crate::metrics::json::Json;
use crate::notices::Level;
use crate::recording::request_records;
use crate::requests::edge_settings;
use crate::response::own::Response;
use crate::response::respond;
use crate::transport::listener::Role;

const JSON: &[u8] = b"application/json";

/// Answers the request whose head has just come if it is a health check, or came by an admin listener, where there is nothing else. False:
/// it is the application's.
pub(crate) fn respond_to_check(front: &mut Front, id: ExchangeId, bytes: &[u8]) -> bool {
    let Some(connection) = front.connection_of(id) else { return false };
    let is_admin = connection.role == Role::Admin;
    let path = front.head.path.of(bytes);
    let wanted = if is_admin {
        Some(path)
    } else {
        front.settings.health_path.as_deref().and_then(|prefix| path.strip_prefix(prefix.as_bytes()))
    };
    let method = front.head.method.of(bytes);
    if wanted.is_some() {
        agent::look_at_load(front);
    }
    let is_read = method == b"GET" || method == b"HEAD";
    let keeps_connection = front.head.length.is_empty();
    let line = |status, text: &str| Response::line(status, JSON, text, keeps_connection);
    let is_check = is_read && matches!(wanted, Some(b"/livez" | b"/readyz" | b"/saturation"));
    if is_admin
        && !is_check
        && let Some(refusal) = admin::refuse_admin(front, id, bytes, is_read)
    {
        respond::respond(front, id, refusal);
        return true;
    }
    let response = match wanted {
        Some(b"/livez") if is_read => line(200, &verdict(front).1),
        Some(b"/readyz") if is_read => {
            let (is_ready, text) = verdict(front);
            respond::with_retry_after(front, line(if is_ready { 200 } else { 503 }, &text))
        }
        Some(b"/cache/purge") if is_admin && method == b"POST" => purge(front, bytes, keeps_connection),
        Some(b"/maintenance/on") if is_admin && method == b"POST" => maintain(front, true, keeps_connection),
        Some(b"/maintenance/off") if is_admin && method == b"POST" => {
            maintain(front, false, keeps_connection)
        }
        Some(b"/sizing") if is_read && is_admin => line(200, &sizing(front)),
        Some(b"/saturation") if is_read => line(200, &saturation_text(front)),
        _ if is_admin => return admin::ask_embedder(front, id, bytes, keeps_connection),
        _ => return false,
    };
    front.shared.counters.health_checks.up();
    if front.settings.log_health {
        request_records::note_head(front, id, bytes);
    }
    respond::respond(front, id, response);
    true
}

/// Forgets kept responses, as the query says: `target=PATH`, `tag=TAG`, or nothing for all.
fn purge(front: &mut Front, bytes: &[u8], keeps_connection: bool) -> Response {
    let query = front.head.query.of(bytes);
    let value = |wanted: &[u8]| {
        let pairs = query.split(|byte| *byte == b'&');
        let found = pairs.filter_map(|pair| pair.strip_prefix(wanted)?.strip_prefix(b"=")).next()?;
        let mut decoded = Vec::new();
        percent_decode(found, &mut decoded);
        Some(decoded)
    };
    let (target, tag) = (value(b"target"), value(b"tag"));
    match purge::purge_cache(front, target.as_deref(), tag.as_deref()) {
        Some(count) => Response::line(200, JSON, &format!("{{\"purged\":{count}}}"), keeps_connection),
        None => Response::text(409, "There is no cache: it begins with --cache SIZE.", keeps_connection),
    }
}

/// Begins or ends maintenance.
fn maintain(front: &mut Front, begins: bool, keeps_connection: bool) -> Response {
    front.site.in_maintenance = begins;
    edge_settings::decide_edge(front);
    let text = if begins { "maintenance has begun" } else { "maintenance has ended" };
    front.shared.notices.post(Level::Info, text.to_owned());
    Response::line(200, JSON, &format!("{{\"maintenance\":{begins}}}"), keeps_connection)
}

/// How many threads each worker has and why, as a JSON object.
fn sizing(front: &Front) -> String {
    let now = coarse_ms();
    let mut json = Json::default();
    json.open('{').name("workers").open('[');
    for worker in front.dispatch.living() {
        let waiting = worker.end.waiting();
        json.open('{').name("number").value(worker.number).name("pid").value(worker.pid);
        json.name("most").value(worker.threads);
        json.name("running").value(worker.in_use().saturating_sub(waiting)).name("waiting").value(waiting);
        let sized = worker.end.sized();
        if tell_sized(&mut json, &sized) {
            let age = now.saturating_sub(sized.decided_ms);
            json.name("decided_seconds_ago").value(age as f64 / 1000.0);
        }
        json.close('}');
    }
    json.close(']').name("queue").value(front.dispatch.queued()).close('}');
    json.into_text()
}

/// How much is in use, as a JSON object; an autoscaler takes the number `saturation` as it is.
fn saturation_text(front: &Front) -> String {
    let load = &front.saturation;
    format!("{{\"saturation\":{:.3},\"busy\":{:.3},\"weight\":{}}}", load.value(), load.busy(), load.weight())
}

/// Whether requests can be taken, and the figures behind it as a JSON object.
fn verdict(front: &Front) -> (bool, String) {
    let dispatch = &front.dispatch;
    let now = coarse_ms();
    let (mut ready, mut retiring, mut free, mut running) = (0, 0, 0, 0);
    for worker in dispatch.living() {
        running += worker.in_use();
        if worker.is_retiring {
            retiring += 1;
        } else {
            ready += 1;
            free += worker.free_permits().max(0);
        }
    }
    let oldest = dispatch.workers().filter_map(|(_, worker)| worker.oldest_ms(now)).max();
    let queued = dispatch.oldest_queued_ms().map(|since| front.clock.now_ms.saturating_sub(since));
    let is_ready = front.is_ready
        && front.shared.command() == Command::Serve
        && ready > 0
        && dispatch.queued() < front.settings.queue_length.max(1);
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = write!(
        text,
        "{{\"status\":\"{}\",\"workers\":{{\"ready\":{ready},\"retiring\":{retiring}}},\
         \"permits\":{{\"free\":{free},\"total\":{}}},\
         \"running\":{{\"count\":{running},\"oldest_seconds\":{:.3}}},\
         \"queue\":{{\"length\":{},\"oldest_seconds\":{:.3}}},\"saturation\":{:.3}}}",
        if is_ready { "ready" } else { "not ready" },
        dispatch.permits(),
        seconds(oldest),
        dispatch.queued(),
        seconds(queued),
        front.saturation.value(),
    );
    (is_ready, text)
}

fn seconds(ms: Option<u64>) -> f64 {
    ms.unwrap_or_default() as f64 / 1000.0
}
