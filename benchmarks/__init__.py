"""rpcx beside its peers and a raw socket, in one run: ``python -m benchmarks``."""
