"""A third party's formatter: JSON, compressed. ``Values`` does what JSON cannot say by itself."""

import json
import zlib
from collections.abc import Sequence

from rpcx.abc import Buffer, Values


class CompressedJson:
    """Use it with ``rpcx.Host(formatters=["zjson"])`` and ``rpcx.connect(url, formatters=["zjson"])``."""

    name = "zjson"

    def encode(self, value: object, values: Values, /) -> tuple[bytes, Sequence[Buffer]]:
        return zlib.compress(json.dumps(values.plain(value)).encode()), ()

    def decode(self, body: bytes, segments: Sequence[Buffer], values: Values, /) -> object:
        inflater = zlib.decompressobj()  # bounded: a small message must not become a large one
        return values.restore(json.loads(inflater.decompress(body, 1 << 20)))
