//! Private keys from PEM: PKCS#8, SEC1 and PKCS#1, and PKCS#8 under a pass phrase.

use pkcs8::{EncryptedPrivateKeyInfo, SecretDocument};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::Fault;

const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// The first private key of a PEM file; `pass_phrase` is used only where the key is encrypted.
pub fn read_key(pem: &[u8], pass_phrase: Option<&[u8]>) -> Result<PrivateKeyDer<'static>, Fault> {
    let text = String::from_utf8_lossy(pem);
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(Fault(
            "the key is encrypted in OpenSSL's old form, which protects it badly; convert it with \
             `openssl pkcs8 -topk8 -in old.pem -out new.pem`"
                .into(),
        ));
    }
    let begin = format!("-----BEGIN {ENCRYPTED}-----");
    if let Some(start) = text.find(&begin) {
        return decrypted(text.get(start..).unwrap_or_default(), pass_phrase);
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            Fault("there is no private key in the file (-----BEGIN PRIVATE KEY-----)".into())
        }
        error => Fault(format!("the private key cannot be read: {error}")),
    })
}

fn decrypted(text: &str, pass_phrase: Option<&[u8]>) -> Result<PrivateKeyDer<'static>, Fault> {
    let Some(pass_phrase) = pass_phrase else {
        return Err(Fault("the private key is encrypted, and no pass phrase is given".into()));
    };
    let end = format!("-----END {ENCRYPTED}-----");
    let Some(length) = text.find(&end) else {
        return Err(Fault("the private key has no end line".into()));
    };
    let section: String = text.get(..length + end.len()).unwrap_or_default().replace('\r', "");
    let unreadable =
        |error: &dyn std::fmt::Display| Fault(format!("the encrypted private key cannot be read: {error}"));
    let (_, document) = SecretDocument::from_pem(&section).map_err(|error| unreadable(&error))?;
    let info = EncryptedPrivateKeyInfo::try_from(document.as_bytes()).map_err(|error| unreadable(&error))?;
    match info.decrypt(pass_phrase) {
        Ok(key) => Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into()),
        Err(error) => Err(Fault(format!("the pass phrase does not open the private key ({error})"))),
    }
}
