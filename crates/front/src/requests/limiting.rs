//! Requests of clients that ask too often are refused, with the time at which they may ask again; for the others the application learns how
//! much is left, and may spend more. Runs on the front's thread.

use pelton_http::{Field, Known};
use pelton_link::Spent;

use crate::exchange::Exchange;
use crate::front::Front;
use crate::handlers::caching::views::append;
use crate::ids::ExchangeId;
use crate::rate_limits::spending::{seconds, spent_of};
use crate::rate_limits::table::Verdict;
use crate::requests::seen_as;
use crate::response::own::Response;
use crate::response::respond;
use crate::transport::peer::Peer;

/// The variable that tells the application; the worker makes an object of it.
const VARIABLE: &[u8] = b"pelton.rate";

/// Counts the request whose head is in `front.head`; true: it is one too many, and has its response.
pub(crate) fn limit_rate(front: &mut Front, id: ExchangeId, client: &Peer, bytes: &[u8]) -> bool {
    if front.settings.rate_limits.is_empty() {
        return false;
    }
    let host = seen_as::seen_as(front, id, bytes).host;
    let head = &front.head;
    let field = |name: &[u8]| {
        let found = head.fields.iter().find(|field| field.name.of(bytes).eq_ignore_ascii_case(name));
        found.map(|field| field.value.of(bytes))
    };
    let spent = front.site.rate_limits.spend((host, head.path.of(bytes)), client, field, front.clock.turn_us);
    let Some((spender, rule, verdict)) = spent else { return false };
    let Verdict::Limited { retry_us, reset_us, .. } = verdict else {
        if let Some(exchange) = front.exchanges.get_mut(id) {
            exchange.asked.get_or_insert_default().spender = Some(spender);
        }
        return false;
    };
    let path = String::from_utf8_lossy(&rule.path).replace(['"', '\\'], "");
    let path = format!("{}{path}", rule.host.text());
    let mut fields = vec![
        ("Retry-After", seconds(retry_us).max(1).to_string()),
        ("RateLimit-Policy", format!("\"{path}\";q={};w={}", rule.count, seconds(rule.window_us).max(1))),
        ("RateLimit", format!("\"{path}\";r=0;t={}", seconds(reset_us).max(1))),
    ];
    // The names in a structured field are printable ASCII (RFC 8941 section 3.3.3).
    fields.retain(|(_, value)| value.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
    let received_whole = head.length.is_empty();
    let mut response = Response::text(429, "You have asked too often. Try again later.", received_whole);
    response
        .fields
        .extend(fields.into_iter().map(|(name, value)| (name.as_bytes().into(), value.into_bytes().into())));
    front.shared.counters.requests_limited.up();
    respond::respond(front, id, response);
    true
}

/// The request whose head is in `front.head` goes to the application, which learns what is left to the client, where that is limited. What the
/// application sees of the head beside `bytes` is in `changed`.
pub(crate) fn tell_rate(front: &mut Front, id: ExchangeId, bytes: &[u8], changed: &mut Vec<u8>) {
    let Some(spender) = front.exchanges.get(id).and_then(Exchange::spender) else { return };
    let Some((rule, verdict)) = front.site.rate_limits.spend_more(spender, 0, front.clock.turn_us) else {
        return;
    };
    let Spent { remaining, reset, .. } = spent_of(verdict);
    let text = format!("{} {remaining} {reset}", rule.burst);
    if changed.is_empty() {
        changed.extend_from_slice(bytes);
    }
    let name = append(changed, VARIABLE);
    let value = append(changed, text.as_bytes());
    front.head.fields.push(Field { name, value, known: Known::Variable });
}
