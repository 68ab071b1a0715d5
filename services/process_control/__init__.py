"""Look at and control the processes of this machine: an implementation of `schemas.process_control`.

Run it with ``python -m services.process_control --listen URL``, or ``rpcx serve services.process_control``.
"""

from services.process_control.agent import AgentService, Desk, ProcessService, implementations
from services.process_control.rules import Rules

__all__ = ["AgentService", "Desk", "ProcessService", "Rules", "implementations"]
