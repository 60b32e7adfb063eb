//! Requests of clients that ask too often are refused, with the time at which they may ask again. Runs on the front's thread.

use crate::event_loop::EventLoop;
use crate::exchange::ExchangeId;
use crate::rate_limits::table::Verdict;
use crate::response::own::Response;
use crate::transport::peer::Peer;

impl EventLoop {
    /// Counts the request whose head is in `self.head`; true: it is one too many, and has its response.
    pub(crate) fn limit_rate(&mut self, id: ExchangeId, client: &Peer, bytes: &[u8]) -> bool {
        let head = &self.head;
        let field = |name: &[u8]| {
            let found = head.fields.iter().find(|field| field.name.of(bytes).eq_ignore_ascii_case(name));
            found.map(|field| field.value.of(bytes))
        };
        let spent = self.rate_limits.spend(head.path.of(bytes), client, field, self.turn_us);
        let Some((rule, Verdict::Limited { retry_us, reset_us })) = spent else { return false };
        let seconds = |us: u64| us.div_ceil(1_000_000).max(1);
        let path = String::from_utf8_lossy(&rule.path).replace(['"', '\\'], "");
        let mut fields = vec![
            ("Retry-After", seconds(retry_us).to_string()),
            ("RateLimit-Policy", format!("\"{path}\";q={};w={}", rule.count, seconds(rule.window_us))),
            ("RateLimit", format!("\"{path}\";r=0;t={}", seconds(reset_us))),
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
}
