"""What is said to an ACME directory, one certificate at a time.

Owns the protocol's order of steps, and that each is remembered before the next one, so that a restart goes on
where it was. The protocol itself is the package ``acme``'s (the extra ``pelton[acme]``). Must not know when.
Blocks; runs on the renewer's thread.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from acme import challenges, client, crypto_util, errors, messages
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.jwa import ES256
from josepy.jwk import JWK, JWKEC

from pelton import _engine
from pelton.config.settings import Settings
from pelton.tls.acme.state import State
from pelton.tls.acme.tls_alpn import TlsAlpn01
from pelton.version import VERSION

# How long an order may take; mostly some seconds.
_ORDER_TIME: Final = datetime.timedelta(minutes=5)
_NETWORK_TIMEOUT: Final = 30
# What the directory says when the account that it is shown is none, or none any more.
_LOST_ACCOUNT: Final = frozenset({"accountDoesNotExist", "unauthorized"})


@dataclass(frozen=True)
class Answers:
    """What has to be found by an ACME server: texts by token (HTTP-01), pairs for a name (TLS-ALPN-01)."""

    texts: dict[str, str]
    pairs: tuple[tuple[bytes, bytes, None, None], ...]


# Makes them to be found, and returns when they can be.
Publish = Callable[[Answers], object]


class Directory:
    """An account at a directory."""

    def __init__(self, settings: Settings, state: State) -> None:
        self._settings = settings
        self._state = state
        self._client: Any = None

    def obtain(self, names: list[str], publish: Publish) -> None:
        """Get a certificate for ``names`` into the state. Raises whatever goes wrong."""
        try:
            acme = self._connected()
            order, key = self._order(acme, names)
            deadline = datetime.datetime.now() + _ORDER_TIME
            if order.body.status == messages.STATUS_PENDING:
                publish(self._answers(acme, order))
                self._say_ready(acme, order)
                order = acme.poll_authorizations(order, deadline)
            done = acme.finalize_order(order, deadline)
        except messages.Error as error:
            if error.code in _LOST_ACCOUNT:
                self._forget()
            elif error.code != "rateLimited":
                self._state.keep_order(None)
            raise
        except (errors.ValidationError, errors.IssuanceError):
            # It has failed for good: the next attempt begins with another order.
            self._state.keep_order(None)
            raise
        finally:
            publish(Answers({}, ()))
        self._state.keep_pair(done.fullchain_pem, key)
        self._state.keep_renewal(None)
        self._state.keep_order(None)

    def renewal_time(self, certificate: bytes) -> tuple[float | None, float]:
        """When the directory wants the certificate renewed, and when to ask again (RFC 9773)."""
        when, again = self._connected().renewal_time(certificate)
        return None if when is None else when.timestamp(), again.timestamp()

    def _connected(self) -> Any:
        if self._client is None:
            self._client = self._connect()
        return self._client

    def _connect(self) -> Any:
        settings, kept = self._settings, self._state.account()
        key = JWK.from_json(kept["key"]) if kept else _new_account_key()
        net = client.ClientNetwork(key, alg=ES256, user_agent=f"pelton/{VERSION}", timeout=_NETWORK_TIMEOUT)
        if settings.acme_ca_certs is not None:
            # A path, as requests takes it.
            net.verify_ssl = settings.acme_ca_certs  # type: ignore[assignment]
        acme = client.ClientV2(client.ClientV2.get_directory(settings.acme_directory, net), net)
        if kept:
            net.account = messages.RegistrationResource.from_json(kept["registration"])
            return acme
        registration = acme.new_account(self._registration(acme, key))
        self._state.keep_account({"key": key.to_json(), "registration": registration.to_json()})
        return acme

    def _registration(self, acme: Any, key: Any) -> Any:
        settings, binding = self._settings, None
        if settings.acme_eab_key_id is not None:
            secret = Path(settings.acme_eab_hmac_file or "").read_text().strip()
            binding = messages.ExternalAccountBinding.from_data(
                account_public_key=key.public_key(),
                kid=settings.acme_eab_key_id,
                hmac_key=secret,
                directory=acme.directory,
            )
        return messages.NewRegistration.from_data(
            email=settings.acme_email, terms_of_service_agreed=True, external_account_binding=binding
        )

    def _forget(self) -> None:
        """The account is none any more: the next attempt makes another one."""
        self._client = None
        self._state.keep_account(None)
        self._state.keep_order(None)

    def _order(self, acme: Any, names: list[str]) -> tuple[Any, str]:
        kept = self._state.order()
        if kept is not None:
            order = _fetched(acme, kept["address"], kept["request"].encode())
            if order.body.status != messages.STATUS_INVALID:
                return order, kept["key"]
            self._state.keep_order(None)
        key = _new_certificate_key()
        request = crypto_util.make_csr(key.encode(), names)
        order = acme.new_order(request, profile=self._settings.acme_profile)
        self._state.keep_order({"address": order.uri, "key": key, "request": request.decode()})
        return order, key

    def _challenge(self, authorization: Any) -> Any:
        """The challenge of an authorization that is to be met."""
        kinds = {
            "http-01": challenges.HTTP01,
            "tls-alpn-01": TlsAlpn01,
        }
        wanted = kinds[self._settings.acme_challenge]
        for one in authorization.body.challenges:
            if isinstance(one.chall, wanted):
                return one
        name = authorization.body.identifier.value
        raise errors.Error(f"the directory offers no challenge {self._settings.acme_challenge} for {name}")

    def _pending(self, order: Any) -> list[Any]:
        return [one for one in order.authorizations if one.body.status == messages.STATUS_PENDING]

    def _answers(self, acme: Any, order: Any) -> Answers:
        texts: dict[str, str] = {}
        pairs = []
        for authorization in self._pending(order):
            one = self._challenge(authorization)
            _, validation = one.response_and_validation(acme.net.key)
            if isinstance(one.chall, challenges.HTTP01):
                texts[one.chall.encode("token")] = validation
            else:
                name = authorization.body.identifier.value
                digest = hashlib.sha256(one.chall.key_authorization(acme.net.key).encode()).digest()
                certificate, key = _engine.make_challenge_certificate(name, digest)
                pairs.append((certificate.encode(), key.encode(), None, None))
        return Answers(texts, tuple(pairs))

    def _say_ready(self, acme: Any, order: Any) -> None:
        for authorization in self._pending(order):
            one = self._challenge(authorization)
            if one.status == messages.STATUS_PENDING:
                acme.answer_challenge(one, one.response(acme.net.key))


def _fetched(acme: Any, address: str, request: bytes) -> Any:
    """An order from before a restart. With the calls by which the package itself reads a new one."""
    body = messages.Order.from_json(acme._post_as_get(address).json())
    authorizations = [
        acme._authzr_from_response(acme._post_as_get(url), uri=url) for url in body.authorizations
    ]
    return messages.OrderResource(body=body, uri=address, authorizations=authorizations, csr_pem=request)


def _new_account_key() -> Any:
    return JWKEC(key=ec.generate_private_key(ec.SECP256R1()))


def _new_certificate_key() -> str:
    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        .decode()
    )


def explained(error: Exception) -> str:
    """What the directory has said, or why it could not be asked, in one line."""
    if isinstance(error, errors.ValidationError):
        reasons = [
            f"{authorization.body.identifier.value}: {challenge.error.detail}"
            for authorization in error.failed_authzrs
            for challenge in authorization.body.challenges
            if challenge.error is not None
        ]
        return "; ".join(reasons)
    if isinstance(error, messages.Error):
        return f"{error.detail} ({error.code or error.typ})"
    return f"{type(error).__name__}: {error}"
