"""``rpcx service``: a host under systemd, which holds what a bug of the host's would let go."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rpcx.terminal import AsJson, Unusable, Verbose, reported, tell

if TYPE_CHECKING:
    from rpcx.config import Config

app = typer.Typer(help="A host as a service of the system.", no_args_is_help=True)

UNIT: Final = """\
[Unit]
Description=rpcx host of {config}
After=network.target

[Service]
Type=exec
ExecStart={command}
WorkingDirectory={directory}
User={user}
Restart=on-failure
# Keys, and pipes for its own user.
StateDirectory=rpcx
StateDirectoryMode=0700
Environment=RPCX_HOME=%S/rpcx RPCX_RUNTIME_DIR=%S/rpcx/pipes
{shared}{writable}UMask=0077

NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=read-only
ProtectProc=invisible
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
PrivateDevices=yes
PrivateTmp=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@resources
SystemCallErrorNumber=EPERM

RestrictAddressFamilies={families}
{addresses}MemoryMax={memory}
TasksMax=1024
LimitNOFILE=20480

[Install]
WantedBy=multi-user.target
"""
SHARED: Final = """\
# Pipes for other users, whose programs are told RPCX_SHARED_DIR too.
RuntimeDirectory=rpcx
RuntimeDirectoryMode=0755
Environment=RPCX_SHARED_DIR=%t/rpcx
"""


@app.callback()
def service() -> None:
    """A host as a service of the system."""  # so that `unit` stays a word of its own


@app.command()
def unit(
    config: Annotated[Path, typer.Argument(metavar="FILE", help="The host's configuration file.")],
    user: Annotated[str, typer.Option(metavar="NAME", help="Whom it runs as.")] = "rpcx",
    memory: Annotated[str, typer.Option(metavar="SIZE", help="The most memory it gets, as systemd writes it.")] = "1G",
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Print a systemd unit that serves a configuration file with no more rights than it needs. It is not installed.

    What `allow_from` says becomes the unit's too, when each channel to the network has it. Hosts that act as their
    callers need root, and so a unit of their own.
    """
    from rpcx.config import load

    with reported(verbose):
        if user == "root":
            raise Unusable("a host has no use for root; name another user with --user")
        file = config.resolve()
        text = _unit(file, load(file), user, memory)
        tell({"unit": text}, text.rstrip(), as_json=as_json)


def _unit(file: Path, config: "Config", user: str, memory: str) -> str:
    schemes = {channel.url.partition("://")[0] for channel in config.channels}
    families = ["AF_UNIX"]
    if schemes - {"pipe", "inproc"}:
        families += ["AF_INET", "AF_INET6"]
    if schemes - {"pipe", "inproc", "tcp"}:
        families.append("AF_NETLINK")  # by which the kernel is asked whose a connection over loopback is
    is_shared = any(channel.allow_uids or channel.allow_gids for channel in config.channels)
    log = (file.parent / config.audit.file).parent if config.audit is not None else None
    return UNIT.format(
        config=file.name,
        command=_spelled(shlex.join([sys.executable, "-m", "rpcx.cli", "serve", "--config", str(file)])),
        directory=_spelled(str(file.parent)),
        user=user,
        shared=SHARED if is_shared else "",
        writable=f"# The audit log is there.\nReadWritePaths={_spelled(str(log))}\n" if log is not None else "",
        families=" ".join(families),
        addresses=_addresses(config),
        memory=memory,
    )


def _spelled(text: str) -> str:
    """As it stands in a unit, where a per cent sign begins a specifier."""
    return text.replace("%", "%%")


def _addresses(config: "Config") -> str:
    """Who may send it anything; nothing is said where a channel is for any network."""
    doors = [channel for channel in config.channels if channel.url.partition("://")[0] not in ("pipe", "inproc")]
    allowed = [config.allow_from if door.allow_from is None else door.allow_from for door in doors]
    if not all(allowed):
        return "# Any network may connect: allow_from in the configuration file says otherwise.\n"
    networks = dict.fromkeys(str(network) for each in allowed for network in each)
    return f"IPAddressDeny=any\nIPAddressAllow={' '.join(['localhost', *networks])}\n"
