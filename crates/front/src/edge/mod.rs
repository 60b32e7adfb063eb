//! Rules of the settings about requests and responses: who may ask, own pages for errors, fields that come and go, the one right host.
//!
//! Pure: looks at values that it is given. Order and consequences are in `requests/edge_rules`. Runs on the front's thread.

use std::net::IpAddr;
use std::sync::Arc;

use pelton_http::target::percent_decode;
use pelton_http::{TrustedProxies, media};

use crate::edge::hosts::HostPattern;
use crate::paths::lies_below;
use crate::response::filters::{Filter, Head};

pub mod hosts;

/// All of them; see the settings table for the meaning of each.
#[derive(Clone, Debug, Default)]
pub struct EdgeSettings {
    /// Who may ask for what: the longest path first, there the named host, there the narrowest network. The first that fits counts.
    pub access: Vec<AccessRule>,
    /// Who is served as usual while all others are asked to come again later.
    pub maintenance_allow: TrustedProxies,
    /// Pages in the place of the front's own explanations.
    pub error_pages: Vec<ErrorPage>,
    /// Whether they also take the place of the application's own failures (5xx).
    pub pages_for_application: bool,
    /// What is changed in the heads of responses; None: nothing.
    pub response_fields: Option<FieldRules>,
    /// Names of fields that the application never sees, in lower case.
    pub hidden_fields: Vec<Vec<u8>>,
    /// The host that all others are sent on to, with a port where it has one; empty for any.
    pub canonical_host: String,
}

/// Whether a network may ask for a path.
#[derive(Clone, Debug)]
pub struct AccessRule {
    /// For these hosts.
    pub host: HostPattern,
    /// It holds for this path and all below.
    pub path: Vec<u8>,
    /// One network, or everybody.
    pub network: TrustedProxies,
    /// Whether it may.
    pub allows: bool,
}

/// A page for a status.
#[derive(Clone, Debug)]
pub struct ErrorPage {
    /// The status.
    pub status: u16,
    /// What it is.
    pub media_type: Vec<u8>,
    /// The page.
    pub body: Arc<[u8]>,
}

/// See [`EdgeSettings::response_fields`].
#[derive(Clone, Debug, Default)]
pub struct FieldRules {
    /// Taken out.
    pub removed: Vec<Vec<u8>>,
    /// Said where nothing else is said.
    pub defaults: Vec<(Vec<u8>, Vec<u8>)>,
    /// Said in the place of whatever else is said.
    pub set: Vec<(Vec<u8>, Vec<u8>)>,
}

impl EdgeSettings {
    /// Whether any of them is about requests.
    pub(crate) fn concerns_requests(&self) -> bool {
        !self.access.is_empty() || !self.hidden_fields.is_empty() || !self.canonical_host.is_empty()
    }

    /// Whether a client may ask for a path of a host. None for a client is one without an address.
    pub(crate) fn allows(&self, host: &[u8], path: &[u8], client: Option<IpAddr>) -> bool {
        if self.access.is_empty() {
            return true;
        }
        let path = normal(path);
        let mut names_allowed = false;
        let holds = |rule: &&AccessRule| lies_below(&rule.path, &path) && rule.host.fits(host);
        for rule in self.access.iter().filter(holds) {
            if rule.network.trusts(client) {
                return rule.allows;
            }
            names_allowed |= rule.allows;
        }
        // Where somebody is allowed by name, all others are not.
        !names_allowed
    }

    /// What shows a client with this `Accept` the pages for the application's failures; None where there are none.
    pub(crate) fn page_of_failure(&self, accept: &[u8]) -> Option<PageOfFailure> {
        if !self.pages_for_application {
            return None;
        }
        let mut pages: Vec<ErrorPage> = Vec::new();
        for page in self.error_pages.iter().filter(|page| page.status >= 500) {
            if pages.iter().all(|other| other.status != page.status) {
                pages.extend(self.page(page.status, accept).cloned());
            }
        }
        (!pages.is_empty()).then_some(PageOfFailure { pages, chosen: None })
    }

    /// The page for a status that a client with this `Accept` likes best.
    pub(crate) fn page(&self, status: u16, accept: &[u8]) -> Option<&ErrorPage> {
        let fitting = || self.error_pages.iter().filter(|page| page.status == status);
        let number = media::best(accept, fitting().map(|page| &page.media_type[..]))?;
        fitting().nth(number)
    }
}

