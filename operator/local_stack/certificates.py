"""The stack's own certificate authority: a client that trusts it cannot be talking to another stack."""

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from local_stack.state import write_private

_VALID_FOR = dt.timedelta(days=3650)


def make_certificates(directory: Path) -> None:
    """Write `ca.crt`, and pairs: `server` for 127.0.0.1, `client` that etcd asks for, `service-accounts`.

    The last one signs the tokens of service accounts, and checks them.
    """
    whole, directory = directory, directory.with_name(f".{directory.name}")
    directory.mkdir(mode=0o700, exist_ok=True)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    server_key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("inventiv-local-ca", authority_key, signer=None, signer_key=authority_key)
    server = _certificate("kube-apiserver", server_key, signer=authority, signer_key=authority_key)
    client_key = ec.generate_private_key(ec.SECP256R1())
    client = _certificate("etcd-client", client_key, signer=authority, signer_key=authority_key)
    write_private(directory / "ca.crt", authority.public_bytes(serialization.Encoding.PEM).decode())
    write_private(directory / "server.key", _pem(server_key))
    write_private(directory / "server.crt", server.public_bytes(serialization.Encoding.PEM).decode())
    write_private(directory / "client.key", _pem(client_key))
    write_private(directory / "client.crt", client.public_bytes(serialization.Encoding.PEM).decode())
    accounts_key = ec.generate_private_key(ec.SECP256R1())
    accounts_public = accounts_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    write_private(directory / "service-accounts.key", _pem(accounts_key))
    write_private(directory / "service-accounts.pub", accounts_public.decode())
    directory.rename(whole)  # all of them or none, also when we are killed on the way


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    *,
    signer: x509.Certificate | None,
    signer_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if signer is None else signer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + _VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer_key.public_key()), critical=False
        )
    )
    if signer is None:
        builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    else:
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        addresses = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = (
            builder.add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        )
    return builder.sign(signer_key, hashes.SHA256())


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
