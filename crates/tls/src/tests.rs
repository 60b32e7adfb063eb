//! Sessions against rustls' own client, in memory.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, NamedGroup, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};

use crate::config::provider;
use crate::make::{Made, self_signed};
use crate::{ClientCertificates, Failure, Pair, ServerSettings, Session, TicketKeys, Tls};

const NOW: u64 = 1_900_000_000;

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn made(names: &[&str]) -> Made {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    self_signed(&names, now(), 86_400).unwrap()
}

fn pair(made: &Made) -> Pair {
    Pair::read(made.certificate.as_bytes(), made.key.as_bytes(), None, None, &provider()).unwrap()
}

fn tickets() -> Arc<TicketKeys> {
    let keys = TicketKeys::default();
    assert!(keys.replace(&[&[7; 48]]));
    Arc::new(keys)
}

fn server(settings: ServerSettings) -> Tls {
    Tls::new(settings).unwrap()
}

fn client_config(
    roots: &[&Made],
    versions: &[&'static SupportedProtocolVersion],
    own: Option<&Made>,
) -> Arc<ClientConfig> {
    let mut store = RootCertStore::empty();
    for made in roots {
        store.add(CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(store);
    Arc::new(match own {
        None => builder.with_no_client_auth(),
        Some(made) => {
            let chain = vec![CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(made.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    })
}

/// A client and a session of ours, and what each has got from the other.
struct Two {
    client: ClientConnection,
    session: Session,
    got: Vec<u8>,
    /// How many bytes the session gets at once.
    cut: usize,
    /// Steps that the private key may have been needed for.
    costly: usize,
}

impl Two {
    fn new(tls: &Tls, config: &Arc<ClientConfig>, name: &'static str, cut: usize) -> Self {
        let name = ServerName::try_from(name).unwrap();
        Two {
            client: ClientConnection::new(Arc::clone(config), name).unwrap(),
            session: Session::new(tls).unwrap(),
            got: Vec::new(),
            cut,
            costly: 0,
        }
    }

    /// Everything that either has to say, until neither has anything.
    fn talk(&mut self) -> Result<(), Failure> {
        loop {
            let mut wire = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut wire).unwrap();
            }
            if wire.is_empty() {
                return Ok(());
            }
            let mut out = Vec::new();
            for piece in wire.chunks_mut(self.cut) {
                self.costly += usize::from(self.session.is_costly(piece));
                let got = &mut self.got;
                let result = self.session.receive(piece, &mut out, |bytes| got.extend_from_slice(bytes));
                if let Err(failure) = result {
                    self.hear(&out);
                    return Err(failure);
                }
            }
            self.hear(&out);
        }
    }

    fn hear(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.client.read_tls(&mut bytes).is_ok_and(|count| count > 0) {
            if self.client.process_new_packets().is_err() {
                return;
            }
        }
    }

    fn read(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let _ = self.client.reader().read_to_end(&mut out);
        out
    }
}

#[test]
fn one_step_of_a_handshake_is_costly() {
    let own = made(&["example.com"]);
    let tls = server(ServerSettings { pairs: vec![pair(&own)], tickets: tickets(), ..Default::default() });
    for version in [&TLS12, &TLS13] {
        for cut in [1, 7, 1 << 20] {
            let mut two = Two::new(&tls, &client_config(&[&own], &[version], None), "example.com", cut);
            two.talk().unwrap();
            two.client.writer().write_all(b"hello").unwrap();
            two.talk().unwrap();
            assert!(two.session.is_established() && two.got == b"hello");
            // The one that completes the client's first message.
            assert_eq!(two.costly, 1, "{version:?}, {cut} bytes at once");
        }
    }
    // What is no handshake is no reason to wait for a helper.
    let session = Session::new(&tls).unwrap();
    assert!(!session.is_costly(b"GET / HTTP/1.1\r\n\r\n") && !session.is_costly(b""));
}

#[test]
fn keys_are_exchanged_in_the_way_that_outlasts_quantum_computers() {
    let own = made(&["example.com"]);
    let tls = server(ServerSettings { pairs: vec![pair(&own)], tickets: tickets(), ..Default::default() });
    let mut two = Two::new(&tls, &client_config(&[&own], &[&TLS13], None), "example.com", 1 << 20);
    two.talk().unwrap();
    let group = two.client.negotiated_key_exchange_group().map(|group| group.name());
    assert_eq!(group, Some(NamedGroup::X25519MLKEM768));
}

#[test]
fn whole_and_byte_by_byte_a_session_gives_the_same() {
    let own = made(&["example.com"]);
    let tls = server(ServerSettings { pairs: vec![pair(&own)], tickets: tickets(), ..Default::default() });
    let long: Vec<u8> = (0..100_000_u32).map(|at| (at / 7) as u8).collect();
    for (version, name) in [(&TLS12, "TLSv1.2"), (&TLS13, "TLSv1.3")] {
        for cut in [1, 2, 5, 1000, usize::MAX] {
            let mut two = Two::new(&tls, &client_config(&[&own], &[version], None), "example.com", cut);
            two.talk().unwrap();
            assert!(two.session.is_established() && !two.client.is_handshaking());
            assert_eq!(two.session.version(), name);
            let sent = if cut == 1 { &long[..2000] } else { &long };
            for piece in sent.chunks(30_000) {
                two.client.writer().write_all(piece).unwrap();
                two.talk().unwrap();
            }
            assert!(two.got == sent, "{name} cut {cut}");
            let mut out = Vec::new();
            two.session.send(&long, &mut out).unwrap();
            let mut read = Vec::new();
            for piece in out.chunks(4000) {
                two.hear(piece);
                read.extend(two.read());
            }
            assert!(read == long, "{name} cut {cut}");
            two.client.send_close_notify();
            two.talk().unwrap();
            assert!(two.session.peer_closed());
            let mut out = Vec::new();
            two.session.send(b"after", &mut out).unwrap();
            two.session.close(&mut out);
            two.session.close(&mut out);
            two.hear(&out);
            assert_eq!(two.read(), b"after");
            assert!(two.client.process_new_packets().unwrap().peer_has_closed());
            assert!(two.session.incoming.is_empty() && two.session.incoming.capacity() == 0);
        }
    }
}

#[test]
fn the_name_decides_about_the_certificate() {
    let (first, second, wild) = (made(&["a.example"]), made(&["b.example"]), made(&["*.w.example"]));
    let pairs = vec![pair(&first), pair(&second), pair(&wild)];
    let tls = server(ServerSettings { pairs, tickets: tickets(), ..Default::default() });
    for (name, expected) in
        [("a.example", &first), ("B.EXAMPLE", &second), ("x.w.example", &wild), ("other.example", &first)]
    {
        let config = client_config(&[&first, &second, &wild], &[&TLS13], None);
        let mut two = Two::new(&tls, &config, name, usize::MAX);
        let _ = two.talk();
        let expected = CertificateDer::from_pem_slice(expected.certificate.as_bytes()).unwrap();
        let shown = two.client.peer_certificates().and_then(|chain| chain.first()).cloned();
        // One for another name is refused by the client, which then does not keep it.
        assert!(shown.is_none_or(|shown| shown == expected), "{name}");
        assert_eq!(two.session.is_established(), name != "other.example", "{name}");
    }
}

#[test]
fn a_session_is_resumed_by_another_server_with_the_same_keys() {
    let own = made(&["example.com"]);
    for version in [&TLS12, &TLS13] {
        let config = client_config(&[&own], &[version], None);
        let keys = tickets();
        for (turn, resumed) in [false, true, true].into_iter().enumerate() {
            let settings =
                ServerSettings { pairs: vec![pair(&own)], tickets: Arc::clone(&keys), ..Default::default() };
            let mut two = Two::new(&server(settings), &config, "example.com", usize::MAX);
            two.talk().unwrap();
            assert_eq!(two.session.is_resumed(), resumed, "turn {turn}");
        }
        let settings = ServerSettings { pairs: vec![pair(&own)], tickets: tickets(), ..Default::default() };
        settings.tickets.replace(&[&[9; 48]]);
        let mut two = Two::new(&server(settings), &config, "example.com", usize::MAX);
        two.talk().unwrap();
        assert!(!two.session.is_resumed());
    }
}

#[test]
fn certificates_of_clients_are_checked_and_described() {
    let (own, client, stranger) = (made(&["example.com"]), made(&["client.example"]), made(&["x.example"]));
    let settings = |client_certificates| ServerSettings {
        pairs: vec![pair(&own)],
        authorities: Some(client.certificate.clone().into_bytes()),
        client_certificates,
        tickets: tickets(),
        ..Default::default()
    };
    for (wanted, shown, is_fine) in [
        (ClientCertificates::Optional, None, true),
        (ClientCertificates::Optional, Some(&client), true),
        (ClientCertificates::Optional, Some(&stranger), false),
        (ClientCertificates::Required, None, false),
        (ClientCertificates::Required, Some(&client), true),
    ] {
        let tls = server(settings(wanted));
        let config = client_config(&[&own], &[&TLS13, &TLS12], shown);
        let mut two = Two::new(&tls, &config, "example.com", usize::MAX);
        let result = two.talk();
        assert_eq!(result.is_ok(), is_fine, "{wanted:?} {:?}", shown.is_some());
        if !is_fine {
            continue;
        }
        let variables: std::collections::HashMap<_, _> = two.session.variables(true).into_iter().collect();
        assert_eq!(variables["SSL_PROTOCOL"], "TLSv1.3");
        assert!(variables["SSL_CIPHER"].starts_with("TLS_"));
        if shown.is_some() {
            assert_eq!(variables["SSL_CLIENT_VERIFY"], "SUCCESS");
            assert_eq!(variables["SSL_CLIENT_S_DN"], "CN=client.example");
            assert_eq!(variables["SSL_CLIENT_S_DN_CN"], "client.example");
            assert_eq!(variables["SSL_CLIENT_SAN_DNS_0"], "client.example");
            let pem = client.certificate.replace("\r\n", "\n");
            assert_eq!(variables["SSL_CLIENT_CERT"], pem);
        } else {
            assert_eq!(variables["SSL_CLIENT_VERIFY"], "NONE");
        }
    }
}

#[test]
fn what_is_no_tls_is_recognized() {
    let own = made(&["example.com"]);
    let tls = server(ServerSettings { pairs: vec![pair(&own)], ..Default::default() });
    let mut out = Vec::new();
    let mut plain = Session::new(&tls).unwrap();
    let result = plain.receive(&mut b"GET / HTTP/1.1\r\n".to_vec(), &mut out, |_| {});
    assert_eq!((result, out.is_empty()), (Err(Failure::PlainHttp), true));
    let mut noise = Session::new(&tls).unwrap();
    let result = noise.receive(&mut [0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5], &mut out, |_| {});
    assert!(matches!(result, Err(Failure::Tls(_))));
    let tls = server(ServerSettings { pairs: vec![pair(&own)], without_12: true, ..Default::default() });
    let config = client_config(&[&own], &[&TLS12], None);
    let mut client = ClientConnection::new(config, ServerName::try_from("example.com").unwrap()).unwrap();
    let (mut hello, mut out) = (Vec::new(), Vec::new());
    client.write_tls(&mut hello).unwrap();
    let mut session = Session::new(&tls).unwrap();
    assert!(matches!(session.receive(&mut hello, &mut out, |_| {}), Err(Failure::Tls(_))));
    // An alert, and a fatal one; afterwards the session takes nothing.
    assert_eq!((out.first(), out.get(5)), (Some(&21), Some(&2)));
    assert!(session.send(b"x", &mut out).is_err());
}

#[test]
fn faults_of_pairs_are_named() {
    let (own, other) = (made(&["example.com"]), made(&["other.example"]));
    let read = |certificate: &str, key: &str| {
        Pair::read(certificate.as_bytes(), key.as_bytes(), None, None, &provider()).unwrap_err().0
    };
    assert!(read("", &own.key).contains("no certificate"));
    assert!(read(&own.certificate, "").contains("no private key"));
    assert!(read(&own.certificate, &other.key).contains("does not belong"));
    assert!(read(&own.certificate, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n").contains("pass phrase"));
    let good = pair(&own);
    assert_eq!(good.fault_at(now() as i64), None);
    assert!(good.fault_at(NOW as i64).unwrap().0.contains("expired"));
    assert!(good.fault_at(0).unwrap().0.contains("not valid yet"));
    assert_eq!(good.names(), ["example.com"]);
}

#[test]
fn an_acme_server_finds_the_certificate_of_its_challenge_and_nobody_else_does() {
    let own = made(&["example.com"]);
    let answer = crate::make::challenge("example.com", &[7; 32], now()).unwrap();
    let settings = ServerSettings {
        pairs: vec![pair(&own)],
        challenges: vec![pair(&answer)],
        protocols: vec![b"http/1.1".to_vec()],
        ..Default::default()
    };
    let tls = server(settings);
    for (protocol, expected) in [(&b"acme-tls/1"[..], &answer), (b"http/1.1", &own)] {
        let mut config = Arc::unwrap_or_clone(client_config(&[&own], &[&TLS13], None));
        config.alpn_protocols = vec![protocol.to_vec()];
        // Nobody trusts the answer; an ACME server looks at its digest.
        config.dangerous().set_certificate_verifier(Arc::new(AnyCertificate));
        let mut two = Two::new(&tls, &Arc::new(config), "example.com", usize::MAX);
        two.talk().unwrap();
        let expected = CertificateDer::from_pem_slice(expected.certificate.as_bytes()).unwrap();
        assert_eq!(two.client.peer_certificates().and_then(|chain| chain.first()), Some(&expected));
        assert_eq!(two.session.is_challenge(), protocol == b"acme-tls/1");
    }
}

/// What an ACME server has for a verifier.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[test]
fn cipher_lists_are_read_as_openssl_reads_them() {
    let own = made(&["example.com"]);
    let with = |ciphers: &str| {
        Tls::new(ServerSettings { pairs: vec![pair(&own)], ciphers: ciphers.into(), ..Default::default() })
    };
    let suites = |tls: &Tls| tls.config.crypto_provider().cipher_suites.len();
    let some = with("ECDHE-ECDSA-AES128-GCM-SHA256:AES256-SHA:!aNULL").unwrap();
    assert_eq!((suites(&some), some.unknown_ciphers.len()), (4, 2));
    assert_eq!(suites(&with("TLS_AES_128_GCM_SHA256").unwrap()), 1);
    assert!(with("RC4-SHA").unwrap_err().0.contains("ECDHE-RSA-AES128-GCM-SHA256"));
}