/// A path as applications may understand it: decoded, without empty and dot segments. Who may not have `/admin` shall not get it by another
/// spelling.
pub(crate) fn normal(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    percent_decode(path, &mut decoded);
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in decoded.split(|&byte| byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let mut made = Vec::with_capacity(decoded.len());
    for segment in segments {
        made.push(b'/');
        made.extend_from_slice(segment);
    }
    if made.is_empty() {
        made.push(b'/');
    }
    made
}

/// Puts a page in the place of what the application says of its own failure.
#[derive(Debug)]
pub(crate) struct PageOfFailure {
    /// Those that this client would get: the best one for each status.
    pub(crate) pages: Vec<ErrorPage>,
    /// The one that is sent.
    pub(crate) chosen: Option<Arc<[u8]>>,
}

impl Filter for PageOfFailure {
    fn head(&mut self, head: &mut Head<'_>) -> bool {
        let Some(page) = self.pages.iter().find(|page| page.status == head.status) else { return false };
        for name in OF_A_BODY {
            head.remove(name);
        }
        head.fields.push((b"Content-Type"[..].into(), page.media_type.clone().into()));
        head.fields.push((b"Cache-Control"[..].into(), b"no-store"[..].into()));
        head.known_length = Some(page.body.len() as u64);
        self.chosen = Some(Arc::clone(&page.body));
        true
    }

    fn body(&mut self, _piece: &[u8], _out: &mut Vec<u8>) {}

    fn end(&mut self, out: &mut Vec<u8>) {
        if let Some(page) = self.chosen.take() {
            out.extend_from_slice(&page);
        }
    }
}

/// Fields about the body that is not sent.
const OF_A_BODY: [&[u8]; 9] = [
    b"content-type",
    b"content-length",
    b"content-encoding",
    b"content-language",
    b"content-disposition",
    b"cache-control",
    b"accept-ranges",
    b"etag",
    b"last-modified",
];

impl FieldRules {
    /// Changes a head.
    pub(crate) fn apply(&self, head: &mut Head<'_>) {
        for name in &self.removed {
            head.remove(name);
        }
        for (name, value) in &self.set {
            head.remove(name);
            head.fields.push((name.clone().into(), value.clone().into()));
        }
        for (name, value) in &self.defaults {
            if head.find(name).is_none() {
                head.fields.push((name.clone().into(), value.clone().into()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(path: &str, network: &str, allows: bool) -> AccessRule {
        let network = TrustedProxies::parse(network).unwrap();
        let (host, path) = path.split_at(path.find('/').unwrap());
        AccessRule { host: HostPattern::new(host), path: path.as_bytes().to_vec(), network, allows }
    }

    fn allows(rules: &[AccessRule], path: &str, client: &str) -> bool {
        let edge = EdgeSettings { access: rules.to_vec(), ..EdgeSettings::default() };
        let (host, path) = path.split_at(path.find('/').unwrap_or_default());
        edge.allows(host.as_bytes(), path.as_bytes(), client.parse().ok())
    }

    #[test]
    fn the_longest_path_and_there_the_narrowest_network_counts() {
        let rules = [
            rule("/admin", "10.0.0.5", false),
            rule("/admin", "10.0.0.0/8", true),
            rule("/", "192.0.2.0/24", false),
        ];
        for (path, client, allowed) in [
            ("/", "10.0.0.5", true),
            ("/", "192.0.2.1", false),
            ("/admin", "10.0.0.1", true),
            ("/admin/x", "::ffff:10.0.0.1", true),
            ("/admin", "10.0.0.5", false),
            ("/admin", "8.8.8.8", false),
            ("/admins", "8.8.8.8", true),
            ("/admin", "192.0.2.1", false),
            ("/admin", "a unix socket", false),
            ("/", "a unix socket", true),
        ] {
            assert_eq!(allows(&rules, path, client), allowed, "{path} {client}");
        }
    }

    #[test]
    fn a_rule_for_a_host_holds_there_only() {
        let rules = [
            rule("/inner", "*", false),
            rule("admin.example/", "10.0.0.0/8", true),
            rule("/", "192.0.2.0/24", false),
        ];
        for (path, client, allowed) in [
            ("admin.example/", "10.0.0.1", true),
            ("ADMIN.example.:443/x", "10.0.0.1", true),
            ("ADMIN.example.:443/x", "8.8.8.8", false),
            ("www.example/", "8.8.8.8", true),
            ("/", "8.8.8.8", true),
            // The longer path counts, whoever the host is.
            ("admin.example/inner", "10.0.0.1", false),
            ("www.example/", "192.0.2.1", false),
        ] {
            assert_eq!(allows(&rules, path, client), allowed, "{path} {client}");
        }
    }

    #[test]
    fn another_spelling_of_a_path_is_the_same_path() {
        let rules = [rule("/admin", "*", false)];
        for path in
            ["/admin", "/%61dmin", "//admin", "/./admin", "/x/../admin", "/x//..//admin/", "/%2e/admin"]
        {
            assert!(!allows(&rules, path, "10.0.0.1"), "{path}");
        }
        for path in ["/", "", "/x/admin", "/administrators", "/admin/.."] {
            assert!(allows(&rules, path, "10.0.0.1"), "{path}");
        }
    }

    #[test]
    fn everything_but_a_part_may_be_forbidden() {
        let rules = [rule("/public", "*", true), rule("/", "*", false)];
        assert!(allows(&rules, "/public/a", "10.0.0.1") && !allows(&rules, "/", "10.0.0.1"));
        assert!(allows(&[], "/", "10.0.0.1"));
    }

    #[test]
    fn fields_come_and_go() {
        let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let rules = FieldRules {
            removed: vec![b"x-powered-by".to_vec()],
            defaults: vec![pair("X-Frame-Options", "SAMEORIGIN"), pair("Referrer-Policy", "same-origin")],
            set: vec![pair("X-Site", "a")],
        };
        let said = [("X-Powered-By", "Flask"), ("x-frame-options", "DENY"), ("x-site", "b"), ("X-Site", "c")];
        let fields = said.iter().map(|(name, value)| (name.as_bytes().into(), value.as_bytes().into()));
        let mut head = Head { status: 200, fields: fields.collect(), known_length: None };
        rules.apply(&mut head);
        let left: Vec<_> =
            head.fields.iter().map(|(name, value)| [&**name, b": ", &**value].concat()).collect();
        let expected: [&[u8]; 3] = [b"x-frame-options: DENY", b"X-Site: a", b"Referrer-Policy: same-origin"];
        assert_eq!(left, expected);
    }
}
