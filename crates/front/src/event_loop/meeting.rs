//! What the front itself has to say to a request before the application, in this order: who may ask, maintenance, the right host, limits of rate,
//! files, the cache. Also its own pages for errors.
//!
//! Nothing here is reached where none of that is set. Runs on the front's thread.

use std::collections::VecDeque;

use pelton_http::conditions::is_condition;
use pelton_http::{Known, Version};

use crate::event_loop::EventLoop;
use crate::exchange::{Asked, ExchangeId};
use crate::response::own::{Part, Response};
use crate::settings::Rules;
use crate::transport::peer::Peer;

impl EventLoop {
    /// Other rules hold from now on. What clients have spent stays on their account where the rule is the same; what runs or waits for a path goes on.
    pub(crate) fn change_rules(&mut self, rules: Rules) {
        let Rules { edge, rate_limits, path_limits, priority_paths } = rules;
        self.site.rate_limits.change(&rate_limits);
        self.dispatch.paths.change(&path_limits, &priority_paths);
        self.settings.edge = edge;
        self.settings.rate_limits = rate_limits;
        self.settings.path_limits = path_limits;
        self.settings.priority_paths = priority_paths;
        self.decide_edge();
    }

    /// Whether requests are looked at before the application has them, and what is kept of them.
    pub(crate) fn decide_edge(&mut self) {
        self.site.keeps_asked =
            !self.site.named_files.is_idle() || !self.settings.edge.error_pages.is_empty();
        self.site.has_rules = self.settings.cache_bytes > 0
            || !self.settings.rate_limits.is_empty()
            || self.settings.edge.concerns_requests()
            || self.site.in_maintenance;
    }

    /// True: the request has its response, or waits for one. Where the application has to see another head than `bytes`, that is put into `changed`.
    #[cold]
    pub(crate) fn meet_edge(
        &mut self,
        id: ExchangeId,
        client: &Peer,
        bytes: &[u8],
        changed: &mut Vec<u8>,
    ) -> bool {
        if let Some(response) = self.turn_away(id, client, bytes) {
            self.respond(id, response);
            return true;
        }
        let hidden = &self.settings.edge.hidden_fields;
        if !hidden.is_empty() {
            self.head.fields.retain(|field| {
                let name = field.name.of(bytes);
                !hidden.iter().any(|one| name.eq_ignore_ascii_case(one))
            });
        }
        if self.limit_rate(id, client, bytes) {
            return true;
        }
        if !self.site.static_files.is_idle() && self.respond_with_file(id, bytes) {
            return true;
        }
        if self.site.cache.is_some() {
            // Also what comes from the cache is compressed on its way.
            self.add_compression(id, bytes);
            let head = if changed.is_empty() { bytes.to_vec() } else { changed.clone() };
            if self.look_in_cache(id, &head, changed) {
                return true;
            }
        }
        self.tell_rate(id, bytes, changed);
        false
    }

    /// Why a request is not for this server, this client or this time; None where it is.
    fn turn_away(&self, id: ExchangeId, client: &Peer, bytes: &[u8]) -> Option<Response> {
        let edge = &self.settings.edge;
        let address = client.address.map(|(ip, _)| ip);
        let received_whole = self.head.length.is_empty();
        let seen = self.seen_as(id, bytes);
        if !edge.allows(seen.host, self.head.path.of(bytes), address) {
            self.shared.counters.requests_forbidden.up();
            return Some(Response::text(403, "This is not for your network.", received_whole));
        }
        if self.site.in_maintenance && !edge.maintenance_allow.trusts(address) {
            self.shared.counters.requests_in_maintenance.up();
            let text = "The site is being worked on. Try again later.";
            return Some(self.with_retry_after(Response::text(503, text, received_whole)));
        }
        if edge.canonical_host.is_empty() || seen.host.is_empty() || is_same_host(seen.host, edge) {
            return None;
        }
        let scheme: &[u8] = if seen.is_https { b"https://" } else { b"http://" };
        let (path, query) = (self.head.path.of(bytes), self.head.query.of(bytes));
        let path: &[u8] = if path.starts_with(b"/") { path } else { b"/" };
        let mark: &[u8] = if query.is_empty() { b"" } else { b"?" };
        let address = [scheme, edge.canonical_host.as_bytes(), seen.prefix, path, mark, query].concat();
        self.shared.counters.redirects.up();
        let text = format!("This is at {}", String::from_utf8_lossy(&address));
        let mut response = Response::text(308, &text, received_whole);
        response.fields.push((b"Location"[..].into(), address.into()));
        Some(response)
    }

