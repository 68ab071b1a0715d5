"""A client with nothing but Pyro5: ``python client.py PYRO:bank@127.0.0.1:PORT``."""

import sys

from Pyro5.api import Proxy  # type: ignore[import-untyped]  # it has no types


def main() -> None:
    """Use the bank."""
    with Proxy(sys.argv[1]) as bank:
        with bank.open("ann") as account:
            print("balance", account.deposit(100))
            try:
                account.deposit(-5)
            except ValueError as error:
                print("refused:", error)
            print("still", account.balance)
        print("stream", list(bank.count(3)))


if __name__ == "__main__":
    main()
