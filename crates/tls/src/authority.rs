//! Whose signatures on clients' certificates count.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use crate::Fault;
use crate::certificate::read_chain;
use crate::config::ClientCertificates;

/// What checks the certificates of clients.
pub fn verifier(
    authorities: Option<&[u8]>,
    wanted: ClientCertificates,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Fault> {
    if wanted == ClientCertificates::Ignored {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    let Some(pem) = authorities else {
        return Err(Fault(
            "certificates of clients are asked for, and no file says which authorities count (ca_certs)"
                .into(),
        ));
    };
    let mut roots = RootCertStore::empty();
    for certificate in read_chain(pem)? {
        roots.add(certificate).map_err(|error| Fault(format!("an authority cannot be used: {error}")))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = match wanted {
        ClientCertificates::Optional => builder.allow_unauthenticated(),
        _ => builder,
    };
    builder.build().map_err(|error| Fault(format!("the authorities cannot be used: {error}")))
}
