"""An authority for tests: signs certificates of clients and servers, good and bad, and OCSP responses."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from support.certificates import Files

DAY = datetime.timedelta(days=1)
PEM = serialization.Encoding.PEM


class Authority:
    """One that nobody knows but the tests; signed by itself, or by ``above``."""

    def __init__(self, directory: Path, name: str, above: Authority | None = None) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._above = above
        self.name = name
        signer = above or self
        builder = _begun(name, signer.name, self._key, 10 * DAY)
        self._certificate = builder.add_extension(x509.BasicConstraints(True, None), True).sign(
            signer._key, hashes.SHA256()
        )
        self.file = directory / f"{name}.authority.pem"
        self.file.write_bytes(self._certificate.public_bytes(PEM))

    def sign(
        self,
        name: str,
        *hosts: str,
        lifetime: datetime.timedelta = 10 * DAY,
        is_client: bool = True,
        is_early: bool = False,
        stem: str = "",
    ) -> Files:
        """A certificate for ``name``, behind it those between it and the root; a lifetime that is over ends
        a day ago, and one that ``is_early`` begins tomorrow. ``stem`` is how its files begin."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if is_client else ExtendedKeyUsageOID.SERVER_AUTH
        builder = _begun(name, self.name, key, lifetime, is_early=is_early)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
        if hosts:
            names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
            builder = builder.add_extension(names, False)
        certificate = builder.sign(self._key, hashes.SHA256())
        stem = stem or name
        files = Files(self._directory / f"{stem}.pem", self._directory / f"{stem}.key")
        chain, signer = certificate.public_bytes(PEM), self
        while signer._above is not None:
            chain += signer._certificate.public_bytes(PEM)
            signer = signer._above
        files.certificate.write_bytes(chain)
        files.key.write_bytes(
            key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return files

    def ocsp_response(
        self, files: Files, *, lifetime: datetime.timedelta = DAY, is_revoked: bool = False
    ) -> bytes:
        """What this authority says of a certificate that it has signed; one of a negative lifetime is out of
        date."""
        now = datetime.datetime.now(datetime.UTC)
        certificate = x509.load_pem_x509_certificates(files.certificate.read_bytes())[0]
        status = ocsp.OCSPCertStatus.REVOKED if is_revoked else ocsp.OCSPCertStatus.GOOD
        builder = ocsp.OCSPResponseBuilder().add_response(
            certificate,
            self._certificate,
            hashes.SHA1(),
            status,
            now - 2 * DAY,
            now + lifetime,
            now - DAY if is_revoked else None,
            x509.ReasonFlags.key_compromise if is_revoked else None,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, self._certificate)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _begun(
    name: str,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    lifetime: datetime.timedelta,
    *,
    is_early: bool = False,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    ends = now + lifetime if lifetime > datetime.timedelta(0) else now - DAY
    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + DAY if is_early else now - 20 * DAY)
        .not_valid_after(ends)
    )


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
