//! What proxies say about clients, applied: who is believed, and how it gets into the record.
//!
//! What the fields mean is `pelton_http::forwarded`'s. Here a believed statement becomes the record's own: the client's address and port, Host,
//! the mount point, the scheme. So the application finds the truth where it looks for it, and no layer behind has to know of proxies.
//! Runs on the front's thread.

use pelton_http::forwarded::{Client, Resolved, is_forwarding_field, resolve};
use pelton_http::{Head, HttpError, Known, TrustedProxies};
use pelton_link::request::{FieldRecord, Span};
use pelton_tls::client::Variable;

use crate::transport::peer::Peer;

/// Whom to believe, and what to do with what the others say.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// Whose words count.
    pub trusted: TrustedProxies,
    /// Whether forwarding fields of others are left out; otherwise they reach the application like any other field.
    pub removes_untrusted: bool,
    /// Connections from trusted proxies begin with a PROXY header.
    pub proxy_protocol: bool,
}

/// A request as the record shall show it.
#[derive(Debug)]
pub struct Rewritten {
    /// The head, and behind it what did not stand in it.
    pub bytes: Vec<u8>,
    /// All fields.
    pub fields: Vec<FieldRecord>,
    /// The client.
    pub peer: Peer,
    /// Whether it came by https.
    pub is_https: bool,
}

impl Proxies {
    /// Whether nothing of this module is ever needed.
    #[inline]
    pub fn are_idle(&self) -> bool {
        self.trusted.is_empty() && !self.removes_untrusted
    }

    /// Whether `peer` begins its connections with a PROXY header.
    pub fn expects_header(&self, peer: &Peer) -> bool {
        self.proxy_protocol && self.trusted.trusts(peer.address.map(|(ip, _)| ip))
    }

    /// What the fields of a request say, if they may. An error refuses the request.
    pub fn resolve<'a>(
        &self,
        peer: &Peer,
        head: &Head,
        bytes: &'a [u8],
    ) -> Result<Option<Resolved<'a>>, HttpError> {
        if self.trusted.is_empty() {
            return Ok(None);
        }
        let fields = head.fields.iter().map(|field| (field.known, field.value.of(bytes)));
        resolve(&self.trusted, peer.address, fields)
    }

    /// The host that a client asks for, as the application will see it.
    pub fn host<'a>(&self, peer: &Peer, head: &Head, bytes: &'a [u8]) -> &'a [u8] {
        let said = self.resolve(peer, head, bytes).ok().flatten().and_then(|said| said.host);
        said.unwrap_or_else(|| head.authority.of(bytes))
    }
}

/// Applies what the fields say; `variables` are what the application learns of the encryption. None where the head can stay as it is.
pub fn rewrite(
    proxies: &Proxies,
    peer: &Peer,
    head: &Head,
    bytes: &[u8],
    variables: &[Variable],
) -> Option<Rewritten> {
    // An error has been answered when the head came.
    let resolved = proxies.resolve(peer, head, bytes).ok().flatten();
    let is_trusted = proxies.trusted.trusts(peer.address.map(|(ip, _)| ip));
    let removes = proxies.removes_untrusted && !is_trusted;
    if resolved.is_none() && !removes && !peer.is_tls {
        return None;
    }
    let said = resolved.unwrap_or_default();
    let mut out = Rewritten {
        bytes: bytes.to_vec(),
        fields: Vec::with_capacity(head.fields.len() + 3),
        peer: client_of(&said, peer),
        is_https: said.https.unwrap_or(peer.is_tls),
    };
    for field in &head.fields {
        let is_replaced = field.known == Known::Host && said.host.is_some();
        if is_replaced || removes && is_forwarding_field(field.known, field.name.of(bytes)) {
            continue;
        }
        let span = |span: pelton_http::Span| Span { start: span.start, end: span.end };
        out.fields.push(FieldRecord {
            name: span(field.name),
            value: span(field.value),
            known: field.known as u32,
        });
    }
    out.add(Known::Host, said.host);
    out.add(Known::MountPoint, said.prefix);
    let port = said.port.map(|port| port.to_string());
    out.add(Known::ServerPort, port.as_deref().map(str::as_bytes));
    for (name, value) in variables {
        match known_variable(name) {
            Known::Variable => out.add_variable(name, value),
            known => out.add(known, Some(value.as_bytes())),
        }
    }
    Some(out)
}

