"""How bytes are carried, and who is at the other end."""
