"""What a host says of itself, whichever directory it is told to."""

import socket
import threading

from rpcx.announcing import Teller, for_others


def test_all_addresses_are_those_of_the_machines_name():
    assert for_others("tcp://0.0.0.0:4000/bank?key=x") == f"tcp://{socket.gethostname()}:4000/bank?key=x"
    assert for_others("tcp://[::]:4000/bank") == f"tcp://{socket.gethostname()}:4000/bank"
    assert for_others("tcp://10.0.0.0:4000/0.0.0.0:") == "tcp://10.0.0.0:4000/0.0.0.0:"


def test_a_directory_is_told_until_it_is_left_and_a_complaint_is_made_once(caplog, monkeypatch):
    monkeypatch.setattr("rpcx.announcing.AGAIN_SECONDS", 0.0)
    told, left = [], []
    often = threading.Event()

    def tell() -> float:
        told.append(len(told))
        if len(told) >= 5:
            often.set()
            return 60.0
        raise OSError("out of order")

    teller = Teller("pipe://names", tell, lambda: left.append(True))
    assert often.wait(10)
    teller.close()
    assert (len(told), left) == (5, [True])
    said = [record.getMessage() for record in caplog.records]
    assert said == ["the directory pipe://names cannot be told this host's names: out of order"]
