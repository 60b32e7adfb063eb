//! What must hold for the records of any client of TLS, in memory: a session of ours, and rustls' client or none at all.
//!
//! `crates/tls/tests/records.rs` includes this file too, so that every test run tries a little of what fuzzing tries.

use std::io::{Read, Write};
use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use pelton_tls::config::provider;
use pelton_tls::make::{Made, self_signed};
use pelton_tls::{ClientCertificates, Failure, Pair, ServerSettings, Session, Tls};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// What the client says once it may.
const SAID: &[u8] =
    b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\nand more, which is long enough for a record of its own";
const ANSWERED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

struct World {
    tls: Tls,
    /// TLS 1.2 and 1.3.
    clients: [Arc<ClientConfig>; 2],
}

/// Keys and certificates are made once.
static WORLD: LazyLock<World> = LazyLock::new(|| {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let made = |name: &str| self_signed(&[name.to_owned()], now, 30 * 86_400).expect("a certificate");
    let (own, client) = (made("a.example"), made("client.example"));
    let pair = Pair::read(own.certificate.as_bytes(), own.key.as_bytes(), None, None, &provider());
    let settings = ServerSettings {
        pairs: vec![pair.expect("a pair")],
        authorities: Some(client.certificate.clone().into_bytes()),
        client_certificates: ClientCertificates::Optional,
        protocols: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        ..ServerSettings::default()
    };
    let clients = [&TLS12, &TLS13].map(|version| {
        let mut roots = RootCertStore::empty();
        roots.add(der(&own)).expect("a root");
        let key = PrivateKeyDer::from_pem_slice(client.key.as_bytes()).expect("a key");
        let config = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![der(&client)], key);
        Arc::new(config.expect("a client"))
    });
    World { tls: Tls::new(settings).expect("a server"), clients }
});

fn der(made: &Made) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(made.certificate.as_bytes()).expect("a certificate")
}

/// What became of a client's bytes.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    plain: Vec<u8>,
    /// What was said; of an answer, which is random, only that there is one.
    alert: Option<Vec<u8>>,
    failure: Option<Failure>,
    is_established: bool,
}

/// Shows `wire` to a new session in pieces of `cut` bytes.
fn shown(wire: &[u8], cut: usize) -> Outcome {
    let mut session = Session::new(&WORLD.tls).expect("a session");
    let (mut out, mut plain) = (Vec::new(), Vec::new());
    let mut failure = None;
    for piece in wire.chunks(cut) {
        let mut piece = piece.to_vec();
        if let Err(found) = session.receive(&mut piece, &mut out, |bytes| plain.extend_from_slice(bytes)) {
            failure = Some(found);
            break;
        }
    }
    if failure.is_some() {
        let before = out.len();
        let nothing = |_: &[u8]| panic!("a failed session understands nothing");
        let heard = session.receive(&mut wire.to_vec(), &mut out, nothing);
        assert!(heard.is_ok() && session.send(b"x", &mut out).is_err());
        assert!(out.len() == before, "a failed session says no more");
    }
    if failure.is_some() && out.first() == Some(&21) {
        assert_eq!(out.len(), 7, "one alert");
    }
    let alert = if out.first() == Some(&22) { None } else { Some(out) };
    Outcome { plain, alert, failure, is_established: session.is_established() }
}

/// The first bytes of a client that can be anybody: however they are cut, the same becomes of them, and nobody is let in.
pub fn beginning(wire: &[u8]) {
    let whole = shown(wire, usize::MAX);
    assert!(whole.plain.is_empty() && !whole.is_established, "let in: {whole:?}");
    for cut in [1, 2, 5, 64] {
        assert_eq!(shown(wire, cut), whole, "cut at {cut}");
    }
}

/// One change of what a client sends.
struct Change {
    at: usize,
    kind: u8,
    value: u8,
}

