"""The challenge TLS-ALPN-01 (RFC 8737), which the package ``acme`` has no class for any more.

With these two registered, the package reads it from authorizations and says that it is ready. The
certificate that answers it is made by the native module.
"""

from __future__ import annotations

from typing import Any, Final

from acme import challenges

_TYPE: Final = "tls-alpn-01"


@challenges.ChallengeResponse.register
class TlsAlpn01Response(challenges.KeyAuthorizationChallengeResponse):
    """What is sent to say that the challenge can be looked at."""

    typ = _TYPE


@challenges.Challenge.register
class TlsAlpn01(challenges.KeyAuthorizationChallenge):
    """The challenge."""

    response_cls = TlsAlpn01Response
    typ = response_cls.typ

    def validation(self, account_key: Any, **unused_kwargs: Any) -> str:
        """What the certificate has the digest of."""
        return self.key_authorization(account_key)
