"""Annexes: other protocols, so that programs which speak them need not change. Loaded when their URLs are used."""
