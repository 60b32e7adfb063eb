//! What proxies say about the client of a request: `Forwarded` (RFC 7239) and the `X-Forwarded-*` fields.
//!
//! Owns who is believed ([`TrustedProxies`]), how the hops are walked ([`resolve`]) and which fields are about this at
//! all ([`is_forwarding_field`]). Must not know connections. Allocates nothing.
//!
//! **The walk.** Each proxy appends whom it got the request from, so the last entry is the word of the peer, the one
//! before it the word of whom the peer names, and so on. From the right, the first entry that does not name a trusted hop
//! is the client; what stands left of it was written by that client and is not looked at. An entry that counts and is
//! malformed refuses the request, because a wrong client is worse than none.
//!
//! **Both kinds at once.** A proxy that knows one kind passes the other on as the client wrote it, and which kind a
//! proxy knows cannot be seen. So where both say something about the client, the scheme or the host, they must agree;
//! else the request is refused. An operator who sees those refusals lets the proxy remove the kind that it does not
//! write.

mod elements;
mod node;
mod trusted;

use std::net::IpAddr;

use crate::error::HttpError;
use crate::header_policy::{is_pchar, last_member, list_members, valid_authority};
use crate::known::Known;
use elements::{Element, elements};
use node::{parse_node, port_number};

pub use node::{Client, Node};
pub use trusted::TrustedProxies;
pub(crate) use trusted::plain;

/// What trusted proxies have said. A part that none of them spoke about is None, and what the connection itself shows
/// stays valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resolved<'a> {
    /// The client and its port.
    pub client: Option<Node<'a>>,
    /// Whether the client came by https.
    pub https: Option<bool>,
    /// `host[:port]` that the client asked for; valid as the value of Host and not empty.
    pub host: Option<&'a [u8]>,
    /// The port that the client connected to.
    pub port: Option<u16>,
    /// The path below which the application is mounted at the proxy: starts with `/`, does not end with it, has no
    /// empty, `.` or `..` segments and no percent sign. Empty if the proxy says `/`.
    pub prefix: Option<&'a [u8]>,
}

/// What the fields of a request from `peer` (None: a unix socket) say, if it may say it.
///
/// `fields` are all of the request in order of arrival; those of other names are skipped. Ok(None) if the peer is
/// not trusted or none of the fields is there. Names with underscores are never believed.
pub fn resolve<'a>(
    trusted: &TrustedProxies,
    peer: Option<(IpAddr, u16)>,
    fields: impl IntoIterator<Item = (Known, &'a [u8])>,
) -> Result<Option<Resolved<'a>>, HttpError> {
    if !trusted.trusts(peer.map(|(address, _)| address)) {
        return Ok(None);
    }
    let mut said = Said::default();
    for (known, value) in fields {
        match known {
            Known::Forwarded => said.forwarded(trusted, value)?,
            Known::XForwardedFor => said.forwarded_for(trusted, value),
            Known::XForwardedProto => said.proto = last_member(value).or(said.proto),
            Known::XForwardedHost => said.host = last_member(value).or(said.host),
            Known::XForwardedPort => said.port = last_member(value).or(said.port),
            Known::XForwardedPrefix => said.prefix = last_member(value).or(said.prefix),
            _ => continue,
        }
        said.anything = true;
    }
    if said.anything { said.conclude().map(Some) } else { Ok(None) }
}

/// Collected in one pass over the fields. The walk from the right is made from the left: the first entry is kept, and
/// each one that is no trusted hop takes the place of what was kept before; so the last of those remains.
#[derive(Default)]
struct Said<'a> {
    anything: bool,
    element: Option<Element<'a>>,
    /// An entry of X-Forwarded-For; None inside if it is malformed.
    client: Option<Option<Node<'a>>>,
    proto: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    port: Option<&'a [u8]>,
    prefix: Option<&'a [u8]>,
}

impl<'a> Said<'a> {
    fn forwarded(&mut self, trusted: &TrustedProxies, value: &'a [u8]) -> Result<(), HttpError> {
        elements(value, |element| {
            // Who does not say whom the request came from ends the walk, too.
            let node = element.client.and_then(|client| parse_node(client, false));
            if self.element.is_none() || !is_hop(trusted, node) {
                self.element = Some(element);
            }
        })
    }

    fn forwarded_for(&mut self, trusted: &TrustedProxies, value: &'a [u8]) {
        for member in list_members(value) {
            let node = parse_node(member, true);
            if self.client.is_none() || !is_hop(trusted, node) {
                self.client = Some(node);
            }
        }
    }

