"""The client as it always was: ``python old_client.py NAMESERVERPORT``, nothing but Pyro5."""

import sys

from Pyro5.api import Proxy  # type: ignore[import-untyped]  # it has no types


def main() -> None:
    """Put something in, and look who is there."""
    with Proxy(f"PYRONAME:bank@127.0.0.1:{sys.argv[1]}") as bank:
        print(bank.deposit("ann", 5.0), list(bank.owners()))


if __name__ == "__main__":
    main()
