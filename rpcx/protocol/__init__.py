"""How it is said on the wire. Pure: bytes go in, events come out."""
