//! Requests of clients that ask too often are refused, with the time at which they may ask again; for the others the application learns how
//! much is left, and may spend more. Runs on the front's thread.

use pelton_http::{Field, Known};
use pelton_link::Spent;

use crate::event_loop::EventLoop;
use crate::event_loop::caching::append;
use crate::exchange::{Exchange, ExchangeId};
use crate::rate_limits::table::Verdict;
use crate::rate_limits::{RateLimits, Spender};
use crate::response::own::Response;
use crate::transport::peer::Peer;

/// The variable that tells the application; the worker makes an object of it.
const VARIABLE: &[u8] = b"pelton.rate";

impl EventLoop {
    /// Counts the request whose head is in `self.head`; true: it is one too many, and has its response.
    pub(crate) fn limit_rate(&mut self, id: ExchangeId, client: &Peer, bytes: &[u8]) -> bool {
        if self.settings.rate_limits.is_empty() {
            return false;
        }
        let host = self.seen_as(id, bytes).host;
        let head = &self.head;
        let field = |name: &[u8]| {
            let found = head.fields.iter().find(|field| field.name.of(bytes).eq_ignore_ascii_case(name));
            found.map(|field| field.value.of(bytes))
        };
        let spent =
            self.site.rate_limits.spend((host, head.path.of(bytes)), client, field, self.clock.turn_us);
        let Some((spender, rule, verdict)) = spent else { return false };
        let Verdict::Limited { retry_us, reset_us, .. } = verdict else {
            if let Some(exchange) = self.exchanges.get_mut(id) {
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
        response.fields.extend(
            fields.into_iter().map(|(name, value)| (name.as_bytes().into(), value.into_bytes().into())),
        );
        self.shared.counters.requests_limited.up();
        self.respond(id, response);
        true
    }

    /// The request whose head is in `self.head` goes to the application, which learns what is left to the client, where that is limited. What the
    /// application sees of the head beside `bytes` is in `changed`.
    pub(crate) fn tell_rate(&mut self, id: ExchangeId, bytes: &[u8], changed: &mut Vec<u8>) {
        let Some(spender) = self.exchanges.get(id).and_then(Exchange::spender) else { return };
        let Some((rule, verdict)) = self.site.rate_limits.spend_more(spender, 0, self.clock.turn_us) else {
            return;
        };
        let Spent { remaining, reset, .. } = spent_of(verdict);
        let text = format!("{} {remaining} {reset}", rule.burst);
        if changed.is_empty() {
            changed.extend_from_slice(bytes);
        }
        let name = append(changed, VARIABLE);
        let value = append(changed, text.as_bytes());
        self.head.fields.push(Field { name, value, known: Known::Variable });
    }
}

/// Counts what an application spends of its client's rate; nothing is allowed to a client without one.
pub(crate) fn spend_more(limits: &mut RateLimits, spender: Option<Spender>, cost: u64, now_us: u64) -> Spent {
    let cost = u32::try_from(cost).unwrap_or(u32::MAX);
    let spent = spender.and_then(|spender| limits.spend_more(spender, cost, now_us));
    spent.map_or_else(Spent::default, |(_, verdict)| spent_of(verdict))
}

fn spent_of(verdict: Verdict) -> Spent {
    let (allowed, remaining, reset_us) = match verdict {
        Verdict::Allowed { remaining, reset_us } => (true, remaining, reset_us),
        Verdict::Limited { remaining, reset_us, .. } => (false, remaining, reset_us),
    };
    Spent { allowed, remaining, reset: u32::try_from(seconds(reset_us)).unwrap_or(u32::MAX) }
}

fn seconds(us: u64) -> u64 {
    us.div_ceil(1_000_000)
}
