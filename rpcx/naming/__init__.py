"""Services found by name: a directory whose entries live as long as the hosts that made them."""
