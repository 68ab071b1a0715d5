"""Pyro5: its clients call objects here, and its daemons' objects are called from here."""
