"""The protocol of .NET Remoting: its binary formatter, its framing, its calls, leases and callbacks."""
