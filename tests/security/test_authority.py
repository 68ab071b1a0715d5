"""An authority of one's own."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from rpcx.security.authority import LONGEST_DAYS, found_authority, issue, own_authority, read_authority
from rpcx.security.identity import leaf_builder, own_identity, private_key, self_signed

NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture
def directory(tmp_path):
    found_authority(tmp_path / "ca", "acme")
    return tmp_path / "ca"


@pytest.fixture
def ann(tmp_path) -> bytes:
    return own_identity(tmp_path / "ann").certificate_file.read_bytes()


def trusted(directory, realm: str = "acme"):
    return read_authority(realm, (directory / "acme.pem").read_bytes())


def der(pem: bytes) -> bytes:
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def leaf_with(directory, ann: bytes, *uris: str, ca: bool = False) -> bytes:
    """A leaf with any names, as a thief of the authority's key could make; or by ``ca`` one that is no leaf."""
    _, parent = own_authority(directory)
    public = x509.load_pem_x509_certificate(ann).public_key()
    builder = leaf_builder(x509.Name([]), public, datetime.timedelta(days=1))
    if ca:
        builder = x509.CertificateBuilder(extensions=[
            x509.Extension(x509.BasicConstraints.oid, True, x509.BasicConstraints(ca=True, path_length=None))
        ]).subject_name(x509.Name([])).public_key(public).serial_number(5).not_valid_before(
            NOW - datetime.timedelta(days=1)).not_valid_after(NOW + datetime.timedelta(days=1))  # fmt: skip
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])
    made = builder.issuer_name(parent.subject).add_extension(names, critical=False)
    return made.sign(private_key(directory / "ca.key"), None).public_bytes(Encoding.DER)


def test_whom_it_signs_for_is_known_by_name_and_roles(directory, ann):
    issued = trusted(directory).issued(der(issue(directory, ann, "ann", frozenset({"ops", "dev"}))), NOW)
    assert (issued.name, issued.roles) == ("ann", {"ops", "dev"})


def test_a_leaf_carries_the_key_and_not_more(directory, ann):
    leaf = x509.load_pem_x509_certificate(issue(directory, ann, "ann", frozenset()))
    assert leaf.public_key() == x509.load_pem_x509_certificate(ann).public_key()
    assert leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert leaf.not_valid_after_utc - NOW < datetime.timedelta(days=LONGEST_DAYS, hours=1)


@pytest.mark.parametrize("days", [0, -1, LONGEST_DAYS + 1])
def test_a_leaf_lives_for_a_month_at_most(directory, ann, days):
    with pytest.raises(ValueError, match="30 days at most"):
        issue(directory, ann, "ann", frozenset(), days)


@pytest.mark.parametrize(("name", "roles"), [("../ann", set()), ("ann?role=root", set()), ("ann", {"a&role=b"})])
def test_names_and_roles_cannot_smuggle_others_in(directory, ann, name, roles):
    with pytest.raises(ValueError, match="no name"):
        issue(directory, ann, name, frozenset(roles))


def test_a_leaf_is_nothing_before_and_after_its_time(directory, ann):
    leaf = der(issue(directory, ann, "ann", frozenset(), 1))
    assert trusted(directory).issued(leaf, NOW + datetime.timedelta(days=1.1)) is None
    assert trusted(directory).issued(leaf, NOW - datetime.timedelta(days=2)) is None


@pytest.mark.parametrize("uris", [
    (), ("rpcx://other/ann",), ("rpcx://acme/ann", "rpcx://acme/bob"), ("https://acme/ann",), ("rpcx://acme/",),
    ("rpcx://acme/a/b",), ("rpcx://acme/ann?role=a%26b",), ("rpcx://acme/ann?role",),
])  # fmt: skip
def test_a_leaf_without_one_good_name_is_nobodys(directory, ann, uris):
    if not uris:
        bare = self_signed(Ed25519PrivateKey.generate()).public_bytes(Encoding.DER)
        assert trusted(directory).issued(bare, NOW) is None
        return
    assert trusted(directory).issued(leaf_with(directory, ann, *uris), NOW) is None


def test_a_certificate_that_may_sign_is_no_leaf(directory, ann):
    assert trusted(directory).issued(leaf_with(directory, ann, "rpcx://acme/ann", ca=True), NOW) is None
    assert trusted(directory).issued(leaf_with(directory, ann, "rpcx://acme/ann"), NOW) is not None


def test_an_authority_signs_ends_only(tmp_path):
    key = Ed25519PrivateKey.generate()
    for basic in (x509.BasicConstraints(ca=True, path_length=None), x509.BasicConstraints(ca=True, path_length=1)):
        name = x509.Name([])
        made = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(5)
            .not_valid_before(NOW).not_valid_after(NOW).add_extension(basic, critical=True).sign(key, None)
        )  # fmt: skip
        with pytest.raises(ValueError, match="path length 0"):
            read_authority("acme", made.public_bytes(Encoding.PEM))


def test_there_is_one_authority_in_a_directory(directory):
    before = (directory / "ca.key").read_bytes()
    with pytest.raises(FileExistsError, match=r"ca\.key"):
        found_authority(directory, "acme")
    assert (directory / "ca.key").read_bytes() == before
    assert (directory / "ca.key").stat().st_mode & 0o777 == 0o600


def test_without_an_authority_it_is_told_how_to_make_one(tmp_path, ann):
    with pytest.raises(FileNotFoundError, match="rpcx keys ca init"):
        issue(tmp_path / "nothing", ann, "ann", frozenset())
