//! The keys of session tickets, held outside of rustls: so that they can be rotated by whoever owns them, and so that a later
//! front goes on with the same ones and clients resume their sessions there.
//!
//! A ticket is: the key's name, a random nonce, and the state under AES-256-GCM. What else a session depends on (the
//! authorities for clients) is authenticated with it, so that a ticket of other settings is no ticket.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;

/// Bytes of a key's name.
const NAME: usize = 16;
/// Bytes of a key with its name in front.
pub const KEY_LENGTH: usize = NAME + 32;
/// A ticket of ours is never longer: a client's certificates are in it, and they have a bound of their own.
const LONGEST: usize = 64 * 1024;

struct Key {
    name: [u8; NAME],
    key: LessSafeKey,
}

/// The keys; the first makes new tickets, all of them open old ones.
#[derive(Default)]
pub struct TicketKeys {
    keys: RwLock<Vec<Key>>,
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKeys")
    }
}

impl TicketKeys {
    /// Takes these keys instead of those that are there; each is [`KEY_LENGTH`] bytes. False, and nothing changed, where one is not.
    pub fn replace(&self, keys: &[&[u8]]) -> bool {
        let mut made = Vec::with_capacity(keys.len());
        for bytes in keys {
            let Some((name, key)) = bytes.split_first_chunk::<NAME>() else { return false };
            let Ok(key) = UnboundKey::new(&AES_256_GCM, key) else { return false };
            made.push(Key { name: *name, key: LessSafeKey::new(key) });
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = made;
        true
    }

    fn seal(&self, bound_to: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.first()?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        let aad = Aad::from([&key.name[..], bound_to].concat());
        key.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed).ok()?;
        let ticket = [&key.name[..], &nonce, &sealed].concat();
        (ticket.len() <= LONGEST).then_some(ticket)
    }

    fn open(&self, bound_to: &[u8], ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > LONGEST {
            return None;
        }
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.iter().find(|key| key.name == *name)?;
        let mut plain = sealed.to_vec();
        let aad = Aad::from([&key.name[..], bound_to].concat());
        let length = key.key.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

/// Tickets of one configuration.
#[derive(Debug)]
pub struct Ticketer {
    /// Shared with other configurations.
    pub keys: Arc<TicketKeys>,
    /// What tickets depend on.
    pub bound_to: Vec<u8>,
    /// How long clients may keep them.
    pub lifetime: u32,
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        !self.keys.keys.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn lifetime(&self) -> u32 {
        self.lifetime
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys.seal(&self.bound_to, plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.keys.open(&self.bound_to, cipher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_open_with_every_key_that_is_held_and_with_nothing_else() {
        let keys = TicketKeys::default();
        assert_eq!(keys.seal(b"x", b"state"), None);
        assert!(keys.replace(&[&[1; KEY_LENGTH]]) && !keys.replace(&[&[1; KEY_LENGTH - 1]]));
        let ticket = keys.seal(b"x", b"state").unwrap();
        assert_eq!(keys.open(b"x", &ticket).unwrap(), b"state");
        assert_eq!(keys.open(b"y", &ticket), None);
        assert!(keys.replace(&[&[2; KEY_LENGTH], &[1; KEY_LENGTH]]));
        assert_eq!(keys.open(b"x", &ticket).unwrap(), b"state");
        assert_ne!(keys.seal(b"x", b"state").unwrap()[..NAME], ticket[..NAME]);
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(keys.open(b"x", &changed), None, "byte {at}");
            assert_eq!(keys.open(b"x", &ticket[..at]), None, "cut at {at}");
        }
        assert!(keys.replace(&[&[2; KEY_LENGTH]]));
        assert_eq!(keys.open(b"x", &ticket), None);
    }
}
