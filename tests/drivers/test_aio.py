"""The asyncio driver, with the same toy session."""

import asyncio
import contextlib
import socket
import threading

import pytest

from rpcx.drivers.aio import AioPump
from rpcx.errors import ConnectionLost, ProtocolError
from tests.drivers.toy import Brittle, LineSession, SocketEnd


async def served(pump: AioPump, kind=LineSession, **options):
    near, far = socket.socketpair()
    session = kind(**options)
    await pump.add(SocketEnd(far), session)
    reader, writer = await asyncio.open_connection(sock=near)
    return reader, writer, session


def run(main) -> None:
    async def whole() -> None:
        pump = AioPump()
        writers: list[asyncio.StreamWriter] = []

        async def serve(kind=LineSession, **options):
            reader, writer, session = await served(pump, kind, **options)
            writers.append(writer)
            return reader, writer, session

        try:
            await asyncio.wait_for(main(serve), 10)
        finally:
            await pump.close()
            for writer in writers:
                writer.close()
                await writer.wait_closed()

    asyncio.run(whole())


def test_the_same_session_runs_in_a_loop_without_a_thread():
    async def main(serve) -> None:
        before = threading.active_count()
        reader, writer, _ = await serve()
        writer.write(b"a\nb\nc\n")
        assert await reader.readexactly(6) == b"A\nB\nC\n"
        assert threading.active_count() == before

    run(main)


class Told(LineSession):
    """Remembers what waits, as its driver says."""

    waits = 0

    def held_back(self, count: int, *, took: bool) -> None:
        self.waits = count
        super().held_back(count, took=took)


def test_a_session_knows_all_that_waits_for_a_peer_that_takes_nothing():
    """Also what was added last: it would go on to make more, if that did not count yet."""

    async def main() -> None:
        pump, session = AioPump(), Told()
        near, far = socket.socketpair()
        near.setblocking(False)
        link = await pump.add(SocketEnd(far), session)
        await asyncio.get_running_loop().sock_sendall(near, (b"x" * 50_000 + b"\n") * 40)
        while link._transport.get_write_buffer_size() < 500_000:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # for what is still on its way here
        assert session.waits == link._transport.get_write_buffer_size()
        near.close()
        await pump.close()

    asyncio.run(asyncio.wait_for(main(), 10))


def test_a_blocking_job_leaves_the_loop_free():
    release = threading.Event()

    async def main(serve) -> None:
        reader, writer, _ = await serve(work=lambda text: release.wait(10) if b"block" in text else None)
        writer.write(b"block\nquick\n")
        assert await reader.readline() == b"QUICK\n"
        release.set()
        assert await reader.readline() == b"BLOCK\n"

    run(main)


def test_a_timer_of_the_session_runs_without_traffic():
    async def main(serve) -> None:
        reader, _, _ = await serve(beat=0.02)
        assert [await reader.readline() for _ in range(3)] == [b"beat\n"] * 3

    run(main)


def test_a_session_that_has_finished_sends_the_rest_and_closes():
    async def main(serve) -> None:
        reader, writer, session = await serve()
        writer.write(b"quit\n")
        assert await reader.read() == b"bye\n"
        assert isinstance(session.ended, ConnectionError)

    run(main)


def test_a_sync_wait_in_the_loops_own_thread_is_refused():
    async def main(serve) -> None:
        reader, writer, session = await serve()
        writer.write(b"x\n")
        await reader.readline()
        with pytest.raises(RuntimeError, match="await the call"):
            session.link.wait(object(), 1.0)

    run(main)


def test_a_session_hears_whether_a_slow_peer_takes_what_waits():
    async def main(_serve) -> None:
        near, far = socket.socketpair()
        near.setblocking(False)
        loop, pump, session = asyncio.get_running_loop(), AioPump(), LineSession(beat=0.01)
        await pump.add(SocketEnd(far), session)

        async def told(*expected: bool) -> None:
            """It says nothing else, when asked again and again."""
            del session.held[:]
            async with asyncio.timeout(5):
                while len(session.held) < 5:
                    await asyncio.sleep(0.005)
            assert {took for _, took in session.held[2:]} == set(expected)

        await loop.sock_sendall(near, b"x" * (4 << 20) + b"\n")
        while not session.held:
            await asyncio.sleep(0.005)
        await told(False)
        assert session.held[-1][0] > 1 << 20
        taken = 0
        del session.held[:]
        while not any(took for _, took in session.held):
            taken += len(await loop.sock_recv(near, 65536))
            await asyncio.sleep(0.005)
        assert taken < 4 << 20
        await told(False)  # it stopped taking
        while taken < (4 << 20) + 1 or not session.held or session.held[-1] != (0, True):
            taken += len(await asyncio.wait_for(loop.sock_recv(near, 1 << 20), 5))
        near.close()
        await pump.close()

    run(main)


