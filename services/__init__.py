"""Services that are ready to run, one folder each. Clients import their contracts from `schemas`."""
