"""The server as it always was: ``python old_server.py NAMESERVERPORT``, nothing but Pyro5."""

import sys

import Pyro5.api  # type: ignore[import-untyped]  # it has no types


@Pyro5.api.expose
@Pyro5.api.behavior(instance_mode="single")
class Bank:
    """With one account for each owner."""

    def __init__(self) -> None:
        self._balances: dict[str, float] = {}

    def deposit(self, owner: str, amount: float) -> float:
        """The balance then."""
        if amount <= 0:
            raise ValueError("amount must be positive")
        self._balances[owner] = self._balances.get(owner, 0.0) + amount
        return self._balances[owner]

    def owners(self):  # type: ignore[no-untyped-def]  # noqa: ANN201  # as it was found
        """An item stream."""
        yield from sorted(self._balances)


def main() -> None:
    """Serve until killed."""
    daemon = Pyro5.api.Daemon(host="127.0.0.1")
    uri = daemon.register(Bank)
    with Pyro5.api.locate_ns("127.0.0.1", int(sys.argv[1])) as names:
        names.register("bank", uri)
    print("ready", flush=True)
    daemon.requestLoop()


if __name__ == "__main__":
    main()
