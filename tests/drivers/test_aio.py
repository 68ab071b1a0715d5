"""The asyncio driver, with the same toy session."""

import asyncio
import socket
import threading

import pytest

from rpcx.drivers.aio import AioPump
from tests.drivers.toy import LineSession, SocketEnd


async def served(pump: AioPump, **options):
    near, far = socket.socketpair()
    session = LineSession(**options)
    await pump.add(SocketEnd(far), session)
    reader, writer = await asyncio.open_connection(sock=near)
    return reader, writer, session


def run(main) -> None:
    async def whole() -> None:
        pump = AioPump()
        writers: list[asyncio.StreamWriter] = []

        async def serve(**options):
            reader, writer, session = await served(pump, **options)
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
