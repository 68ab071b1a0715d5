"""Two real processes: what works between them, and what happens when one of them dies."""

import asyncio
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import pytest

import rpcx
from rpcx.protocol.frames import Kind, frame
from rpcx.protocol.handshake import MAGIC, Offer
from tests.end_to_end.conftest import ROOT
from tests.end_to_end.served import Account, Bank


def eventually(condition, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_a_call_reaches_an_object_in_another_process(host_process):
    with rpcx.connect(host_process.url, insecure=host_process.insecure) as server:
        bank = server.get(Bank)
        assert bank.add(1, b=2) == 3
        assert bank.add(1) == 2
        assert bank.pid() == host_process.process.pid != os.getpid()
        assert list(bank.ticks(500)) == list(range(500))
        assert list(bank.ticks_async(5)) == list(range(5))
        assert bank.open("ann").deposit(5) == 5
        assert bank.call_back(lambda i: i * 2, 3) == [0, 2, 4]


def test_a_megabyte_arrives_as_it_was_sent(host_process):
    data = os.urandom(3 << 20)
    with rpcx.connect(host_process.url, insecure=host_process.insecure) as server:
        bank = server.get(Bank)
        for _ in range(3):
            assert bank.echo(data) == data


def test_both_ends_of_a_pipe_know_the_other_process(start_host):
    host = start_host()
    with rpcx.connect(host.url) as server:
        assert server.get(Bank).caller_pid() == os.getpid()
        assert server.peer.pid == host.process.pid
        assert server.peer.uid == os.getuid()


def test_twenty_calls_that_block_run_side_by_side(host_process):
    with rpcx.connect(host_process.url, insecure=host_process.insecure) as server:
        bank = server.get(Bank)
        futures = [rpcx.future(bank.meet) for _ in range(20)]
        assert all(future.result(15) for future in futures)


def test_one_connection_serves_many_threads(host_process):
    with rpcx.connect(host_process.url, insecure=host_process.insecure) as server:
        bank = server.get(Bank)
        wrong: list[int] = []

        def work(base: int) -> None:
            for i in range(200):
                if bank.add(base, i) != base + i:
                    wrong.append(i)

        threads = [threading.Thread(target=work, args=(n * 1000,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


def test_one_connection_serves_many_tasks(host_process):
    async def main() -> list[int]:
        async with rpcx.aio.connect(host_process.url, insecure=host_process.insecure) as server:
            bank = server.get(Bank)
            return await asyncio.gather(*[bank.add(i, 1) for i in range(2000)])

    assert asyncio.run(main()) == [i + 1 for i in range(2000)]


def test_one_way_calls_arrive_in_order(host_process):
    with rpcx.connect(host_process.url, insecure=host_process.insecure) as server:
        bank = server.get(Bank)
        for i in range(300):
            bank.audit(str(i))
        assert eventually(lambda: len(bank.audited()) == 300)
        assert bank.audited() == [str(i) for i in range(300)]


@pytest.mark.parametrize("method", ["hang", "hang_async"])
def test_a_call_that_a_killed_host_took_along_may_have_run(host_process, method):
    with rpcx.connect(host_process.url, insecure=host_process.insecure) as server:
        bank = server.get(Bank)
        assert bank.add(1, 1) == 2
        pending = rpcx.future(getattr(bank, method))
        assert bank.add(1, 1) == 2  # the other call has been read by now
        host_process.kill()
        with pytest.raises(rpcx.MaybeExecuted) as caught:
            pending.result(5)
        assert caught.value.executed == "maybe"
        with pytest.raises(rpcx.NotSent) as refused:
            bank.add(1, 1)
        assert refused.value.executed == "no"


def test_a_host_that_comes_back_is_found_again(start_host):
    first = start_host()
    with rpcx.connect(first.url) as server:
        bank, account = server.get(Bank), server.create(Account, "ann")
        assert bank.add(1, 1) == 2
        first.kill()
        with pytest.raises(rpcx.ConnectionLost):
            bank.add(1, 1)
        start_host(first.url)
        assert bank.add(1, 1) == 2
        with pytest.raises(rpcx.ObjectNotFound):
            account.deposit(1)


CLIENT = """
import sys, time, rpcx
from tests.end_to_end.served import Account
from pathlib import Path
with rpcx.connect(sys.argv[1], insecure="?key=" not in sys.argv[1]) as server:
    account = server.create(Account, "ann", Path(sys.argv[2]))
    print(account.deposit(5), flush=True)
    if sys.argv[3] == "call":
        from tests.end_to_end.served import Bank
        server.get(Bank).hang()
    time.sleep(60)
"""


@pytest.mark.parametrize("doing", ["idle", "call"])
def test_what_a_killed_client_owned_ends_after_the_grace_time(host_process, tmp_path, doing):
    mark = tmp_path / "ended"
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, host_process.url, str(mark), doing],
        stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    try:
        assert client.stdout.readline().strip() == "5"
        assert not mark.exists()
    finally:
        client.kill()
        client.wait()
        client.stdout.close()
    assert eventually(lambda: mark.exists() and mark.read_text() == "ann")
    with rpcx.connect(host_process.url, insecure=host_process.insecure) as server:
        assert server.get(Bank).add(1, 1) == 2


def test_what_a_client_closes_ends_at_once(host_process, tmp_path):
    mark = tmp_path / "ended"
    with rpcx.connect(host_process.url, insecure=host_process.insecure) as server:
        with server.create(Account, "bob", mark) as account:
            assert account.deposit(1) == 1
            assert not mark.exists()
        assert eventually(mark.exists)


def test_what_a_client_forgets_ends_too(host_process, tmp_path):
    mark = tmp_path / "ended"
    with rpcx.connect(host_process.url, insecure=host_process.insecure) as server:
        account = server.create(Account, "bob", mark)
        assert account.deposit(1) == 1
        del account
        assert eventually(mark.exists)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="not on Linux: fork is a POSIX call")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_cannot_use_its_parents_connection(start_host):
    host = start_host()
    with rpcx.connect(host.url) as server:
        bank = server.get(Bank)
        assert bank.add(1, 1) == 2
        child = os.fork()
        if child == 0:
            try:
                bank.add(1, 1)
            except rpcx.ForkedConnection:
                os._exit(7)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert bank.add(1, 1) == 2


def test_an_idle_host_and_an_idle_client_use_no_processor_time(start_host):
    import psutil

    host = start_host()
    with rpcx.connect(host.url) as server:
        bank = server.get(Bank)
        for i in range(200):
            bank.add(i)
        time.sleep(0.5)  # what lingers after the last call has ended by then

        def used() -> float:
            there = psutil.Process(host.process.pid).cpu_times()
            return time.process_time() + there.user + there.system

        before = used()
        time.sleep(1.0)
        assert used() - before <= 0.03  # the clock of other processes ticks in hundredths


def test_two_thousand_idle_connections_cost_little_and_slow_nobody(start_host):
    import psutil

    host = start_host("tcp://127.0.0.1:0", insecure=True)
    where = ("127.0.0.1", int(host.url.rpartition(":")[2]))
    process = psutil.Process(host.process.pid)
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    number = min(2000, most - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(files, number + 200), most))
    resource.prlimit(host.process.pid, resource.RLIMIT_NOFILE, (max(files, number + 200), most))
    try:
        with rpcx.connect(host.url, insecure=True) as server, ExitStack() as crowd:
            bank = server.get(Bank)
            alone = seconds_for_calls(bank)
            before = process.memory_info().rss
            for _ in range(number):
                shaken_hands(crowd.enter_context(socket.create_connection(where, timeout=10)))
            assert (process.memory_info().rss - before) / number < 20 * 1024
            assert seconds_for_calls(bank) < 2 * alone
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))


def shaken_hands(sock: socket.socket) -> None:
    sock.sendall(MAGIC + frame(Kind.HELLO, 0, Offer(session=os.urandom(8).hex()).to_bytes())[0])
    assert sock.recv(4096).startswith(MAGIC)


def seconds_for_calls(bank) -> float:
    """For 300 calls; the best of some rounds, since others use this machine too."""
    rounds = []
    for _ in range(7):
        begun = time.perf_counter()
        for i in range(300):
            bank.add(i)
        rounds.append(time.perf_counter() - begun)
    return min(rounds)