    /// Keeps what a response of the front's own may need of the head in `self.head`.
    #[inline]
    pub(crate) fn keep_asked(&mut self, id: ExchangeId, bytes: &[u8]) {
        if self.site.keeps_asked {
            self.keep_all_asked(id, bytes);
        }
    }

    #[cold]
    fn keep_all_asked(&mut self, id: ExchangeId, bytes: &[u8]) {
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        let mut asked = Asked { spender: exchange.spender(), ..Asked::default() };
        let method = self.head.method.of(bytes);
        let is_read = matches!(method, b"GET" | b"HEAD");
        for field in &self.head.fields {
            let value = field.value.of(bytes);
            if field.known == Known::Accept && asked.accept.is_empty() {
                asked.accept = value.to_vec();
            } else if is_read
                && is_condition(field.known)
                && (method == b"GET" || field.known != Known::Range)
            {
                asked.conditions.push((field.known, value.to_vec()));
            }
        }
        exchange.asked = Some(Box::new(asked));
    }

    /// The application's response may be compressed on its way.
    #[inline]
    pub(crate) fn add_compression(&mut self, id: ExchangeId, bytes: &[u8]) {
        if self.settings.edge.pages_for_application {
            self.add_page_of_failure(id);
        }
        if let Some(compression) = &self.site.compression
            && let Some(exchange) = self.exchanges.get_mut(id)
            // A client of 1.0 could not tell the end of what is not chunked.
            && self.head.version != Version::Http10
        {
            let fields = self.head.fields.iter().filter(|field| field.known == Known::AcceptEncoding);
            let filter = compression.filter(fields.map(|field| field.value.of(bytes)));
            exchange.filters.get_or_insert_default().add(filter);
        }
    }

    /// The application's own failures get a page of the settings. Before any compression.
    #[cold]
    fn add_page_of_failure(&mut self, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        let accept = exchange.asked.as_deref().map_or(&b""[..], |asked| &asked.accept);
        if let Some(filter) = self.settings.edge.page_of_failure(accept) {
            exchange.filters.get_or_insert_default().add(Box::new(filter));
        }
    }

    /// Puts a page of the settings in the place of an explanation.
    #[cold]
    pub(crate) fn put_error_page(&self, id: ExchangeId, response: &mut Response) {
        let asked = self.exchanges.get(id).and_then(|exchange| exchange.asked.as_deref());
        let accept = asked.map_or(&b""[..], |asked| &asked.accept);
        let Some(page) = self.settings.edge.page(response.status, accept) else { return };
        response.fields.retain(|(name, _)| !name.eq_ignore_ascii_case(b"content-type"));
        response.fields.push((b"Content-Type"[..].into(), page.media_type.clone().into()));
        response.fields.push((b"Cache-Control"[..].into(), b"no-store"[..].into()));
        response.body = VecDeque::from([Part::shared(&page.body)]);
    }
}

fn is_same_host(authority: &[u8], edge: &crate::edge::EdgeSettings) -> bool {
    let canonical = edge.canonical_host.as_bytes();
    // A port that is the scheme's own may be said or not.
    let bare =
        authority.strip_suffix(b":80").or_else(|| authority.strip_suffix(b":443")).unwrap_or(authority);
    authority.eq_ignore_ascii_case(canonical) || bare.eq_ignore_ascii_case(canonical)
}
