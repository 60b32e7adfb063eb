//! What a request is about as the application will see it: a trusted proxy's word before that of the connection. Runs on the front's thread.

use crate::front::Front;
use crate::ids::ExchangeId;

/// What a request is about as the application is to see it: a trusted proxy's word before that of the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeenAs<'a> {
    /// Whether the client came by https.
    pub(crate) is_https: bool,
    /// Host with a port where it has one; empty where the client names none.
    pub(crate) host: &'a [u8],
    /// Where the proxy has the application.
    pub(crate) prefix: &'a [u8],
}

/// See [`SeenAs`]; of the request whose head is in `front.head`.
pub(crate) fn seen_as<'a>(front: &Front, id: ExchangeId, bytes: &'a [u8]) -> SeenAs<'a> {
    let exchange = front.exchanges.get(id);
    let connection = exchange.and_then(|exchange| front.connections.get(exchange.connection));
    let proxies = &front.settings.proxies;
    // An error has been answered when the head came.
    let said = connection.and_then(|one| proxies.resolve(&one.peer, &front.head, bytes).ok().flatten());
    let said = said.unwrap_or_default();
    SeenAs {
        is_https: said.https.unwrap_or_else(|| connection.is_some_and(|one| one.peer.is_tls)),
        host: said.host.unwrap_or_else(|| front.head.authority.of(bytes)),
        prefix: said.prefix.unwrap_or_default(),
    }
}
