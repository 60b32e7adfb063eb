//! A little fuzzing in every test run: clients of TLS whose bytes are changed, always in the same way (see `fuzz/`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failing test may say so bluntly"
)]

#[path = "../../../fuzz/src/records.rs"]
mod records;

use std::sync::Arc;

use pelton_tls::config::provider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

#[test]
fn a_client_that_is_not_disturbed() {
    for how in 0..4 {
        for cut in [0, 1, 6, 100, 255] {
            records::altered(&[how, cut]);
        }
    }
}

#[test]
fn clients_whose_bytes_are_changed() {
    let mut numbers = Numbers(1);
    for _ in 0..400 {
        let mut plan = vec![numbers.below(4) as u8, numbers.below(256) as u8];
        for _ in 0..=numbers.below(3) {
            let at = numbers.below(2500) as u16;
            plan.extend(at.to_be_bytes());
            plan.extend([numbers.below(5) as u8, numbers.below(256) as u8]);
        }
        records::altered(&plan);
    }
}

#[test]
fn beginnings_that_are_damaged() {
    let mut numbers = Numbers(2);
    let hellos = [&TLS12, &TLS13].map(|version| {
        let config = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = "a.example".try_into().unwrap();
        let mut hello = Vec::new();
        ClientConnection::new(Arc::new(config), name).unwrap().write_tls(&mut hello).unwrap();
        hello
    });
    records::beginning(b"GET / HTTP/1.1\r\n\r\n");
    for hello in &hellos {
        records::beginning(hello);
        for _ in 0..200 {
            let mut wire = hello.clone();
            for _ in 0..=numbers.below(3) {
                let at = numbers.below(wire.len());
                match numbers.below(3) {
                    0 => wire[at] = numbers.below(256) as u8,
                    1 => wire.truncate(at.max(1)),
                    _ => drop(wire.splice(at..at, [0, 1, 0xff])),
                }
            }
            records::beginning(&wire);
        }
    }
}

/// What fuzzing has found: a session that had failed was shown the same bytes again, and failed once more (a panic of rustls' where assertions are
/// compiled in).
#[test]
fn findings_of_earlier() {
    records::beginning(include_bytes!("findings/two_alerts.bin"));
    records::altered(include_bytes!("findings/altered.bin"));
}
