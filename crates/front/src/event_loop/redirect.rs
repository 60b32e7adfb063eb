//! Clients who came by HTTP and are to come by HTTPS: redirected where the listener is for that, refused with a hint where it is not.
//!
//! Here, too, ACME's challenges are answered that come by HTTP (RFC 8555 section 8.3). Runs on the front's thread.

use std::collections::HashMap;

use pelton_http::Known;

use crate::event_loop::EventLoop;
use crate::exchange::ExchangeId;
use crate::response::own::Response;
use crate::transport::listener::Role;

const CHALLENGES: &[u8] = b"/.well-known/acme-challenge/";
const OCTETS: &[u8] = b"application/octet-stream";

/// What an ACME server is to find below `/.well-known/acme-challenge/`, by name.
pub type Challenges = HashMap<Vec<u8>, String>;

impl EventLoop {
    /// Answers a request that is not for the application because of how it came. False: it is.
    pub(crate) fn respond_by_role(&mut self, id: ExchangeId, bytes: &[u8]) -> bool {
        let Some(role) = self.connection_of(id).map(|connection| connection.role) else { return false };
        if matches!(role, Role::Redirect | Role::Application) && self.respond_to_challenge(id, bytes) {
            return true;
        }
        match role {
            Role::Application | Role::Admin | Role::Agent => self.respond_to_check(id, bytes),
            Role::Redirect => {
                let own = match self.https_address(bytes, self.https_port) {
                    Some(address) => {
                        let mut own =
                            Response::text(308, &format!("This is at {address}"), self.has_no_body());
                        own.fields.push((b"Location"[..].into(), address.into_bytes().into()));
                        own
                    }
                    None => {
                        Response::text(400, "This server speaks HTTPS; the request names no host.", false)
                    }
                };
                self.shared.counters.redirects.up();
                self.note_head(id, bytes);
                self.respond(id, own);
                true
            }
            Role::PlainOnTls => {
                let text = match self.https_address(bytes, None) {
                    Some(address) => format!("This port speaks HTTPS and got HTTP. Use {address}"),
                    None => "This port speaks HTTPS and got HTTP.".to_owned(),
                };
                self.note_head(id, bytes);
                self.respond(id, Response::text(400, &text, false));
                true
            }
        }
    }

    fn has_no_body(&self) -> bool {
        self.head.length.is_empty()
    }

    /// Where the request would be right; with a port where it is not the one that the client has used.
    fn https_address(&self, bytes: &[u8], port: Option<u16>) -> Option<String> {
        let head = &self.head;
        let host = head.fields.iter().find(|field| field.known == Known::Host)?;
        // Both were looked at when the head was parsed: no controls, no spaces.
        let host = std::str::from_utf8(host.value.of(bytes)).ok().filter(|host| !host.is_empty())?;
        let target = std::str::from_utf8(head.target.of(bytes)).ok()?;
        let target = match target.find("://") {
            Some(_) if !target.starts_with('/') => {
                target.splitn(4, '/').nth(3).map(|rest| format!("/{rest}"))
            }
            _ if target.starts_with('/') => Some(target.to_owned()),
            _ => None,
        };
        let host = match port {
            None => host.to_owned(),
            Some(443) => without_port(host).to_owned(),
            Some(port) => format!("{}:{port}", without_port(host)),
        };
        Some(format!("https://{host}{}", target.as_deref().unwrap_or("/")))
    }

    /// Answers an ACME server that looks for its challenge.
    fn respond_to_challenge(&mut self, id: ExchangeId, bytes: &[u8]) -> bool {
        if self.challenges.is_empty() {
            return false;
        }
        let path = self.head.path.of(bytes);
        let Some(text) = path.strip_prefix(CHALLENGES).and_then(|token| self.challenges.get(token)) else {
            return false;
        };
        let own = Response::line(200, OCTETS, text, self.has_no_body());
        self.shared.counters.challenges_answered.up();
        self.note_head(id, bytes);
        self.respond(id, own);
        true
    }
}

fn without_port(host: &str) -> &str {
    let end = host.rfind(']').unwrap_or(0);
    match host.get(end..).and_then(|rest| rest.find(':')) {
        Some(colon) => host.get(..end + colon).unwrap_or(host),
        None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::without_port;

    #[test]
    fn ports_are_cut_off_hosts() {
        for (host, bare) in [
            ("a.example", "a.example"),
            ("a.example:80", "a.example"),
            ("[::1]", "[::1]"),
            ("[::1]:8080", "[::1]"),
            ("127.0.0.1:8080", "127.0.0.1"),
        ] {
            assert_eq!(without_port(host), bare);
        }
    }
}
