//! What of the edge's rules is switched on, and what they need to keep of a request. Runs on the front's thread.

use pelton_http::conditions::is_condition;
use pelton_http::{Known, Version};

use crate::exchange::Asked;
use crate::front::Front;
use crate::ids::ExchangeId;
use crate::settings::Rules;

/// Other rules hold from now on. What clients have spent stays on their account where the rule is the same; what runs or waits for a path goes on.
pub(crate) fn change_rules(front: &mut Front, rules: Rules) {
    let Rules { edge, rate_limits, path_limits, priority_paths } = rules;
    front.site.rate_limits.change(&rate_limits);
    front.dispatch.paths.change(&path_limits, &priority_paths);
    front.settings.edge = edge;
    front.settings.rate_limits = rate_limits;
    front.settings.path_limits = path_limits;
    front.settings.priority_paths = priority_paths;
    decide_edge(front);
}

/// Whether requests are looked at before the application has them, and what is kept of them.
pub(crate) fn decide_edge(front: &mut Front) {
    front.site.keeps_asked = !front.site.named_files.is_idle() || !front.settings.edge.error_pages.is_empty();
    front.site.has_rules = front.settings.cache_bytes > 0
        || !front.settings.rate_limits.is_empty()
        || front.settings.edge.concerns_requests()
        || front.site.in_maintenance;
}

/// Keeps what a response of the front's own may need of the head in `front.head`.
#[inline]
pub(crate) fn keep_asked(front: &mut Front, id: ExchangeId, bytes: &[u8]) {
    if front.site.keeps_asked {
        keep_all_asked(front, id, bytes);
    }
}

#[cold]
fn keep_all_asked(front: &mut Front, id: ExchangeId, bytes: &[u8]) {
    let Some(exchange) = front.exchanges.get_mut(id) else { return };
    let mut asked = Asked { spender: exchange.spender(), ..Asked::default() };
    let method = front.head.method.of(bytes);
    let is_read = matches!(method, b"GET" | b"HEAD");
    for field in &front.head.fields {
        let value = field.value.of(bytes);
        if field.known == Known::Accept && asked.accept.is_empty() {
            asked.accept = value.to_vec();
        } else if is_read && is_condition(field.known) && (method == b"GET" || field.known != Known::Range) {
            asked.conditions.push((field.known, value.to_vec()));
        }
    }
    exchange.asked = Some(Box::new(asked));
}

/// The application's response may be compressed on its way.
#[inline]
pub(crate) fn add_compression(front: &mut Front, id: ExchangeId, bytes: &[u8]) {
    if front.settings.edge.pages_for_application {
        add_page_of_failure(front, id);
    }
    if let Some(compression) = &front.site.compression
        && let Some(exchange) = front.exchanges.get_mut(id)
        // A client of 1.0 could not tell the end of what is not chunked.
        && front.head.version != Version::Http10
    {
        let fields = front.head.fields.iter().filter(|field| field.known == Known::AcceptEncoding);
        let filter = compression.filter(fields.map(|field| field.value.of(bytes)));
        exchange.filters.get_or_insert_default().add(filter);
    }
}

/// The application's own failures get a page of the settings. Before any compression.
#[cold]
fn add_page_of_failure(front: &mut Front, id: ExchangeId) {
    let Some(exchange) = front.exchanges.get_mut(id) else { return };
    let accept = exchange.asked.as_deref().map_or(&b""[..], |asked| &asked.accept);
    if let Some(filter) = front.settings.edge.page_of_failure(accept) {
        exchange.filters.get_or_insert_default().add(Box::new(filter));
    }
}
