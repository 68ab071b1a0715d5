"""A stock Pyro5 daemon, with what Pyro5's own examples have; a program. Arguments: a port, and
``names`` for a name server too.
"""

import sys
import threading
import time

import Pyro5.api
import Pyro5.nameserver


@Pyro5.api.expose
class Account:
    def __init__(self, owner):
        self._owner = owner
        self._balance = 0

    @property
    def balance(self):
        return self._balance

    @balance.setter
    def balance(self, value):
        self._balance = value

    def deposit(self, amount):
        if amount < 0:
            raise ValueError("amount must be positive")
        self._balance += amount
        return self._balance


class Odd(Exception):
    """Nobody else knows it."""


@Pyro5.api.expose
@Pyro5.api.behavior(instance_mode="single")
class Bank:
    def __init__(self):
        self._noted = []
        self._noticed = threading.Event()
        self._closed = threading.Event()
        self._account = None
        self._ending = threading.Event()

    def greet(self, name, *, loudly=False):
        return f"HELLO {name}" if loudly else f"hello {name}"

    def open(self, owner):
        account = Account(owner)
        self._pyroDaemon.register(account)
        return account

    def balance_of(self, account):
        with account:
            return account.balance

    def echo(self, value):
        return value

    @Pyro5.api.oneway
    def note(self, text):
        self._noted.append(text)
        self._noticed.set()

    def notes(self):
        assert self._noticed.wait(10)
        return self._noted

    def explode(self):
        raise Odd("really")

    def sleep(self, seconds):
        time.sleep(seconds)

    def begin(self):
        """Runs until `end` is called."""
        assert self._ending.wait(10)

    def end(self):
        self._ending.set()

    def count(self, upto):
        try:
            yield from range(upto)
        finally:
            self._closed.set()

    def was_closed(self):
        return self._closed.wait(10)


def main():
    port = next((int(arg) for arg in sys.argv[1:] if arg.isdigit()), 0)
    daemon = Pyro5.api.Daemon(host="127.0.0.1", port=port)
    uri = daemon.register(Bank, "bank")
    print(uri.location, flush=True)
    if "names" in sys.argv:
        _, names, broadcast = Pyro5.nameserver.start_ns(host="127.0.0.1", port=0, enableBroadcast=False)
        assert broadcast is None
        names.nameserver.register("some.bank", uri)
        threading.Thread(target=names.requestLoop, daemon=True).start()
        print(names.locationStr, flush=True)
    daemon.requestLoop()


if __name__ == "__main__":
    main()
