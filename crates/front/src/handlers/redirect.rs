//! Clients who came by HTTP and are to come by HTTPS: redirected where the listener is for that, refused with a hint where it is not.
//!
//! Here, too, ACME's challenges are answered that come by HTTP (RFC 8555 section 8.3). Runs on the front's thread.

use pelton_http::Known;

use crate::front::Front;
use crate::handlers::health;
use crate::ids::ExchangeId;
use crate::recording::request_records;
use crate::response::own::Response;
use crate::response::respond;
use crate::transport::listener::Role;

const CHALLENGES: &[u8] = b"/.well-known/acme-challenge/";

const OCTETS: &[u8] = b"application/octet-stream";

/// Answers a request that is not for the application because of how it came. False: it is.
pub(crate) fn respond_by_role(front: &mut Front, id: ExchangeId, bytes: &[u8]) -> bool {
    let Some(role) = front.connection_of(id).map(|connection| connection.role) else { return false };
    if matches!(role, Role::Redirect | Role::Application) && respond_to_challenge(front, id, bytes) {
        return true;
    }
    match role {
        Role::Application | Role::Admin | Role::Agent => health::respond_to_check(front, id, bytes),
        Role::Redirect => {
            let own = match https_address(front, bytes, front.https_port) {
                Some(address) => {
                    let mut own = Response::text(308, &format!("This is at {address}"), has_no_body(front));
                    own.fields.push((b"Location"[..].into(), address.into_bytes().into()));
                    own
                }
                None => Response::text(400, "This server speaks HTTPS; the request names no host.", false),
            };
            front.shared.counters.redirects.up();
            request_records::note_head(front, id, bytes);
            respond::respond(front, id, own);
            true
        }
        Role::PlainOnTls => {
            let text = match https_address(front, bytes, None) {
                Some(address) => format!("This port speaks HTTPS and got HTTP. Use {address}"),
                None => "This port speaks HTTPS and got HTTP.".to_owned(),
            };
            request_records::note_head(front, id, bytes);
            respond::respond(front, id, Response::text(400, &text, false));
            true
        }
    }
}

fn has_no_body(front: &Front) -> bool {
    front.head.length.is_empty()
}

/// Where the request would be right; with a port where it is not the one that the client has used.
fn https_address(front: &Front, bytes: &[u8], port: Option<u16>) -> Option<String> {
    let head = &front.head;
    let host = head.fields.iter().find(|field| field.known == Known::Host)?;
    // Both were looked at when the head was parsed: no controls, no spaces.
    let host = std::str::from_utf8(host.value.of(bytes)).ok().filter(|host| !host.is_empty())?;
    let target = std::str::from_utf8(head.target.of(bytes)).ok()?;
    let target = match target.find("://") {
        Some(_) if !target.starts_with('/') => target.splitn(4, '/').nth(3).map(|rest| format!("/{rest}")),
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
fn respond_to_challenge(front: &mut Front, id: ExchangeId, bytes: &[u8]) -> bool {
    if front.challenges.is_empty() {
        return false;
    }
    let path = front.head.path.of(bytes);
    let Some(text) = path.strip_prefix(CHALLENGES).and_then(|token| front.challenges.get(token)) else {
        return false;
    };
    let own = Response::line(200, OCTETS, text, has_no_body(front));
    front.shared.counters.challenges_answered.up();
    request_records::note_head(front, id, bytes);
    respond::respond(front, id, own);
    true
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
