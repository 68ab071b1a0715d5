"""``rpcx firewall``: rules that let only some networks reach a host's port."""

from enum import StrEnum
from typing import Annotated

import typer

from rpcx.channels.urls import host_port, parse
from rpcx.security.guard import Network, networks
from rpcx.terminal import AsJson, Unusable, Verbose, reported, tell

app = typer.Typer()


class Tool(StrEnum):
    """What the rules are for."""

    NFT = "nft"
    UFW = "ufw"
    WINDOWS = "windows"


@app.command()
def firewall(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where the host listens: tcp://0.0.0.0:4000.")],
    allow_from: Annotated[list[str], typer.Option(metavar="NETWORK", help="May connect; may be repeated.")],
    tool: Annotated[Tool, typer.Option(help="Whose rules to print.")] = Tool.NFT,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Print firewall rules that match `allow_from=`: only these networks reach the port. They are not applied.

    The host refuses the others by itself; a firewall spares it even that.
    """
    with reported(verbose):
        parsed = parse(url)
        if parsed.scheme.rpartition("+")[2] != "tcp":
            raise Unusable(f"{url}: firewalls are for tcp://; a {parsed.scheme}:// is on this machine")
        _, port = host_port(parsed.location)
        if port == 0:
            raise Unusable(f"{url}: a rule needs a port; port 0 is another one each time")
        rules = RULES[tool](port, networks(allow_from))
        tell({"tool": tool.value, "rules": rules}, "\n".join(rules), as_json=as_json)


def _nft(port: int, allowed: tuple[Network, ...]) -> list[str]:
    table = f"inet rpcx_{port}"
    lines = [
        f"add table {table}",
        f"add chain {table} input {{ type filter hook input priority 0; policy accept; }}",
        f'add rule {table} input iif "lo" tcp dport {port} accept',
    ]
    for version, family in ((4, "ip"), (6, "ip6")):
        found = ", ".join(str(network) for network in allowed if network.version == version)
        if found:
            lines.append(f"add rule {table} input {family} saddr {{ {found} }} tcp dport {port} accept")
    return [*lines, f"add rule {table} input tcp dport {port} drop"]


def _ufw(port: int, allowed: tuple[Network, ...]) -> list[str]:
    return [
        *(f"ufw allow proto tcp from {network} to any port {port}" for network in allowed),
        f"ufw deny proto tcp from any to any port {port}",
    ]


def _windows(port: int, allowed: tuple[Network, ...]) -> list[str]:
    # Windows blocks what no rule allows; a rule that blocks would win over those that allow.
    addresses = ",".join(map(str, allowed))
    name = f"rpcx {port}"
    rule = f'name="{name}" dir=in action=allow protocol=TCP localport={port} remoteip={addresses}'
    return [f"netsh advfirewall firewall add rule {rule}"]


RULES = {Tool.NFT: _nft, Tool.UFW: _ufw, Tool.WINDOWS: _windows}
