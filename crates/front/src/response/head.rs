//! The head of a worker's response: noted, filtered, and written in the form of the client's protocol.
//!
//! Runs on the front's thread.

use pelton_http::h1::encode::{encode_head, reason_phrase};
use pelton_http::{Encoded, ResponseContext, ResponseError, Version};
use pelton_link::{Damaged, EARLY_HINTS, HeadView, fine_us};

use crate::access::log::AccessLog;
use crate::connection::Driver;
use crate::edge::FieldRules;
use crate::exchange::upload::Upload;
use crate::exchange::{Exchange, State};
use crate::metrics::Meter;
use crate::response::filters::Head;
use crate::settings::Settings;

/// What a head depends on besides the exchange.
pub(super) struct HeadWriter<'a> {
    pub(super) settings: &'a Settings,
    pub(super) access_log: Option<&'a AccessLog>,
    pub(super) date: &'a [u8; 29],
    pub(super) draining: bool,
    pub(super) started_us: u64,
    /// See [`crate::front::Front`].
    pub(super) responded_us: &'a mut u64,
    pub(super) meter: Option<&'a mut Meter>,
}

impl HeadWriter<'_> {
    /// The worker's head has come: the exchange responds from now on.
    #[inline]
    pub(super) fn write(
        &mut self,
        exchange: &mut Exchange,
        driver: &mut Driver,
        head: &HeadView<'_>,
        started_ms: u64,
        wire: &mut Vec<u8>,
    ) -> Result<(), Damaged> {
        if exchange.coding.is_some() {
            return Err(Damaged);
        }
        if head.status == EARLY_HINTS {
            return self.write_early_hints(exchange, driver, head, wire);
        }
        if let Some(record) = &mut exchange.record {
            let now_us = fine_us() - self.started_us;
            *self.responded_us = now_us;
            record.begins_response(head.status, now_us, started_ms);
            if let Some(log) = self.access_log {
                record.keep_response(log.format(), head.fields());
            }
        }
        if let Some(meter) = &mut self.meter {
            exchange.metered.status = head.status;
            meter.started(&exchange.metered, started_ms);
            if !head.route.is_empty() {
                exchange.metered.route = meter.route(exchange.metered.method, head.route);
            }
        }
        let timing = match &exchange.record {
            Some(record) if self.settings.server_timing => Some(record.timing()),
            _ => None,
        };
        let context = ResponseContext {
            version: exchange.version,
            is_head: exchange.is_head,
            keep_alive: exchange.keep_alive
                && !self.draining
                && exchange.upload.as_deref().is_none_or(Upload::may_be_followed),
            date: self.date,
            known_length: head.known_length,
            timing,
            transport_security: self.settings.transport_security.as_deref().filter(|_| exchange.is_tls),
        };
        let rules = self.settings.edge.response_fields.as_ref();
        let encoded = match (&mut exchange.filters, rules) {
            (None, None) if exchange.stream != 0 => {
                driver.send_head(exchange, head.status, head.fields(), &context)
            }
            (None, None) => encode_head(wire, head.status, head.reason, head.fields(), &context),
            _ => write_filtered(exchange, driver, head, rules, &context, wire),
        };
        let encoded = encoded.map_err(|_| Damaged)?;
        exchange.coding = Some(encoded.coding);
        exchange.keep_alive = encoded.keep_alive;
        exchange.become_state(State::Responding);
        Ok(())
    }
}

impl HeadWriter<'_> {
    /// A head that says what the response will need; the response itself is still to come.
    #[cold]
    fn write_early_hints(
        &self,
        exchange: &Exchange,
        driver: &mut Driver,
        head: &HeadView<'_>,
        wire: &mut Vec<u8>,
    ) -> Result<(), Damaged> {
        // RFC 9110 section 15.2: clients of HTTP/1.0 know no interim responses. Hints that would have to wait are of no use.
        if exchange.version == Version::Http10 || driver.http2().is_some_and(|http2| http2.is_behind()) {
            return Ok(());
        }
        let context = ResponseContext {
            version: exchange.version,
            is_head: false,
            keep_alive: true,
            date: self.date,
            known_length: None,
            timing: None,
            transport_security: None,
        };
        let written = if exchange.stream != 0 {
            driver.send_head(exchange, head.status, head.fields(), &context)
        } else {
            encode_head(wire, head.status, reason_phrase(head.status).as_bytes(), head.fields(), &context)
        };
        written.map(|_| ()).map_err(|_| Damaged)
    }
}

/// The same where filters or settings may change it.
#[cold]
fn write_filtered(
    exchange: &mut Exchange,
    driver: &mut Driver,
    from: &HeadView<'_>,
    rules: Option<&FieldRules>,
    context: &ResponseContext<'_>,
    wire: &mut Vec<u8>,
) -> Result<Encoded, ResponseError> {
    let mut head = Head {
        status: from.status,
        fields: from.fields().map(|(name, value)| (name.into(), value.into())).collect(),
        known_length: from.known_length,
    };
    if let Some(filters) = &mut exchange.filters {
        filters.head(&mut head);
    }
    if let Some(rules) = rules {
        rules.apply(&mut head);
    }
    let context = ResponseContext { known_length: head.known_length, ..*context };
    let changed = head.status != from.status;
    let reason = if changed { reason_phrase(head.status).as_bytes() } else { from.reason };
    let fields = head.fields.iter().map(|(name, value)| (&**name, &**value));
    if exchange.stream != 0 {
        return driver.send_head(exchange, head.status, fields, &context);
    }
    encode_head(wire, head.status, reason, fields, &context)
}