# --- dialling -----------------------------------------------------------------------------------------------


class Reached:
    """A dial that ends when the test says so."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.closed = threading.Event()

    def reach(self):
        self.go.wait(10)
        return "channel", self

    def close(self) -> None:
        self.closed.set()


def test_the_loop_goes_on_while_it_dials():
    async def main(serve) -> None:
        reached, pump = Reached(), AioPump()
        dialling = asyncio.ensure_future(pump.dial(reached.reach))
        reader, writer, _ = await serve()
        writer.write(b"a\n")
        assert await reader.readline() == b"A\n"
        assert not dialling.done()
        reached.go.set()
        assert await dialling == ("channel", reached)

    run(main)


def test_a_dial_that_was_given_up_closes_the_stream_that_comes_too_late():
    reached = Reached()

    async def main(serve) -> None:
        pump = AioPump()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pump.dial(reached.reach), 0.01)
        reached.go.set()
        while not reached.closed.is_set():
            await asyncio.sleep(0.001)

    run(main)
    late, kept = Reached(), []

    async def leave(serve) -> None:
        kept.append(asyncio.ensure_future(AioPump().dial(late.reach)))
        await asyncio.sleep(0)

    run(leave)  # the loop is closed before the stream comes
    late.go.set()
    assert late.closed.wait(10)


def test_what_a_dial_raises_is_raised_where_it_is_awaited():
    def reach():
        raise ConnectionRefusedError("nobody there")

    async def main(serve) -> None:
        with pytest.raises(ConnectionRefusedError, match="nobody there"):
            await AioPump().dial(reach)

    run(main)


def test_a_session_that_fails_on_what_it_gets_ends_alone(caplog):
    async def main(serve) -> None:
        reader, writer, session = await serve(Brittle)
        other, other_writer, _ = await serve()
        writer.write(b"break\n")
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        assert isinstance(session.ended, ProtocolError)
        other_writer.write(b"hello\n")
        assert await other.readline() == b"HELLO\n"

    run(main)
    assert "made this side fail" in caplog.text


class Door:
    """A listener at which somebody has just come."""

    url = "toy://door"

    def __init__(self, *streams: SocketEnd) -> None:
        self._streams = [*streams]

    def filenos(self) -> list[int]:
        return []

    def accept(self) -> SocketEnd | None:
        return self._streams.pop(0) if self._streams else None

    def close(self) -> None: ...


def test_who_is_evicted_before_its_connection_is_set_up_is_gone_all_the_same():
    """Both come in one turn of the loop, which has set up neither; the second is let in for the first."""
    pairs = [socket.socketpair() for _ in range(2)]
    sessions = [Brittle(), Brittle()]
    coming = iter(sessions)

    async def main(serve) -> None:
        def accept(listener, stream) -> Brittle:
            session = next(coming)
            if session is sessions[1]:
                pump.evict(sessions[0], ConnectionLost("evicted"))
            return session

        pump, loop = AioPump(accept), asyncio.get_running_loop()
        pump._welcome(Door(*(SocketEnd(far) for _, far in pairs)))
        for near, _ in pairs:
            near.setblocking(False)
        assert await loop.sock_recv(pairs[0][0], 1) == b""
        assert str(sessions[0].ended) == "evicted"
        await loop.sock_sendall(pairs[1][0], b"a\n")
        assert await loop.sock_recv(pairs[1][0], 10) == b"A\n"
        assert pump.stats()["connections"] == 1
        await pump.close()

    run(main)
    for near, _ in pairs:
        near.close()


def test_a_pump_that_closes_takes_along_who_has_just_come():
    near, far = socket.socketpair()

    async def main(serve) -> None:
        pump = AioPump(lambda listener, stream: Brittle())
        pump._welcome(Door(SocketEnd(far)))
        await pump.close()
        assert pump.stats()["connections"] == 0
        near.setblocking(False)
        assert await asyncio.get_running_loop().sock_recv(near, 1) == b""

    run(main)
    near.close()
