"""Envelopes open for their reader, once, where they belong, unchanged; and for nobody else."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from rpcx.security import envelope
from rpcx.security.envelope import HEADER, MOST_CONTEXT, SPEECH, EnvelopeRefused, Header, Window, seal, show
from rpcx.security.hpke_keys import fingerprint_bytes, generate

ANN, EVE = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
BOB = generate()
NOW = 1_800_000_000_000
SENDERS = {fingerprint_bytes(ANN.public_key()): ANN.public_key()}
READER = {BOB.public.key_id: BOB}


def sealed(data=b"pay 5", **changes):
    return seal(data, **{"sender": ANN, "recipient": BOB.public, "context": "queue/a", "now": NOW} | changes)


def opened(data, **changes):
    usual = {"keys": READER.get, "senders": SENDERS.get, "context": "queue/a", "now": NOW}
    return envelope.open(data, **usual | changes)


@given(data=st.binary(max_size=3000), context=st.text(max_size=80), message_id=st.binary(min_size=16, max_size=16))
def test_what_is_sealed_opens(data, context, message_id):
    made = sealed(data, context=context, message_id=message_id)
    found = opened(made, context=context)
    assert (found.data, found.header.message_id, found.header.context) == (data, message_id, context)
    assert found.header.sender in SENDERS
    assert show(made) == found.header
    assert len(data) < 8 or data not in made[HEADER.size + len(context.encode()) :]


@pytest.mark.parametrize("bit", [0, 7])
def test_each_changed_byte_is_noticed(bit):
    made = sealed()
    for at in range(len(made)):
        changed = bytearray(made)
        changed[at] ^= 1 << bit
        with pytest.raises(EnvelopeRefused):
            opened(bytes(changed))


def test_each_cut_is_noticed_and_so_is_what_is_added():
    made = sealed()
    for other in [*(made[:end] for end in range(len(made))), *(made[start:] for start in range(1, 60)), made + b"\0"]:
        with pytest.raises(EnvelopeRefused):
            opened(other)


def test_another_reader_cannot_open_it():
    other = generate()
    with pytest.raises(EnvelopeRefused, match="is not here"):
        opened(sealed(), keys={other.public.key_id: other}.get)
    with pytest.raises(EnvelopeRefused, match="does not open"):
        opened(sealed(), keys=lambda _: other)


def test_an_unknown_sender_is_refused():
    with pytest.raises(EnvelopeRefused, match="not trusted"):
        opened(sealed(sender=EVE))


def test_a_signature_of_another_is_refused():
    made = sealed()[:-64]
    with pytest.raises(EnvelopeRefused, match="signature"):
        opened(made + EVE.sign(SPEECH + made))


def test_strip_and_sign_anew_is_refused_even_of_somebody_trusted():
    made = sealed()
    eve = fingerprint_bytes(EVE.public_key())
    trusting_both = {**SENDERS, eve: EVE.public_key()}
    stolen = made[:-64].replace(fingerprint_bytes(ANN.public_key()), eve)
    with pytest.raises(EnvelopeRefused, match="does not open"):
        opened(stolen + EVE.sign(SPEECH + stolen), senders=trusting_both.get)


def test_a_message_moved_elsewhere_is_refused():
    with pytest.raises(EnvelopeRefused, match="belongs to 'queue/a', not to 'queue/b'"):
        opened(sealed(), context="queue/b")


def test_the_sender_itself_cannot_move_the_ciphertext():
    """The header is bound twice: signed, and the key derivation's info."""
    made = sealed(context="queue/b")[HEADER.size + 7 : -64]
    forged = sealed()[: HEADER.size + 7] + made
    with pytest.raises(EnvelopeRefused, match="does not open"):
        opened(forged + ANN.sign(SPEECH + forged))


def test_a_repeated_message_is_refused():
    window = Window()
    made = sealed()
    opened(made, window=window)
    with pytest.raises(EnvelopeRefused, match="opened before"):
        opened(made, window=window, now=NOW + 119_000)
    assert opened(sealed(), window=window).data == b"pay 5"


@pytest.mark.parametrize("now", [NOW - 120_001, NOW + 120_001])
def test_old_and_future_messages_are_refused(now):
    with pytest.raises(EnvelopeRefused, match="before now"):
        opened(sealed(), window=Window(120), now=now)


def test_a_window_forgets_what_would_be_refused_by_its_time_and_is_bounded():
    window = Window(skew=1, most=2)
    for _ in range(2):
        opened(sealed(), window=window)
    with pytest.raises(EnvelopeRefused, match="more than 2"):
        opened(sealed(), window=window)
    later = NOW + 2_001
    assert opened(sealed(now=later), window=window, now=later).data == b"pay 5"


def test_a_hybrid_envelope():
    try:
        bob = generate(pq=True)
    except ImportError:
        pytest.skip("this cryptography has no ML-KEM")
    made = sealed(recipient=bob.public)
    assert opened(made, keys={bob.public.key_id: bob}.get).data == b"pay 5"
    assert len(made) == len(sealed()) + 1136 - 48


def test_what_is_too_long_is_refused_on_both_sides():
    with pytest.raises(ValueError, match="context"):
        sealed(context="x" * (MOST_CONTEXT + 1))
    with pytest.raises(ValueError, match="too many"):
        sealed(bytes(envelope.MOST_BYTES))


def test_a_header_with_a_long_context_is_refused_before_it_is_read():
    packed = bytearray(Header(1, 0, bytes(16), bytes(32), bytes(16), "").pack())
    packed[-2:] = b"\xff\xff"
    with pytest.raises(EnvelopeRefused, match="makes no sense"):
        show(bytes(packed) + bytes(70_000))
