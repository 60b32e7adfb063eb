//! Metrics as lines, several in a datagram.
//!
//! `name:value|type`, with `|@rate` for a part of all values and `|#tags` where there are any (Datadog's form). Pure.

use crate::access::text::decimal;

/// What fits into an Ethernet frame behind the headers of IPv6 and UDP, with something left for a tunnel.
const MOST_BYTES: usize = 1432;

#[derive(Debug)]
pub struct Packets {
    /// Before each name.
    prefix: Box<[u8]>,
    /// Behind each line: nothing, or `|#` and the tags.
    suffix: Box<[u8]>,
    bytes: Vec<u8>,
    /// Where each datagram but the last one ends.
    ends: Vec<usize>,
}

impl Packets {
    /// For names that begin with `prefix`; `tags` may be empty.
    pub fn new(prefix: &str, tags: &str) -> Self {
        let suffix = if tags.is_empty() { String::new() } else { format!("|#{tags}") };
        let (prefix, suffix) = (prefix.as_bytes().into(), suffix.into_bytes().into());
        Packets { prefix, suffix, bytes: Vec::new(), ends: Vec::new() }
    }

    /// So many more.
    pub fn count(&mut self, name: &str, by: u64) {
        self.line(name, |out| decimal(out, by), "|c");
    }

    /// So many at present.
    pub fn gauge(&mut self, name: &str, value: u64) {
        self.line(name, |out| decimal(out, value), "|g");
    }

    /// A value among many; `kind` is `|ms`, with the part that was kept.
    pub fn timing(&mut self, name: &str, us: u64, kind: &str) {
        self.line(name, |out| milliseconds(out, us), kind);
    }

    fn line(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>), kind: &str) {
        let packet = self.ends.last().copied().unwrap_or(0);
        let start = self.bytes.len();
        if start > packet {
            self.bytes.push(b'\n');
        }
        self.bytes.extend_from_slice(&self.prefix);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(b':');
        value(&mut self.bytes);
        self.bytes.extend_from_slice(kind.as_bytes());
        self.bytes.extend_from_slice(&self.suffix);
        if self.bytes.len() - packet > MOST_BYTES && start > packet {
            // It begins the next one, and nothing has to stand between.
            self.bytes.remove(start);
            self.ends.push(start);
        }
    }

    /// The datagrams, in order.
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ends = self.ends.iter().copied().chain(std::iter::once(self.bytes.len()));
        starts.zip(ends).filter_map(|(start, end)| self.bytes.get(start..end)).filter(|all| !all.is_empty())
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// Microseconds as `1.250`.
fn milliseconds(out: &mut Vec<u8>, us: u64) {
    decimal(out, us / 1000);
    let rest = (us % 1000) as u16;
    let digit = |n: u16| b'0' + (n % 10) as u8;
    out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(packets: &Packets) -> Vec<String> {
        packets.datagrams().map(|one| String::from_utf8(one.to_vec()).unwrap()).collect()
    }

    #[test]
    fn lines_to_the_letter() {
        let mut packets = Packets::new("shop.", "env:test,host:a");
        packets.count("requests", 12);
        packets.gauge("workers", 0);
        packets.timing("duration", 12_045, "|ms|@0.50000000");
        let expected = "shop.requests:12|c|#env:test,host:a\nshop.workers:0|g|#env:test,host:a\n\
                        shop.duration:12.045|ms|@0.50000000|#env:test,host:a";
        assert_eq!(texts(&packets), [expected]);
        packets.clear();
        assert_eq!(texts(&packets), [] as [&str; 0]);
        let mut bare = Packets::new("", "");
        bare.timing("d", 7, "|ms");
        assert_eq!(texts(&bare), ["d:0.007|ms"]);
    }

    #[test]
    fn no_line_is_torn_and_no_datagram_is_too_long() {
        let mut packets = Packets::new("a.", "");
        let names: Vec<_> = (0..500).map(|number| format!("metric.{number}")).collect();
        for name in &names {
            packets.count(name, 1);
        }
        let all = texts(&packets);
        assert!(all.len() > 3 && all.iter().all(|one| one.len() <= MOST_BYTES));
        // Each but the last is full: another line would not have fitted.
        assert!(all.iter().rev().skip(1).all(|one| one.len() > MOST_BYTES - 20));
        let lines: Vec<_> = all.iter().flat_map(|one| one.split('\n')).map(str::to_owned).collect();
        assert_eq!(lines, names.iter().map(|name| format!("a.{name}:1|c")).collect::<Vec<_>>());
    }

    #[test]
    fn a_line_that_is_too_long_by_itself_goes_alone() {
        let mut packets = Packets::new("", &"t".repeat(2 * MOST_BYTES));
        packets.count("a", 1);
        packets.count("b", 1);
        assert_eq!(texts(&packets).iter().map(|one| &one[..2]).collect::<Vec<_>>(), ["a:", "b:"]);
    }
}
