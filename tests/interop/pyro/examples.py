"""A stock Pyro5 daemon that serves what Pyro5's own examples do, as `test_examples` has it for rpcx; a program."""

import threading

import Pyro5.api


@Pyro5.api.expose
class Greeting:
    def get_fortune(self, name):
        return f"Hello, {name}. Tomorrow's lucky number is 12345678."


class Account:
    def __init__(self):
        self.balance = 0.0


@Pyro5.api.expose
@Pyro5.api.behavior(instance_mode="single")
class Bank:
    def __init__(self):
        self._accounts = {}

    def create_account(self, name):
        if name in self._accounts:
            raise ValueError("account exists already")
        self._accounts[name] = Account()

    def delete_account(self, name):
        self._found(name)
        del self._accounts[name]

    def deposit(self, name, amount):
        self._found(name).balance += amount

    def withdraw(self, name, amount):
        account = self._found(name)
        if amount > account.balance:
            raise ValueError("insufficient balance")
        account.balance -= amount

    def balance(self, name):
        return self._found(name).balance

    def all_accounts(self):
        return {name: account.balance for name, account in self._accounts.items()}

    def _found(self, name):
        if name not in self._accounts:
            raise KeyError("unknown account")
        return self._accounts[name]


@Pyro5.api.expose
class Streamer:
    def numbers(self):
        return [1, 2, 3]

    def iterator(self):
        return iter([1, 2, 3])

    def generator(self):
        yield from (1, 2, 3)

    def fibonacci(self):
        a, b = 0, 1
        while True:
            yield a
            a, b = b, a + b

    def failing(self):
        yield 1
        raise ValueError("after the first")

    @property
    def prop_iterator(self):
        return iter([1, 2, 3])

    @property
    def prop_generator(self):
        return (number for number in (1, 2, 3))


@Pyro5.api.expose
class Thing:
    def __init__(self, number):
        self._number = number

    def speak(self, message):
        return f"thing {self._number} says: {message}"


@Pyro5.api.expose
class Factory:
    def create(self, number):
        thing = Thing(number)
        self._pyroDaemon.register(thing)
        return thing


class Worker:
    def __init__(self, number, callback):
        self._number = number
        self._callback = callback

    @Pyro5.api.expose
    @Pyro5.api.oneway
    def work(self):
        self._pyroDaemon.unregister(self)
        self._callback._pyroClaimOwnership()
        self._callback.done(self._number)


@Pyro5.api.expose
class Workers:
    def add_worker(self, number, callback):
        worker = Worker(number, callback)
        self._pyroDaemon.register(worker)
        return worker


@Pyro5.api.expose
@Pyro5.api.behavior(instance_mode="single")
class Sleeper:
    def __init__(self):
        self._awake = threading.Event()

    def delay(self):
        """Until `wake`, or ten seconds."""
        return self._awake.wait(10)

    def wake(self):
        self._awake.set()


def main():
    daemon = Pyro5.api.Daemon(host="127.0.0.1")
    for served in (Greeting, Bank, Streamer, Factory, Workers, Sleeper):
        uri = daemon.register(served, f"example.{served.__name__.lower()}")
    print(uri.location, flush=True)
    daemon.requestLoop()


if __name__ == "__main__":
    main()
