"""A fingerprint in words, for two people who compare it on the telephone."""

import base64
from typing import Final

TEXT: Final = """
able about acid acorn actor adapt admit adult aerial agent album alert alley alpha amber anchor ankle apple april
apron arctic arena argue armor arrow artist aspen atlas atom august aunt author autumn avenue awake axis bacon badge
bagel bakery balcony bamboo banjo barrel basket beacon beaver bench berry bicycle bishop bison blanket blossom bonus
border bottle boulder branch brave bread bridge bronze brother bucket buffalo bundle butter cabin cactus camel camera
canal candle canyon carbon cargo carpet castle cedar cello census chalk cherry chess cinema circle circus citrus
clover coast cobalt coconut coffee comet compass copper coral cotton cousin coyote cradle crater crayon cricket
crystal cupboard curtain cycle daisy dancer decade delta denim desert diamond diary dinner doctor dolphin donkey
dragon drummer eagle earth eclipse elbow eleven ember empire engine enigma envoy escape essay evening fabric falcon
family farmer feather fiddle filter finger flame flute forest fossil fountain fox galaxy garden garlic gazelle ginger
giraffe glacier goblet gold gospel granite grape guitar hammer harbor harvest hazel helmet hermit hockey honey horizon
hotel iceberg igloo indigo insect iron island ivory jacket jaguar jasmine jelly jewel jungle kayak kernel kettle
kitten knight ladder lagoon lantern lemon lentil leopard library lilac linen lizard lobster lotus magnet mango maple
marble meadow melody mercury meteor mirror monsoon mosaic muffin museum nectar needle nephew noble novel nutmeg oasis
ocean olive onion opera orange orbit orchid otter oxygen oyster paddle palace panda parrot pearl pebble pepper pigeon
pilot planet plaza pocket poem polar pony potato prairie prism puzzle python quartz rabbit radar
"""
WORDS: Final = tuple(TEXT.split())  # one for each byte; none sounds like another
COMPARED: Final = 10  # words, and so bytes: nobody finds another key that begins with the same 80 bits


def in_words(fingerprint: str) -> str:
    """The first ten bytes of ``sha256:…``, a word each."""
    digest = base64.urlsafe_b64decode(fingerprint.removeprefix("sha256:") + "=")
    return " ".join(WORDS[byte] for byte in digest[:COMPARED])
