"""Look at and control the processes of this machine: an implementation of `schemas.process_control`.

Run it with ``python -m services.process_control --listen URL``, or ``rpcx serve services.process_control``.
"""

import rpcx
from services.process_control.agent import AgentService, Desk, ProcessService, implementations
from services.process_control.rules import Rules

__all__ = ["AgentService", "Desk", "ProcessService", "Rules", "implementations", "rpcx_host"]


def rpcx_host(host: rpcx.Host) -> None:
    """What ``rpcx serve`` calls: register the agent, with the rules and leases of the contract."""
    host.register(AgentService, ProcessService)
