//! Which hosts a rule of the settings is for: one, all below one, or any.
//!
//! The same as mounts in Python (`loader/mounts.py`), so that a rule for a host and an application of that host mean the same requests. Pure.

/// A host, or all hosts below one, as a rule names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPattern {
    /// In lower case; empty for any. `.example.com` for all below `example.com`.
    name: Vec<u8>,
    /// Digits; None for any.
    port: Option<Vec<u8>>,
}

impl HostPattern {
    /// `shop.example.com`, `shop.example.com:8443` or `*.example.com`; empty for any.
    pub fn new(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let (name, port) = name_and_port(text.as_bytes());
        let name = name.strip_prefix(b"*").filter(|rest| rest.starts_with(b".")).unwrap_or(name);
        HostPattern { name: name.to_vec(), port: (!port.is_empty()).then(|| port.to_vec()) }
    }

    /// Whether a request for `host` (with its port where it has one) is meant.
    #[inline]
    pub fn fits(&self, host: &[u8]) -> bool {
        if self.name.is_empty() {
            return true;
        }
        let (name, port) = name_and_port(host);
        if self.port.as_ref().is_some_and(|wanted| wanted != port) {
            return false;
        }
        match name.len().checked_sub(self.name.len()) {
            Some(0) => !self.is_ending() && name.eq_ignore_ascii_case(&self.name),
            Some(start) => {
                let ending = name.get(start..).unwrap_or_default();
                self.is_ending() && ending.eq_ignore_ascii_case(&self.name)
            }
            None => false,
        }
    }

    /// Of two rules for the same path the one with the higher rank counts: a named host before a pattern before any.
    pub fn rank(&self) -> usize {
        let kind = if self.name.is_empty() { 0 } else { 1 + 1000 * usize::from(!self.is_ending()) };
        kind + self.name.len() + usize::from(self.port.is_some())
    }

    /// As it is written.
    pub fn text(&self) -> String {
        let star = if self.is_ending() { "*" } else { "" };
        let name = String::from_utf8_lossy(&self.name);
        match &self.port {
            Some(port) => format!("{star}{name}:{}", String::from_utf8_lossy(port)),
            None => format!("{star}{name}"),
        }
    }

    fn is_ending(&self) -> bool {
        self.name.starts_with(b".")
    }
}

/// A port is what stands behind the last colon, if these are digits; none may stand there, too. `example.com.` is `example.com`.
fn name_and_port(host: &[u8]) -> (&[u8], &[u8]) {
    let (mut name, port) = match host.iter().rposition(|&byte| byte == b':') {
        Some(at) if host.get(at + 1..).is_some_and(|port| port.iter().all(u8::is_ascii_digit)) => {
            (host.get(..at).unwrap_or_default(), host.get(at + 1..).unwrap_or_default())
        }
        _ => (host, &b""[..]),
    };
    while let Some(rest) = name.strip_suffix(b".") {
        name = rest;
    }
    (name, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_patterns() {
        for (pattern, host, fits) in [
            ("", "any.example", true),
            ("", "", true),
            ("a.example", "a.example", true),
            ("a.example", "A.Example.:8443", true),
            ("a.example", "a.example:", true),
            ("a.example", "b.a.example", false),
            ("a.example", "xa.example", false),
            ("a.example", "", false),
            ("A.example:8443", "a.example:8443", true),
            ("a.example:8443", "a.example", false),
            ("*.example", "a.example", true),
            ("*.example", "a.b.example:1", true),
            ("*.example", "example", false),
            ("*.example", ".example", false),
            ("*.example", "notexample", false),
            ("[::1]", "[::1]:80", true),
            ("[::1]", "[::2]", false),
        ] {
            assert_eq!(HostPattern::new(pattern).fits(host.as_bytes()), fits, "{pattern} {host}");
        }
    }

    #[test]
    fn the_more_particular_counts() {
        let ranks = ["", "*.example", "*.a.example", "a.example", "a.example:1"];
        let ranks = ranks.map(|text| HostPattern::new(text).rank());
        assert!(ranks.windows(2).all(|two| two[0] < two[1]), "{ranks:?}");
        assert_eq!(HostPattern::new("*.Example:80").text(), "*.example:80");
    }
}
