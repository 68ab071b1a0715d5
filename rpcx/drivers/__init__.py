"""Who waits and who runs: threads, or somebody's event loop."""
