//! The two tables of HPACK (RFC 7541 section 2.3): what everybody knows, and what the client has said before.

use std::collections::VecDeque;

use super::Malformed;

/// Appendix A; the first entry has index 1.
pub(crate) static STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// What an entry counts besides its bytes (section 4.1).
pub(crate) const OVERHEAD: usize = 32;

/// What the client may let us remember, as it knows without a word of ours (RFC 9113 section 6.5.2).
pub(crate) const TABLE_BYTES: usize = 4096;

struct Entry {
    bytes: Box<[u8]>,
    name: usize,
}

/// The client's own entries, the latest first.
#[derive(Default)]
pub(crate) struct Table {
    entries: VecDeque<Entry>,
    size: usize,
    most: usize,
}

impl Table {
    pub(crate) fn new() -> Self {
        Table { entries: VecDeque::new(), size: 0, most: TABLE_BYTES }
    }

    /// The field with this index.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Result<(&[u8], &[u8]), Malformed> {
        let index = index.checked_sub(1).ok_or(Malformed)?;
        if let Some((name, value)) = STATIC.get(index) {
            return Ok((name.as_bytes(), value.as_bytes()));
        }
        let entry = self.entries.get(index - STATIC.len()).ok_or(Malformed)?;
        entry.bytes.split_at_checked(entry.name).ok_or(Malformed)
    }

    /// Section 4.4: what is too large empties the table, and is no error.
    pub(crate) fn insert(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + OVERHEAD;
        self.shrink_to(self.most.saturating_sub(size));
        if size <= self.most {
            self.size += size;
            self.entries.push_front(Entry { bytes: [name, value].concat().into(), name: name.len() });
        }
    }

    /// Section 6.3.
    pub(crate) fn resize(&mut self, most: usize) -> Result<(), Malformed> {
        if most > TABLE_BYTES {
            return Err(Malformed);
        }
        self.most = most;
        self.shrink_to(most);
        Ok(())
    }

    fn shrink_to(&mut self, size: usize) {
        while self.size > size {
            let Some(entry) = self.entries.pop_back() else { break };
            self.size -= entry.bytes.len() + OVERHEAD;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_entry_comes_first_and_the_oldest_goes() {
        let mut table = Table::new();
        assert_eq!(table.get(0), Err(Malformed));
        assert_eq!(table.get(2), Ok((&b":method"[..], &b"GET"[..])));
        assert_eq!(table.get(61), Ok((&b"www-authenticate"[..], &b""[..])));
        assert_eq!(table.get(62), Err(Malformed));
        table.insert(b"a", b"1");
        table.insert(b"b", b"2");
        assert_eq!(table.get(62), Ok((&b"b"[..], &b"2"[..])));
        assert_eq!(table.get(63), Ok((&b"a"[..], &b"1"[..])));
        table.resize(34).unwrap();
        assert_eq!((table.get(62), table.get(63)), (Ok((&b"b"[..], &b"2"[..])), Err(Malformed)));
        table.insert(b"too", b"large for it");
        assert_eq!((table.get(62), table.size), (Err(Malformed), 0));
        assert_eq!(table.resize(TABLE_BYTES + 1), Err(Malformed));
    }
}
