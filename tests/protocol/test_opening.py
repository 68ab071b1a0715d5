"""The proof within the handshake: who gets in, who does not, and that nothing on the way can lower it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcx.abc import PeerFacts, Proved
from rpcx.errors import AccessDenied, AuthenticationFailed, LimitExceeded, ProtocolError
from rpcx.protocol.connection import CALL, CLOSED, OPENED, PROVE, Connection, Phase
from rpcx.protocol.frames import HEADER, Kind, frame
from rpcx.protocol.handshake import HELLO_BYTES, MAGIC, Limits, Offer, refusal, refused
from rpcx.protocol.opening import MOST_MESSAGES
from tests.protocol.pair import NOW, Digest, authenticated, error_of, in_pieces, offer, received, sent


class Ends:
    """A client and a server that have authenticators; what either sends may be changed on its way."""

    def __init__(self, client=(Digest(),), server=(Digest(),), facts: PeerFacts | None = None) -> None:
        self.facts = facts or PeerFacts("test", "pair", private=True)
        self.client = authenticated("client", *client, facts=PeerFacts("test", "pair", private=self.facts.private))
        self.server = authenticated("server", *server, facts=self.facts)
        self.said: list[bytes] = []  # in turn, the client's first

    def talk(self, change=lambda number, said: said, turns: int = 20) -> None:
        """Carry what both say until one has nothing to say."""
        ends = [self.client, self.server]
        for number in range(turns):
            said = sent(ends[number % 2])
            if not said:
                return
            self.said.append(said)
            received(ends[(number + 1) % 2], change(number, said))

    @property
    def opened(self) -> tuple[bool, bool]:
        return self.client.phase == Phase.OPEN, self.server.phase == Phase.OPEN


# --- who gets in --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_who_proves_it_is_known_and_nobody_else_than_it_proved(rounds):
    facts = PeerFacts("test", "pair", principal="somebody", roles=frozenset({"ops"}), owner=True, private=True)
    ends = Ends(server=[Digest(rounds=rounds)], facts=facts)
    assert ends.server.proof is None
    ends.talk()
    assert ends.server.proof.principal == "ann"
    assert ends.opened == (True, True)
    assert (facts.principal, facts.roles, facts.owner) == ("ann", {"teller"}, False)
    assert ends.client.agreement.authenticator == ends.server.agreement.authenticator == "digest"


def test_a_call_that_waited_leaves_when_the_proof_is_done_and_not_before():
    ends = Ends()
    ends.client.call(CALL, "token", b"body")
    ends.talk()
    assert ends.opened == (True, True)
    hello, *proofs, last = ends.said[::2]
    assert last == frame(CALL, 1, b"body")[0]
    assert not any(b"body" in said for said in (hello, *proofs))


def test_the_clients_preference_among_what_both_have_decides():
    first, second, third = Digest(), Digest(), Digest()
    second.name, third.name = "second", "third"
    ends = Ends(client=[third, second, first], server=[first, second])
    ends.talk()
    assert ends.server.agreement.authenticator == "second"


def test_a_connection_without_authenticators_says_nothing_of_them():
    ends = Ends(client=(), server=())
    ends.talk()
    assert ends.opened == (True, True)
    assert len(ends.said) == 2
    assert not any(word in said for said in ends.said for word in (b"authenticators", b"nonce"))


def test_the_exchange_is_the_same_however_it_is_cut():
    whole = Ends()
    whole.talk()
    for cut in range(1, max(map(len, whole.said))):
        ends = Ends()
        end = [ends.client, ends.server]
        for number, said in enumerate(whole.said):
            for piece in in_pieces(said, min(cut, len(said))):
                received(end[(number + 1) % 2], piece)
            assert sent(end[number % 2]) == said
        assert ends.opened == (True, True)


def test_a_service_of_kerberos_has_a_name_as_anybody():
    for principal in ("HTTP/web.example.com@EXAMPLE.COM", "PC1$@EXAMPLE.COM", "x" * 128):
        ends = Ends([Digest(principal)], [Digest(principal)])
        ends.talk()
        assert ends.facts.principal == principal


# --- a client's work ----------------------------------------------------------------------------------------


def at_work() -> tuple[Connection, object]:
    """A client that has to prove who it is now, and how it does that."""
    ends = Ends()
    ends.talk(turns=1)
    (event,) = ends.client.receive(sent(ends.server), NOW)
    assert event[0] == PROVE
    return ends.client, event[1]


def test_what_a_client_proves_by_is_work_for_somebody_who_may_block():
    seen = []

    class Slow(Digest):
        def client(self, binding):
            seen.append("client")
            return super().client(binding)

    ends = Ends(client=[Slow()])
    ends.talk(turns=1)
    ((_, work, *_),) = ends.client.receive(sent(ends.server), NOW)
    assert not seen, "reading has not asked the authenticator"
    assert ends.client.proving == "digest"
    assert sent(ends.client) == b""
    assert ends.client.due() == NOW + Limits().handshake
    answer = work()
    assert seen == ["client"]
    assert sent(ends.client) == b"", "nor has it been said yet"
    ends.client.proved(answer)
    assert ends.client.due() == 0.0
    assert ends.client.tick(NOW) == []
    assert sent(ends.client) == frame(Kind.PROOF, 0, answer)[0]
    assert ends.client.proving == ""


def test_while_a_client_works_its_server_has_nothing_to_say_but_no():
    for kind in Kind:
        client, _ = at_work()
        error = error_of(client.receive(frame(kind, 0, refusal("AccessDenied", "changed my mind"))[0], NOW))
        if kind == Kind.REJECT:
            assert isinstance(error, AccessDenied)
        else:
            assert isinstance(error, ProtocolError)
            assert "the client's turn" in str(error)


def test_what_comes_of_work_after_the_end_changes_nothing():
    client, work = at_work()
    client.receive(frame(Kind.REJECT, 0, refusal("AccessDenied", "no"))[0], NOW)
    client.proved(work())
    assert client.due() is None
    assert client.tick(NOW) == []
    assert sent(client) == b""


def test_work_that_fails_ends_the_connection_with_its_reason():
    client, _ = at_work()
    client.proved(AuthenticationFailed("no ticket"))
    assert "no ticket" in str(error_of(client.tick(NOW)))
    client, _ = at_work()
    assert isinstance(error_of(client.tick(NOW + Limits().handshake)), ProtocolError), "nor is it waited for"


# --- who does not -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client", "server", "words"),
    [
        ([], ["digest"], ["the client has none", "the server digest"]),
        (["digest"], [], ["the client has digest", "the server none"]),
        (["other"], ["digest", "third"], ["the client has other", "the server digest, third"]),
    ],
)
def test_a_mismatch_names_both_sides_to_both_sides(client, server, words):
    def named(names):
        made = [Digest() for _ in names]
        for each, name in zip(made, names, strict=True):
            each.name = name
        return made

    ends = Ends(named(client), named(server))
    ends.talk()
    for end in (ends.client, ends.server):
        assert isinstance(end.error, AuthenticationFailed)
        for word in words:
            assert word in str(end.error)


def test_who_skips_the_proof_is_not_let_in():
    for kind in Kind:
        if kind != Kind.PROOF:
            ends = Ends()
            ends.talk(turns=2)
            error = error_of(ends.server.receive(frame(kind, 1, b"")[0], NOW))
            assert isinstance(error, ProtocolError)
            assert ends.facts.principal is None


def test_a_client_believes_only_a_server_that_proves_itself_where_that_is_asked_for():
    ends = Ends()
    ends.talk(turns=2)
    sent(ends.client)
    error = error_of(ends.client.receive(frame(Kind.ADMITTED, 0, b"welcome, ann")[0], NOW))
    assert isinstance(error, AuthenticationFailed)


def test_a_server_that_chooses_what_was_not_offered_is_left():
    for names in (("other",), ("digest", "other")):
        ends = Ends()
        ends.talk(turns=1)
        body = Offer(authenticators=names, nonce="22" * 32).to_bytes()
        error = error_of(ends.client.receive(MAGIC + frame(Kind.WELCOME, 0, body)[0], NOW))
        assert "not offered" in str(error)
        assert sent(ends.client) == b""


@pytest.mark.parametrize("nonce", ["", "11" * 31, "11" * 33, "AA" * 32, "g" * 64, "11" * 32 + "\n", 5])
def test_a_nonce_of_another_shape_is_refused(nonce):
    ends = Ends(client=())
    hello = Offer(authenticators=("digest",), nonce=nonce).to_bytes()
    assert isinstance(error_of(ends.server.receive(MAGIC + frame(Kind.HELLO, 0, hello)[0], NOW)), ProtocolError)


@pytest.mark.parametrize(
    "principal", ["", "owner", "uid:0", "a b", "ann\n", "-ann", "x" * 129, "principal:ann", "*", "a\\@b", None, 5]
)
def test_nobody_can_prove_to_be_what_is_no_name_here(principal):
    class Anybody(Digest):
        def server(self, binding):
            return self

        def step(self, message):
            return b"", Proved(principal)

    class Roles(Anybody):
        def step(self, message):
            return b"", Proved("ann", frozenset({"teller", principal}))

    for kind in (Anybody, Roles):
        facts = PeerFacts("pipe", "x", principal="uid:1001", private=True)
        ends = Ends(server=[kind()], facts=facts)
        ends.talk()
        assert isinstance(ends.server.error, AuthenticationFailed)
        assert facts.principal == "uid:1001"


def test_what_goes_wrong_in_an_authenticator_means_no_and_its_words_stay_here():
    class Broken(Digest):
        def server(self, binding):
            return self

        def step(self, message):
            raise KeyError("a secret path")

    ends = Ends(server=[Broken()])
    ends.talk()
    assert isinstance(ends.server.error, AuthenticationFailed)
    assert isinstance(ends.server.error.__cause__, KeyError)
    assert isinstance(ends.client.error, AuthenticationFailed)
    assert "secret" not in str(ends.client.error)


def test_one_that_shows_a_secret_is_used_only_where_nobody_reads_along():
    class Password(Digest):
        shows_secret = True

    for private in (True, False):
        ends = Ends([Password()], [Password()], PeerFacts("tcp", "127.0.0.1:1", private=private))
        ends.talk()
        assert ends.opened == (private, private)
        assert private or isinstance(ends.server.error, AccessDenied)
    silent = Ends([Password()], [Digest()], PeerFacts("tcp", "127.0.0.1:1"))  # a server that does not mind
    silent.talk()
    assert isinstance(silent.client.error, AccessDenied)
    assert len(silent.said) == 2, "the client has said nothing but hello"


# --- on its way ---------------------------------------------------------------------------------------------


def test_a_changed_byte_anywhere_admits_nobody():
    whole = Ends()
    whole.talk()
    for number, said in enumerate(whole.said[:4]):  # both hellos, and what proves
        ignored = {5, 8, 9, 10, 11} if number >= 2 else ()  # flags and id of a frame mean nothing here
        for at in set(range(len(said))) - set(ignored):
            for bit in (1, 128):
                ends = Ends()
                changed = said[:at] + bytes([said[at] ^ bit]) + said[at + 1 :]
                ends.talk(lambda turn, data, changed=changed, number=number: changed if turn == number else data)
                assert not ends.opened[1], (number, at, bit)
                assert ends.facts.principal is None


def test_an_offer_that_somebody_lowers_on_its_way_ends_the_connection():
    """Whoever sits in between may leave words out; what both ends then sign is not the same."""
    weak, strong = Digest(), Digest()
    weak.name = "weak"

    def lowered(number, said):
        body = said[len(MAGIC) + HEADER.size :].replace(b'["digest", "weak"]', b'["weak"]')
        return MAGIC + frame(Kind.HELLO, 0, body)[0] if number == 0 else said

    ends = Ends(client=[strong, weak], server=[strong, weak])
    ends.talk(lowered)
    assert ends.opened == (False, False)
    assert isinstance(ends.server.error, AuthenticationFailed)


def test_a_proof_is_worth_nothing_on_another_connection():
    one = Ends()
    one.talk()
    two = authenticated("server", Digest(), nonce="33" * 32)
    two.receive(one.said[0], NOW)
    sent(two)
    assert isinstance(error_of(two.receive(one.said[2], NOW)), AuthenticationFailed)
    other_key = PeerFacts("tcp", "x", private=True, certificates=b"s" * 32 + b"d" * 32)
    three = authenticated("server", Digest(), facts=other_key)  # the same nonces, another certificate
    three.receive(one.said[0], NOW)
    sent(three)
    assert isinstance(error_of(three.receive(one.said[2], NOW)), AuthenticationFailed)


# --- bounds -------------------------------------------------------------------------------------------------


def test_an_exchange_has_a_number_of_messages_at_most():
    class Endless(Digest):
        def server(self, binding):
            return self

        def step(self, message):
            return b"more", None

    ends = Ends(server=[Endless()])
    ends.talk(turns=100)
    assert ends.opened == (False, False)
    assert any(isinstance(end.error, LimitExceeded) for end in (ends.client, ends.server))
    proofs = [said for said in ends.said if said[4] == Kind.PROOF]
    assert len(proofs) <= MOST_MESSAGES


def test_a_message_of_the_full_size_is_read_and_a_larger_one_refused_before_it_came():
    ends = Ends()
    ends.talk(turns=2)
    full = ends.server.receive(frame(Kind.PROOF, 0, bytes(HELLO_BYTES))[0], NOW)
    assert isinstance(error_of(full), AuthenticationFailed)
    ends = Ends()
    ends.talk(turns=2)
    over = ends.server.receive(HEADER.pack(HELLO_BYTES + 1, Kind.PROOF, 0, 0, 0), NOW)
    assert isinstance(error_of(over), LimitExceeded)


def test_an_authenticator_that_says_too_much_says_nothing():
    class Talker(Digest):
        def client(self, binding):
            return self

        def step(self, message):
            return bytes(HELLO_BYTES + 1)

    ends = Ends(client=[Talker()])
    ends.talk()
    assert isinstance(ends.client.error, AuthenticationFailed)
    assert "8193 bytes" in str(ends.client.error)


def test_who_dawdles_is_refused_when_the_handshakes_time_is_over():
    ends = Ends()
    ends.talk(turns=2)
    assert ends.server.due() == NOW + Limits().handshake
    assert isinstance(error_of(ends.server.tick(NOW + Limits().handshake)), ProtocolError)
    ((name, _),) = [refused(sent(ends.server)[HEADER.size :])]
    assert name == "ProtocolError"


@given(st.binary(max_size=300), st.integers(0, 4))
def test_garbage_instead_of_any_message_is_refused_or_waited_for(garbage, number):
    ends = Ends()
    ends.talk(lambda turn, said: garbage if turn == number else said)
    assert ends.facts.principal is None or number == 4
    for end in (ends.client, ends.server):
        assert end.phase in (Phase.OPENING, Phase.CLOSED) or number == 4


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=12))
def test_any_exchange_ends_with_both_or_neither_admitted(words):
    """A dialogue of any words: the server admits when it has heard them all."""

    class Dialogue(Digest):
        def client(self, binding):
            return Speaker(words)

        def server(self, binding):
            return Listener(words)

    class Speaker:
        def __init__(self, words):
            self.left = list(words)

        def step(self, message):
            return self.left.pop(0) if self.left else b"done"

        def admitted(self, message):
            assert message == b"yes"

    class Listener(Speaker):
        def step(self, message):
            if message == b"done" and not self.left:
                return b"yes", Proved("ann")
            assert message == self.left.pop(0)
            return b"", None

    ends = Ends([Dialogue()], [Dialogue()])
    ends.talk(turns=100)
    fits = 2 * len(words) + 1 <= MOST_MESSAGES and b"done" not in words
    assert ends.opened == ((True, True) if fits else (False, False))


# --- ends ---------------------------------------------------------------------------------------------------


def test_a_proof_that_ends_takes_the_connection_with_it():
    ends = Ends(server=[Digest(seconds=60.0)])
    ends.talk()
    assert ends.opened == (True, True)
    assert ends.server.due() == NOW + 45.0  # a ping comes first
    ends.server.tick(NOW + 45.0)
    ends.client.receive(sent(ends.server), NOW + 45.0)
    ends.server.receive(sent(ends.client), NOW + 45.0)
    assert ends.server.due() == NOW + 60.0
    assert ends.server.tick(NOW + 59.9) == []
    error = error_of(ends.server.tick(NOW + 60.0))
    assert isinstance(error, AuthenticationFailed)
    assert ends.server.due() is None
    (event,) = ends.client.receive(sent(ends.server), NOW + 60.0)
    assert event[0] == CLOSED
    assert isinstance(event[1], AuthenticationFailed)
    assert "fresh proof" in str(event[1])


def test_after_a_goodbye_the_end_of_the_proof_changes_nothing():
    ends = Ends(server=[Digest(seconds=1.0)])
    ends.talk()
    ends.server.goodbye()
    assert ends.server.due() > NOW + 1.0
    assert ends.server.tick(NOW + 2.0) == []


def test_who_proved_nothing_that_ends_keeps_the_plain_methods():
    ends = Ends()
    ends.talk()
    assert "due" not in vars(ends.server)
    assert "tick" not in vars(ends.server)


def test_a_server_can_take_its_last_word_back():
    ends = Ends()
    ends.talk(turns=4)
    (opened,) = ends.server.receive(sent(ends.client), NOW)
    assert opened[0] == OPENED
    ends.server.reject(LimitExceeded("too many of you"))
    said = sent(ends.server)
    assert said[4] == Kind.REJECT
    assert isinstance(error_of(ends.client.receive(said, NOW)), LimitExceeded)


def test_what_was_said_before_the_last_word_stays_when_that_is_taken_back():
    """A client that does not wait for its turn hears WELCOME all the same, and then no."""

    class Anybody(Digest):
        def server(self, binding):
            return self

        def step(self, message):
            return b"", self.proved

    server = authenticated("server", Anybody())
    hello = Offer(authenticators=("digest",), nonce="11" * 32).to_bytes()
    (opened,) = server.receive(MAGIC + frame(Kind.HELLO, 0, hello)[0] + frame(Kind.PROOF, 0, b"")[0], NOW)
    assert opened[0] == OPENED
    server.reject(LimitExceeded("no"))
    said = sent(server)
    assert said.startswith(MAGIC)
    length = HEADER.unpack_from(said, len(MAGIC))[0]
    assert said[len(MAGIC) + HEADER.size + length + 4] == Kind.REJECT
    assert Connection("client", offer(Limits()), Limits(), NOW).receive(said, NOW)  # and makes no sense to a plain one
