"""What ``rpcx stubs`` writes: remote classes as async code sees them, for type checkers."""
