"""Key cards count as long as the identity that signed them is trusted; old keys open until they are retired."""

import base64
import stat

import pytest

from rpcx.errors import AccessDenied
from rpcx.security import envelope, keyring
from rpcx.security.cards import Cards, read_card
from rpcx.security.identity import own_identity


@pytest.fixture
def homes(tmp_path):
    """Ann, and Bob who trusts her."""
    ann, bob = tmp_path / "ann", tmp_path / "bob"
    keyring.trust(bob, own_identity(ann).certificate_file.read_bytes(), "ann")
    return ann, bob


def test_a_card_is_taken_of_somebody_trusted_only(homes):
    ann, bob = homes
    card = Cards(bob).take(Cards(ann).own_card(), "ann")
    assert card.fingerprint == own_identity(ann).fingerprint
    assert Cards(bob).named("ann").public.key_id == card.public.key_id
    with pytest.raises(ValueError, match="not trusted here"):
        Cards(ann).take(Cards(bob).own_card(), "bob")
    with pytest.raises(LookupError, match="no key card of eve"):
        Cards(bob).named("eve")


def test_who_is_revoked_has_no_card_any_more(homes):
    ann, bob = homes
    Cards(bob).take(Cards(ann).own_card(), "ann")
    keyring.revoke(bob, "ann")
    cards = Cards(bob)
    with pytest.raises(LookupError, match="not trusted any more"):
        cards.named("ann")
    assert cards.sender(cards.raw_fingerprint(read_card(Cards(ann).own_card()))) is None


def test_each_changed_byte_of_a_card_is_noticed(homes):
    card = base64.b64decode(Cards(homes[0]).own_card())
    for at in range(len(card)):
        changed = bytearray(card)
        changed[at] ^= 1
        with pytest.raises(ValueError):
            read_card(base64.b64encode(changed))
    for end in range(len(card)):
        with pytest.raises(ValueError):
            read_card(base64.b64encode(card[:end]))


def test_an_old_key_opens_until_it_is_retired(homes):
    ann, bob = homes
    cards = Cards(ann)
    before = read_card(cards.own_card()).public
    sealed = envelope.seal(b"x", sender=cards.identity, recipient=before, context="c")
    cards.renew()
    again = Cards(ann)
    assert read_card(again.own_card()).public.key_id != before.key_id
    assert envelope.open(sealed, keys=again.key, senders=again.sender, context="c").data == b"x"
    again.retire(before.key_id)
    for each in (again, Cards(ann)):
        with pytest.raises(envelope.EnvelopeRefused, match="is not here"):
            envelope.open(sealed, keys=each.key, senders=each.sender, context="c")
    with pytest.raises(ValueError, match="no old key"):
        again.retire(read_card(again.own_card()).public.key_id)


def test_private_keys_are_closed_to_others(homes):
    Cards(homes[0])
    (file,) = (homes[0] / "envelope").glob("*.key")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_bytes(b"AAAA")
    with pytest.raises(AccessDenied, match="holds no key for envelopes"):
        Cards(homes[0])