/// A real client whose bytes are changed on their way: what a session understands of it is what the client said, as far as it goes.
pub fn altered(bytes: &[u8]) {
    let Some((&[how, cut], changes)) = bytes.split_first_chunk::<2>() else { return };
    let changes: Vec<Change> = changes
        .chunks_exact(4)
        .map(|one| Change { at: usize::from(one[0]) << 8 | usize::from(one[1]), kind: one[2], value: one[3] })
        .collect();
    let mut meeting = Meeting::new(usize::from(how & 1), usize::from(cut) + 1, &changes);
    meeting.talk();
    let _ = meeting.client.writer().write_all(&SAID[..40]);
    meeting.talk();
    if how & 2 != 0 {
        // A change of keys in the middle, which TLS 1.3 has.
        let _ = meeting.client.refresh_traffic_keys();
    }
    let _ = meeting.client.writer().write_all(&SAID[40..]);
    meeting.talk();
    meeting.client.send_close_notify();
    meeting.talk();
    meeting.judge(changes.is_empty());
}

struct Meeting<'c> {
    client: ClientConnection,
    session: Session,
    plain: Vec<u8>,
    heard: Vec<u8>,
    cut: usize,
    /// Bytes of the client that have been on their way.
    passed: usize,
    changes: &'c [Change],
    has_answered: bool,
    is_over: bool,
}

impl<'c> Meeting<'c> {
    fn new(version: usize, cut: usize, changes: &'c [Change]) -> Self {
        let name = ServerName::try_from("a.example").expect("a name");
        let config = Arc::clone(&WORLD.clients[version]);
        Meeting {
            client: ClientConnection::new(config, name).expect("a client"),
            session: Session::new(&WORLD.tls).expect("a session"),
            plain: Vec::new(),
            heard: Vec::new(),
            cut,
            passed: 0,
            changes,
            has_answered: false,
            is_over: false,
        }
    }

    /// Until neither has anything to say. The session answers as soon as it may.
    fn talk(&mut self) {
        // Each of them says only so much, whatever comes.
        for _ in 0..20 {
            let mut wire = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut wire).expect("memory");
            }
            let wire = self.change(&wire);
            let mut out = Vec::new();
            for piece in wire.chunks(self.cut) {
                if self.is_over {
                    break;
                }
                let (mut piece, plain) = (piece.to_vec(), &mut self.plain);
                let result =
                    self.session.receive(&mut piece, &mut out, |bytes| plain.extend_from_slice(bytes));
                self.is_over = result.is_err();
            }
            if self.session.is_established() && !self.is_over && !self.has_answered {
                self.has_answered = true;
                self.session.send(ANSWERED, &mut out).expect("it is established");
            }
            if out.is_empty() {
                return;
            }
            self.hear(&out);
        }
        panic!("they talk without end");
    }

    fn hear(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.client.read_tls(&mut bytes).is_ok_and(|count| count > 0) {
            if self.client.process_new_packets().is_err() {
                return;
            }
        }
        let _ = self.client.reader().read_to_end(&mut self.heard);
    }

    fn change(&mut self, wire: &[u8]) -> Vec<u8> {
        let start = self.passed;
        self.passed += wire.len();
        let mut out = wire.to_vec();
        for change in self.changes {
            let Some(at) = change.at.checked_sub(start).filter(|at| *at < wire.len()) else { continue };
            let at = at.min(out.len());
            let end = (at + usize::from(change.value)).min(out.len());
            match change.kind % 5 {
                0 => out.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= change.value),
                1 => drop(out.drain(at..end)),
                2 => drop(out.splice(at..at, std::iter::repeat_n(change.kind, usize::from(change.value)))),
                3 => drop(out.splice(at..at, out[at..end].to_vec())),
                _ => out.truncate(at),
            }
        }
        out
    }

    fn judge(&self, is_unchanged: bool) {
        assert!(SAID.starts_with(&self.plain), "something else was understood: {:?}", self.plain);
        assert!(ANSWERED.starts_with(&self.heard), "something else was heard: {:?}", self.heard);
        if is_unchanged {
            assert!(!self.is_over && self.session.peer_closed());
            assert_eq!((&self.plain[..], &self.heard[..]), (SAID, ANSWERED), "cut at {}", self.cut);
        }
    }
}
