//! Sends the report of each second, and keeps what the receiver has no room for until the next one.
//!
//! Owns the socket, which pelton's Python part has connected: no name is looked up here. Runs on the front's thread, and never waits.

use std::io;
use std::os::fd::BorrowedFd;

use crate::counters::{Counter, Counters, Losses};
use crate::datagrams::{Datagrams, Sent};
use crate::settings::StatsdSettings;
use crate::statsd::packets::Packets;
use crate::statsd::totals::{Sample, Totals};

/// How often there is a report.
const REPORT_EVERY_MS: u64 = 1000;
/// A unix socket has room for some datagrams only: when to try the rest of them.
const RETRY_MS: u64 = 10;

type Count = (&'static str, fn(&Counters) -> &Counter);

/// The front's counters that are worth a graph beside those of the requests.
const COUNTS: [Count; 10] = [
    ("pelton.requests_refused", |counters| &counters.requests_refused),
    ("pelton.requests_shed", |counters| &counters.requests_shed),
    ("pelton.requests_expired", |counters| &counters.requests_expired),
    ("pelton.requests_timed_out", |counters| &counters.requests_timed_out),
    ("pelton.requests_lost", |counters| &counters.requests_lost),
    ("pelton.responses_broken", |counters| &counters.responses_broken),
    ("pelton.clients_gone", |counters| &counters.clients_gone),
    ("pelton.connections_accepted", |counters| &counters.connections_accepted),
    ("pelton.connections_refused", |counters| &counters.connections_refused),
    ("pelton.access_lines_dropped", |counters| &counters.access_lines_dropped),
];

/// What goes up and down.
#[derive(Clone, Copy, Debug, Default)]
pub struct Levels {
    /// Workers that live.
    pub workers: u64,
    /// What waits to be served: in the front's queue, and in the system's.
    pub backlog: u64,
    /// Requests in the front's queue.
    pub queued: u64,
    /// Requests with a worker.
    pub running: u64,
    /// Connections.
    pub connections: u64,
}

/// Sends metrics to a statsd server.
#[derive(Debug)]
pub struct Statsd {
    socket: Datagrams,
    totals: Totals,
    packets: Packets,
    /// How many of the packets are on their way.
    sent: usize,
    /// What the counters said in the last report.
    before: [u64; COUNTS.len()],
    report_at_ms: u64,
    retry_at_ms: Option<u64>,
    losses: Losses,
}

impl Statsd {
    /// Sends by a duplicate of `descriptor`, a connected datagram socket; None for a negative one.
    pub fn new(settings: &StatsdSettings) -> io::Result<Option<Self>> {
        if settings.socket < 0 {
            return Ok(None);
        }
        // SAFETY: not negative; whether it is open is found out by duplicating it, at once.
        let borrowed = unsafe { BorrowedFd::borrow_raw(settings.socket) };
        Ok(Some(Statsd {
            socket: Datagrams::new(borrowed.try_clone_to_owned()?),
            totals: Totals::default(),
            packets: Packets::new(&settings.prefix, &settings.tags),
            sent: 0,
            before: [0; COUNTS.len()],
            report_at_ms: REPORT_EVERY_MS,
            retry_at_ms: None,
            losses: Losses::default(),
        }))
    }

    /// A request has ended; status 0 is one without a response.
    #[inline]
    pub fn add(&mut self, status: u16, sample: Sample) {
        self.totals.add(status, sample);
    }

    /// Milliseconds until there is something to do.
    #[inline]
    pub fn due_in(&self, now_ms: u64) -> u64 {
        self.retry_at_ms.map_or(self.report_at_ms, |at| at.min(self.report_at_ms)).saturating_sub(now_ms)
    }

    /// Does what is due: makes a report, or goes on sending the last one.
    pub fn work(&mut self, now_ms: u64, levels: &Levels, counters: &Counters) {
        if now_ms >= self.report_at_ms {
            self.give_up(counters);
            self.report_at_ms = now_ms + REPORT_EVERY_MS;
            self.write_levels(levels);
            self.write_counts(counters);
        }
        self.send(counters);
        self.retry_at_ms = (self.sent < self.packets.datagrams().count()).then_some(now_ms + RETRY_MS);
    }

    /// What has been gathered since the last report, for nothing comes after it. Levels are no longer what they were.
    pub fn finish(&mut self, counters: &Counters) {
        self.send(counters);
        self.give_up(counters);
        self.write_counts(counters);
        self.send(counters);
    }

    /// How many datagrams were lost since the last report; at most once a minute.
    pub fn losses(&mut self, now_ms: u64, counters: &Counters) -> Option<u64> {
        self.losses.since(now_ms, &counters.statsd_datagrams_dropped)
    }

    /// What is left of the last report is none of this one.
    fn give_up(&mut self, counters: &Counters) {
        let left = self.packets.datagrams().count() - self.sent;
        counters.statsd_datagrams_dropped.add(left as u64);
        self.packets.clear();
        self.sent = 0;
    }

    fn write_levels(&mut self, levels: &Levels) {
        let packets = &mut self.packets;
        packets.gauge("gunicorn.workers", levels.workers);
        // gunicorn calls it a histogram, and dashboards read it as one.
        packets.timing("gunicorn.backlog", levels.backlog * 1000, "|ms");
        packets.gauge("pelton.requests_queued", levels.queued);
        packets.gauge("pelton.requests_running", levels.running);
        packets.gauge("pelton.connections_open", levels.connections);
    }

    /// Counts first: what is lost of a report that is too long should be some of the durations.
    fn write_counts(&mut self, counters: &Counters) {
        let (packets, totals) = (&mut self.packets, &mut self.totals);
        if totals.requests() > 0 {
            packets.count("gunicorn.requests", totals.requests());
        }
        let mut name = String::new();
        for (status, count) in totals.statuses() {
            name.clear();
            name.push_str("gunicorn.request.status.");
            name.push_str(&status.to_string());
            packets.count(&name, u64::from(count));
        }
        for ((name, counter), before) in COUNTS.iter().zip(&mut self.before) {
            let now = counter(counters).get();
            let more = now - std::mem::replace(before, now);
            if more > 0 {
                packets.count(name, more);
            }
        }
        let kind = totals.rate().map_or_else(|| "|ms".to_owned(), |rate| format!("|ms|@{rate:.8}"));
        for sample in totals.samples() {
            packets.timing("gunicorn.request.duration", sample.duration_us, &kind);
            if let Some(queue_us) = sample.queue_us {
                packets.timing("pelton.queue_time", queue_us, &kind);
            }
        }
        totals.clear();
    }

    fn send(&mut self, counters: &Counters) {
        for datagram in self.packets.datagrams().skip(self.sent) {
            match self.socket.send(datagram) {
                Sent::Taken => {}
                Sent::Later => return,
                // Either this one is lost, or the one before it.
                Sent::AfterRefusal | Sent::Lost => counters.statsd_datagrams_dropped.up(),
            }
            self.sent += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixDatagram;

    const OK: Sample = Sample { duration_us: 1500, queue_us: Some(0) };

    fn udp() -> (UdpSocket, UdpSocket) {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        receiver.set_nonblocking(true).unwrap();
        (sender, receiver)
    }

    fn statsd(sender: &impl AsRawFd, prefix: &str, tags: &str) -> io::Result<Option<Statsd>> {
        let (prefix, tags) = (prefix.to_owned(), tags.to_owned());
        Statsd::new(&StatsdSettings { socket: sender.as_raw_fd(), prefix, tags })
    }

    /// What has come: the sum of all counts, and the last of all levels.
    fn received(receive: impl Fn(&mut [u8]) -> io::Result<usize>) -> HashMap<String, f64> {
        let mut found = HashMap::new();
        let mut buffer = [0; 2000];
        while let Ok(length) = receive(&mut buffer) {
            for line in std::str::from_utf8(&buffer[..length]).unwrap().split('\n') {
                let (name, rest) = line.split_once(':').unwrap();
                let mut parts = rest.split('|');
                let value: f64 = parts.next().unwrap().parse().unwrap();
                let kind = parts.next().unwrap();
                let rate = parts.next().map_or(1.0, |rate| rate[1..].parse().unwrap());
                match kind {
                    "c" => *found.entry(name.to_owned()).or_default() += value,
                    "g" => drop(found.insert(name.to_owned(), value)),
                    _ => *found.entry(format!("{name}.count")).or_default() += 1.0 / rate,
                }
            }
        }
        found
    }

    #[test]
    fn a_report_adds_up() {
        let (sender, receiver) = udp();
        let counters = Counters::default();
        let mut statsd = statsd(&sender, "a.", "").unwrap().unwrap();
        assert_eq!(statsd.due_in(0), REPORT_EVERY_MS);
        for _ in 0..10_000 {
            statsd.add(200, OK);
        }
        statsd.add(404, Sample { queue_us: None, ..OK });
        counters.requests_shed.add(3);
        let levels = Levels { workers: 2, queued: 7, ..Levels::default() };
        statsd.work(REPORT_EVERY_MS, &levels, &counters);
        assert_eq!(statsd.due_in(REPORT_EVERY_MS), REPORT_EVERY_MS);
        let found = received(|buffer| receiver.recv(buffer));
        for (name, value) in [
            ("a.gunicorn.requests", 10_001.0),
            ("a.gunicorn.request.status.200", 10_000.0),
            ("a.gunicorn.request.status.404", 1.0),
            ("a.gunicorn.workers", 2.0),
            ("a.pelton.requests_queued", 7.0),
            ("a.pelton.requests_shed", 3.0),
        ] {
            assert_eq!(found.get(name), Some(&value), "{name}");
        }
        let durations = found["a.gunicorn.request.duration.count"];
        assert!((durations - 10_001.0).abs() < 0.1, "{durations}");
        // Nothing happened since.
        statsd.work(2 * REPORT_EVERY_MS, &levels, &counters);
        let found = received(|buffer| receiver.recv(buffer));
        assert!(found.contains_key("a.gunicorn.workers") && !found.contains_key("a.gunicorn.requests"));
        assert!(!found.contains_key("a.pelton.requests_shed"));
        statsd.add(200, OK);
        statsd.finish(&counters);
        let found = received(|buffer| receiver.recv(buffer));
        assert_eq!(found.get("a.gunicorn.requests"), Some(&1.0));
        assert!(!found.contains_key("a.gunicorn.workers"));
    }

    #[test]
    fn a_receiver_that_has_gone_is_reported_once_a_minute() {
        let (sender, receiver) = udp();
        drop(receiver);
        let counters = Counters::default();
        let mut statsd = statsd(&sender, "", "").unwrap().unwrap();
        for second in 1..=5 {
            statsd.work(second * REPORT_EVERY_MS, &Levels::default(), &counters);
        }
        // Of the last one nothing is known yet.
        assert_eq!(statsd.losses(5000, &counters), Some(4));
        statsd.work(6000, &Levels::default(), &counters);
        assert_eq!(statsd.losses(6000, &counters), None);
        assert_eq!(statsd.losses(65_000, &counters), Some(1));
    }

    #[test]
    fn a_unix_socket_without_room_gets_the_rest_later_or_never() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("statsd");
        let receiver = UnixDatagram::bind(&path).unwrap();
        receiver.set_nonblocking(true).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect(&path).unwrap();
        let counters = Counters::default();
        // So many tags that each line is a datagram.
        let mut statsd = statsd(&sender, "", &"t".repeat(1300)).unwrap().unwrap();
        let received = || {
            let mut buffer = [0; 2000];
            let mut count = 0;
            while receiver.recv(&mut buffer).is_ok() {
                count += 1;
            }
            count
        };
        // More than any system lets wait.
        let mut requests = 0;
        while statsd.retry_at_ms.is_none() {
            for _ in 0..2 * crate::statsd::totals::MOST_SAMPLES {
                statsd.add(200, OK);
            }
            statsd.work(statsd.report_at_ms, &Levels::default(), &counters);
            requests += 1;
            assert!(requests < 1000, "there is room for everything");
        }
        let now = statsd.report_at_ms - REPORT_EVERY_MS;
        assert_eq!(statsd.due_in(now), RETRY_MS);
        let all = statsd.packets.datagrams().count();
        let before = statsd.sent;
        assert!(received() >= before);
        let mut later = now;
        let mut count = before;
        while statsd.retry_at_ms.is_some() {
            later += RETRY_MS;
            assert!(later < statsd.report_at_ms, "it takes some each time");
            statsd.work(later, &Levels::default(), &counters);
            count += received();
        }
        assert_eq!((count, counters.statsd_datagrams_dropped.get()), (all, 0));
    }
}