    fn conclude(self) -> Result<Resolved<'a>, HttpError> {
        let element = self.element.unwrap_or_default();
        let client = checked(element.client, |text| parse_node(text, false))?;
        let other_client = checked(self.client, |node| node)?;
        let https = checked(element.proto, is_https)?;
        let host = checked(element.host, valid_host)?;
        Ok(Resolved {
            client: agreed(client, other_client, same_client)?,
            https: agreed(https, checked(self.proto, is_https)?, |one, other| one == other)?,
            host: agreed(host, checked(self.host, valid_host)?, <[u8]>::eq_ignore_ascii_case)?,
            port: checked(self.port, |text| port_number(text).filter(|&port| port > 0))?,
            prefix: checked(self.prefix, valid_prefix)?,
        })
    }
}

/// What was said, if anything, in the form that it must have.
fn checked<S, T>(said: Option<S>, read: impl FnOnce(S) -> Option<T>) -> Result<Option<T>, HttpError> {
    said.map(|said| read(said).ok_or(HttpError::ForwardedInvalid)).transpose()
}

fn is_hop(trusted: &TrustedProxies, node: Option<Node<'_>>) -> bool {
    matches!(node, Some((Client::Address(address), _)) if trusted.is_hop(address))
}

/// What both kinds say, or the one that says something.
fn agreed<T: Copy>(
    one: Option<T>,
    other: Option<T>,
    same: impl Fn(T, T) -> bool,
) -> Result<Option<T>, HttpError> {
    match (one, other) {
        (Some(one), Some(other)) if !same(one, other) => Err(HttpError::ForwardedConflict),
        _ => Ok(one.or(other)),
    }
}

/// Whether both name the same client. A port that only one of them knows is no contradiction.
fn same_client(one: Node<'_>, other: Node<'_>) -> bool {
    one.0 == other.0 && (one.1.is_none() || other.1.is_none() || one.1 == other.1)
}

/// Whether the scheme is https. Some proxies name the scheme of a WebSocket.
fn is_https(scheme: &[u8]) -> Option<bool> {
    if scheme.eq_ignore_ascii_case(b"https") || scheme.eq_ignore_ascii_case(b"wss") {
        Some(true)
    } else if scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"ws") {
        Some(false)
    } else {
        None
    }
}

/// As Host, but a proxy that names a host names one.
fn valid_host(host: &[u8]) -> Option<&[u8]> {
    (!matches!(host, [] | [b':', ..]) && valid_authority(host)).then_some(host)
}

/// See [`Resolved::prefix`]. No percent sign: whether it is to be decoded is not agreed on, and what it hides could be
/// a slash.
fn valid_prefix(prefix: &[u8]) -> Option<&[u8]> {
    let segments = prefix.strip_prefix(b"/")?;
    if segments.is_empty() {
        return Some(b"");
    }
    let valid = segments.split(|&byte| byte == b'/').all(|segment| {
        !matches!(segment, b"" | b"." | b"..") && segment.iter().all(|&byte| byte != b'%' && is_pchar(byte))
    });
    valid.then_some(prefix)
}

/// Whether a field says something about whom a request came from or how, so that it must go when it comes from somebody
/// who is not trusted: what is interpreted here, and what applications and other servers are known to believe.
///
/// A name with underscores counts as the one that it would be taken for.
#[inline]
pub fn is_forwarding_field(known: Known, name: &[u8]) -> bool {
    match known {
        Known::Forwarded
        | Known::XForwardedFor
        | Known::XForwardedHost
        | Known::XForwardedPort
        | Known::XForwardedPrefix
        | Known::XForwardedProto
        | Known::XRealIp => true,
        Known::Other => is_rare_forwarding_name(name),
        _ => false,
    }
}

const RARE: [&[u8]; 9] = [
    b"x-real-ip",
    b"x-scheme",
    b"x-client-ip",
    b"x-url-scheme",
    b"x-script-name",
    b"true-client-ip",
    b"front-end-https",
    b"x-cluster-client-ip",
    b"x-original-forwarded-for",
];

fn is_rare_forwarding_name(name: &[u8]) -> bool {
    // The first letter rules out most names.
    matches!(name.first().map(|byte| byte | 0x20), Some(b'x' | b't' | b'f'))
        && (name.get(..12).is_some_and(|start| reads_as(start, b"x-forwarded-"))
            || RARE.iter().any(|rare| reads_as(name, rare)))
}

/// Whether the environ key of `name` is that of `lower`.
fn reads_as(name: &[u8], lower: &[u8]) -> bool {
    let letter = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == lower.len() && name.iter().zip(lower).all(|(&byte, &wanted)| letter(byte) == wanted)
}

#[cfg(test)]
mod tests;
