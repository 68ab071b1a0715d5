"""What a call means: contracts, references, proxies, dispatch."""