/// How the facts about the encryption stand in a record.
pub fn known_variable(name: &str) -> Known {
    match name {
        "SSL_PROTOCOL" => Known::TlsVersion,
        "SSL_CIPHER" => Known::TlsCipher,
        _ => Known::Variable,
    }
}

impl Rewritten {
    fn add_variable(&mut self, name: &str, value: &str) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(name.as_bytes());
        let name = Span { start, end: self.bytes.len() as u32 };
        self.add(Known::Variable, Some(value.as_bytes()));
        if let Some(field) = self.fields.last_mut() {
            field.name = name;
        }
    }

    fn add(&mut self, known: Known, value: Option<&[u8]>) {
        let Some(value) = value else { return };
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(value);
        let value = Span { start, end: self.bytes.len() as u32 };
        self.fields.push(FieldRecord { name: Span::default(), value, known: known as u32 });
    }
}

/// The client as it is to be shown: the one that is named, or the other end of the connection.
pub fn client_of(said: &Resolved<'_>, peer: &Peer) -> Peer {
    match said.client {
        Some((Client::Address(ip), port)) => Peer::named(ip, port.unwrap_or(0)),
        // The proxy hides it: its own address would be a wrong one.
        Some((Client::Hidden(_), _)) => Peer::unknown(),
        None => *peer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_http::{Event, Limits, Receiver};

    fn head_of(text: &str) -> (Head, Vec<u8>) {
        let (mut receiver, mut head) = (Receiver::new(), Head::default());
        let bytes = text.as_bytes().to_vec();
        let step = receiver.advance(&bytes, &Limits::default(), &mut head).unwrap();
        assert_eq!(step.event, Event::Head);
        (head, bytes)
    }

    const HEAD: &str = "GET / HTTP/1.1\r\nHost: inside\r\nX-Forwarded-For: 6.6.6.6, 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\
                        X-Forwarded-Host: shop.example\r\nX-Forwarded-Port: 8443\r\nX-Forwarded-Prefix: /shop\r\nX-Other: 1\r\n\r\n";

    fn fields(rewritten: &Rewritten) -> Vec<(u32, String)> {
        let text = |span: Span| {
            String::from_utf8_lossy(&rewritten.bytes[span.start as usize..span.end as usize]).into_owned()
        };
        rewritten.fields.iter().map(|field| (field.known, text(field.value))).collect()
    }

    #[test]
    fn what_a_trusted_proxy_says_becomes_the_records_own() {
        let (head, bytes) = head_of(HEAD);
        let proxies = Proxies { trusted: TrustedProxies::parse("10.0.0.0/8").unwrap(), ..Proxies::default() };
        let peer = Peer::named("10.1.2.3".parse().unwrap(), 999);
        let rewritten = rewrite(&proxies, &peer, &head, &bytes, &[]).unwrap();
        assert_eq!((rewritten.peer.text(), rewritten.is_https), (&b"203.0.113.9"[..], true));
        let fields = fields(&rewritten);
        assert!(fields.contains(&(Known::Host as u32, "shop.example".into())));
        assert!(!fields.iter().any(|(_, value)| value == "inside"));
        assert!(fields.contains(&(Known::MountPoint as u32, "/shop".into())));
        assert!(fields.contains(&(Known::ServerPort as u32, "8443".into())));
    }

    #[test]
    fn others_are_not_believed_and_their_fields_go_where_that_is_wanted() {
        let (head, bytes) = head_of(HEAD);
        let trusted = TrustedProxies::parse("10.0.0.0/8").unwrap();
        let peer = Peer::named("192.0.2.1".parse().unwrap(), 999);
        let mut proxies = Proxies { trusted, ..Proxies::default() };
        assert!(rewrite(&proxies, &peer, &head, &bytes, &[]).is_none());
        proxies.removes_untrusted = true;
        let rewritten = rewrite(&proxies, &peer, &head, &bytes, &[]).unwrap();
        assert_eq!((rewritten.peer.text(), rewritten.is_https), (&b"192.0.2.1"[..], false));
        let values: Vec<String> = fields(&rewritten).into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, ["inside", "1"]);
    }
}
