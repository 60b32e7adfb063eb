"""TLS: certificates, what clients have to show, and how much a handshake may cost.

Rows of the table of settings; see `pelton.config.setting` for what each part means.
"""

from __future__ import annotations

from dataclasses import dataclass

from pelton.config.setting import SHORTEST_TIMEOUT, Group, Part, Unit, setting


@dataclass(frozen=True, kw_only=True)
class Encryption:
    certfile: tuple[str, ...] = setting(
        (),
        Unit.PATH, Group.ENCRYPTION, Part.FRONT, "--certfile",
        help="A certificate with its chain, in PEM. May be repeated, in pairs with --keyfile.",
        reason="Without one there is nothing to encrypt with.",
        first=True,
        more="With one, addresses without a scheme speak HTTPS. Each client gets the certificate for the "
        "name that it asks for, and the first one for any other. See [tls.md](tls.md).",
        while_running="the files are read again when they change, and on HUP",
    )  # fmt: skip
    keyfile: tuple[str, ...] = setting(
        (),
        Unit.PATH, Group.ENCRYPTION, Part.FRONT, "--keyfile",
        help="The private key for the certificate at the same place, in PEM. May be repeated.",
        reason="As for certfile; where none is given, the key is looked for in the certificate's file.",
        while_running="as certfile",
    )  # fmt: skip
    key_pass_phrase_file: str | None = setting(
        None,
        Unit.PATH, Group.ENCRYPTION, Part.FRONT, "--key-pass-phrase-file",
        help="A file whose first line opens private keys that are encrypted.",
        reason="Keys of servers mostly are protected by the rights of their files.",
    )  # fmt: skip
    ocsp_file: tuple[str, ...] = setting(
        (),
        Unit.PATH, Group.ENCRYPTION, Part.FRONT, "--ocsp-file",
        help="An OCSP response in DER for the certificate at the same place, sent along. May be repeated.",
        reason="Most authorities have ended OCSP.",
        while_running="as certfile",
    )  # fmt: skip
    ca_certs: str | None = setting(
        None,
        Unit.PATH, Group.ENCRYPTION, Part.FRONT, "--ca-certs",
        help="Certificates of the authorities that may sign certificates of clients, in PEM.",
        reason="Clients show no certificates unless they are asked for (--cert-reqs).",
        while_running="as certfile",
    )  # fmt: skip
    cert_reqs: str = setting(
        "none",
        Unit.TEXT, Group.ENCRYPTION, Part.FRONT, "--cert-reqs",
        help="Whether clients are asked for a certificate, and whether they need one.",
        reason="Browsers have none.",
        choices=("none", "optional", "required"),
        more="What is in a client's certificate stands in the environ under mod_ssl's names.",
    )  # fmt: skip
    tls_versions: str = setting(
        "1.2,1.3",
        Unit.TEXT, Group.ENCRYPTION, Part.FRONT, "--tls-versions",
        help="The versions of TLS that are spoken.",
        reason="TLS 1.2 is still needed by some programs, and safe with the ciphers that are left.",
        choices=("1.2,1.3", "1.3", "1.2"),
    )  # fmt: skip
    ciphers: str = setting(
        "",
        Unit.TEXT, Group.ENCRYPTION, Part.FRONT, "--ciphers",
        help="Only these cipher suites, by OpenSSL's names between colons.",
        reason="All that are left in rustls are good: AES-GCM and ChaCha20 with forward secrecy.",
    )  # fmt: skip
    handshake_seconds: float = setting(
        10.0,
        Unit.SECONDS, Group.ENCRYPTION, Part.FRONT, "--handshake-timeout",
        help="How long a handshake may take, from connecting; then the connection is closed.",
        reason="Two round trips, with retransmissions on a bad line.",
        minimum=SHORTEST_TIMEOUT,
    )  # fmt: skip
    handshakes_at_once: int = setting(
        1000,
        Unit.COUNT, Group.ENCRYPTION, Part.FRONT, "--max-handshakes",
        help="Most handshakes under way at once; connections beyond it are closed.",
        reason="Each takes a fraction of a millisecond of work: a thousand that wait are an attack.",
        zero="no limit",
    )  # fmt: skip
    handshake_rate: int = setting(
        0,
        Unit.COUNT, Group.ENCRYPTION, Part.FRONT, "--max-handshake-rate",
        help="Most handshakes per second from one address, averaged over ten seconds; more are closed.",
        reason="Whole companies share one address, and clients without keep-alive need one each time.",
        zero="no limit",
    )  # fmt: skip
    hsts_seconds: int = setting(
        0,
        Unit.SECONDS, Group.ENCRYPTION, Part.FRONT, "--hsts",
        help="Tell browsers to use HTTPS only, for so long (Strict-Transport-Security).",
        reason="Who says it cannot go back for that time: it has to be a decision.",
        zero="not said",
    )  # fmt: skip
    redirect_bind: tuple[str, ...] = setting(
        (),
        Unit.ADDRESS, Group.ENCRYPTION, Part.SUPERVISOR, "--redirect-bind",
        help="Where requests by HTTP are sent on to HTTPS (308), mostly :80. May be repeated.",
        reason="Whoever serves people by HTTPS says where the others come in.",
    )  # fmt: skip
    acme: tuple[str, ...] = setting(
        (),
        Unit.TEXT, Group.ENCRYPTION, Part.FRONT, "--acme",
        help="Obtain and renew a certificate for these names (separated by commas) from an ACME directory.",
        reason="It agrees to the directory's terms, and tells it the names.",
        more="Needs the extra pelton[acme], and that the directory's servers reach this one by these names: "
        "on port 443, or with --acme-challenge http-01 on port 80. See [tls.md](tls.md).",
    )  # fmt: skip
    acme_email: str | None = setting(
        None,
        Unit.TEXT, Group.ENCRYPTION, Part.FRONT, "--acme-email",
        help="Where the directory may write to about the account.",
        reason="Most directories want none.",
    )  # fmt: skip
    acme_directory: str = setting(
        "https://acme-v02.api.letsencrypt.org/directory",
        Unit.TEXT, Group.ENCRYPTION, Part.FRONT, "--acme-directory",
        help="The address of the ACME directory.",
        reason="Let's Encrypt: free, and trusted by every browser.",
    )  # fmt: skip
    acme_state: str = setting(
        "acme",
        Unit.PATH, Group.ENCRYPTION, Part.FRONT, "--acme-state",
        help="The folder for the account, orders and certificates; several servers may share it.",
        reason="Beside the application, so that a restart asks for nothing twice.",
    )  # fmt: skip
    acme_challenge: str = setting(
        "tls-alpn-01",
        Unit.TEXT, Group.ENCRYPTION, Part.FRONT, "--acme-challenge",
        help="How the directory sees that the names are served here.",
        reason="On the port of HTTPS itself, which has to be reachable anyway.",
        choices=("tls-alpn-01", "http-01"),
    )  # fmt: skip
    acme_profile: str | None = setting(
        None,
        Unit.TEXT, Group.ENCRYPTION, Part.FRONT, "--acme-profile",
        help="The kind of certificate, as the directory calls it: classic, tlsserver, shortlived.",
        reason="The directory's own default suits most.",
    )  # fmt: skip
    acme_eab_key_id: str | None = setting(
        None,
        Unit.TEXT, Group.ENCRYPTION, Part.FRONT, "--acme-eab-key-id",
        help="The id of the key that binds the account to one that the directory's owner knows.",
        reason="Let's Encrypt needs none; commercial directories do.",
    )  # fmt: skip
    acme_eab_hmac_file: str | None = setting(
        None,
        Unit.PATH, Group.ENCRYPTION, Part.FRONT, "--acme-eab-hmac-file",
        help="A file with that key, as the directory's owner has given it.",
        reason="As for the id.",
    )  # fmt: skip
    acme_ca_certs: str | None = setting(
        None,
        Unit.PATH, Group.ENCRYPTION, Part.FRONT, "--acme-ca-certs",
        help="Authorities whose certificates the directory itself may show, in PEM.",
        reason="Public directories are trusted as web sites are; private ones need it.",
    )  # fmt: skip
