//! Everything that is counted. Written by the front's thread only, read by anyone at any time.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread changes and others read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more. Not an atomic addition: there is one writer.
    #[inline]
    pub fn up(&self) {
        self.add(1);
    }

    /// `by` more.
    #[inline]
    pub fn add(&self, by: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
    }

    /// The present value of something that goes up and down.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often losses are reported.
const TELL_EVERY_MS: u64 = 60_000;

/// What has been reported of something that is lost again and again: how much there was, at most once a minute.
#[derive(Clone, Copy, Debug, Default)]
pub struct Losses {
    reported: u64,
    tell_at_ms: u64,
}

impl Losses {
    /// How many more there are than were reported; None where nothing is to be said now.
    #[inline]
    pub fn since(&mut self, now_ms: u64, lost: &Counter) -> Option<u64> {
        let all = lost.get();
        if all == self.reported || now_ms < self.tell_at_ms {
            return None;
        }
        self.tell_at_ms = now_ms + TELL_EVERY_MS;
        Some(all - std::mem::replace(&mut self.reported, all))
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One field per thing counted; the field's name is its name everywhere.
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: Counter,)* }

        impl Counters {
            /// All of them, by name.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get()),)*]
            }
        }
    };
}

counters! {
    /// Connections accepted.
    connections_accepted,
    /// Connections open now.
    connections_open,
    /// Times that accepting failed for want of descriptors or memory.
    accept_failures,
    /// Requests handed to a worker.
    requests_dispatched,
    /// Responses of the application sent to their end.
    responses_finished,
    /// Requests refused for what the client sent (4xx, 5xx of the parser).
    requests_refused,
    /// Requests refused because the queue was full.
    requests_shed,
    /// Requests refused because as many waited for others of their path as may.
    path_requests_shed,
    /// Requests that wait for others of their path now.
    path_requests_queued,
    /// Requests refused because they waited too long.
    requests_expired,
    /// Requests answered 504 because they ran too long.
    requests_timed_out,
    /// Requests whose worker died while it ran them.
    requests_lost,
    /// Requests moved from a worker that had not started them.
    requests_moved,
    /// Permits lent to requests that the application made to its own server.
    permits_lent,
    /// Health checks answered.
    health_checks,
    /// Lines sent to load balancers by the agent's port.
    agent_checks,
    /// Requests whose client's socket was offered to a worker.
    sockets_offered,
    /// Requests answered 408 because their head was late.
    heads_late,
    /// Requests answered 408 because their body was late.
    bodies_late,
    /// Responses cut off because the application failed after the head.
    responses_broken,
    /// Requests or responses that nobody waits for any more.
    clients_gone,
    /// Connections that speak HTTP/2.
    http2_connections,
    /// Requests that came over them.
    http2_streams,
    /// Of those, streams that became WebSockets.
    http2_websockets,
    /// Of those, streams that their clients reset.
    http2_streams_reset,
    /// Requests that nobody began with, because what came with them reset them.
    http2_streams_passed_over,
    /// Streams refused because the connection had as many as it may.
    http2_streams_refused,
    /// Streams reset, or refused, for a fault of their clients.
    http2_resets_caused,
    /// Responses reset because their client kept too many threads waiting with closed windows.
    http2_stalled,
    /// Connections of HTTP/2 given up because they cost more than they may (ENHANCE_YOUR_CALM).
    http2_calmed,
    /// Connections of HTTP/2 given up because their clients broke a rule.
    http2_faults,
    /// Requests waiting in the front's queue now.
    requests_queued,
    /// Slots in use now.
    slots_in_use,
    /// Chunks of the body arena in use now.
    body_chunks_in_use,
    /// Bodies spooled to a file.
    bodies_spooled,
    /// Requests handed on before their bodies were complete.
    bodies_streamed,
    /// Of those, bodies that did not come to their end.
    bodies_broken,
    /// Responses for slow readers of which a part went to a file.
    responses_spooled,
    /// Bytes of responses kept in memory for slow readers now.
    response_bytes_held,
    /// Bytes in files for bodies and responses now.
    spool_bytes_used,
    /// Connections answered 429 because their address had too many.
    connections_refused,
    /// Requests for static files responded to by the front.
    files_sent,
    /// Parts of files that had to be read from a disk before they could be sent.
    file_reads_waited_for,
    /// Requests answered 500 because a static file could not be opened.
    file_failures,
    /// Pieces of responses that helpers have compressed.
    pieces_filtered_beside,
    /// Responses that are being compressed now.
    responses_compressing,
    /// Static files open now.
    files_open,
    /// Access lines dropped because the log could not take them.
    access_lines_dropped,
    /// Datagrams lost that were meant for a statsd.
    statsd_datagrams_dropped,
    /// Connections closed because the response said so.
    closed_after_response,
    /// Connections closed by the client between requests.
    closed_by_client,
    /// Connections closed by the client within a request or a response.
    closed_by_client_early,
    /// Connections closed by a transport error.
    closed_by_error,
    /// Connections closed after idling between requests.
    closed_idle,
    /// Connections closed while the client did not take the response.
    closed_write_timeout,
    /// Connections closed because a file changed while it was sent.
    closed_file_changed,
    /// Connections of trusted proxies closed because they did not begin with a PROXY header.
    closed_no_proxy_header,
    /// Connections that the front has forgotten because a worker has taken their sockets (WebSockets).
    closed_handed_over,
    /// Handshakes of TLS that were completed.
    handshakes_done,
    /// Of those, how many went on with an earlier session.
    handshakes_resumed,
    /// Steps of handshakes that needed a private key, and were taken by helpers.
    handshakes_beside,
    /// Handshakes that failed: nothing in common, no trust, or no TLS.
    handshakes_failed,
    /// Handshakes that took too long.
    handshakes_late,
    /// Handshakes refused because there were too many.
    handshakes_refused,
    /// Clients that spoke HTTP where HTTPS is spoken.
    plain_on_tls,
    /// Clients that spoke TLS where HTTP is spoken.
    tls_on_plain,
    /// Requests sent on to HTTPS.
    redirects,
    /// Challenges of ACME servers answered.
    challenges_answered,
    /// Connections closed because the handshake failed.
    closed_handshake_failed,
    /// Connections closed because the handshake took too long.
    closed_handshake_late,
    /// Connections closed because there were too many handshakes.
    closed_handshake_refused,
    /// Connections closed because there was no memory for what they sent or were sent.
    closed_no_memory,
    /// Idle connections closed because others waited to be accepted.
    closed_for_newcomers,
    /// Listening sockets that somebody else has shut down.
    listeners_lost,
    /// Connections closed because the front ends.
    closed_draining,
    /// Idle connections left to the front that comes next.
    connections_left_open,
    /// Requests answered from the response cache.
    cache_hits,
    /// Requests that went to the application and were recorded for the cache.
    cache_misses,
    /// Requests that waited for another one's response.
    cache_waits,
    /// Kept responses that were sent stale and fetched anew without a client.
    cache_revalidations,
    /// Bytes in the response cache now.
    cache_bytes,
    /// Responses in it now.
    cache_entries,
    /// Responses that made room for others.
    cache_evictions,
    /// Requests refused because their client had asked too often.
    requests_limited,
    /// Requests refused because of their client's network.
    requests_forbidden,
    /// Requests asked to come again because of maintenance.
    requests_in_maintenance,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_reported_once_a_minute() {
        let (lost, mut losses) = (Counter::default(), Losses::default());
        assert_eq!(losses.since(5, &lost), None);
        lost.add(3);
        assert_eq!(losses.since(5, &lost), Some(3));
        lost.up();
        assert_eq!(losses.since(6, &lost), None);
        assert_eq!(losses.since(5 + TELL_EVERY_MS, &lost), Some(1));
    }

    #[test]
    fn counters_are_listed_by_name() {
        let counters = Counters::default();
        counters.requests_shed.up();
        counters.connections_open.set(7);
        let all = counters.all();
        assert!(all.contains(&("requests_shed", 1)) && all.contains(&("connections_open", 7)));
    }
}
