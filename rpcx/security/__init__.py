"""Who is at the other end, and what only it may read."""
