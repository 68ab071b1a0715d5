"""How long a remote object may live. Pure: time goes in, actions come out."""
