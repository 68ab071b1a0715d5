"""A third party's formatter: JSON, compressed. ``Values`` does what JSON cannot say by itself."""

import json
import zlib
from collections.abc import Sequence

from rpcx.abc import Buffer, Values

MOST = 64 << 20  # bytes of text; what a message may have without compression


class CompressedJson:
    """Use it with ``rpcx.Host(formatters=["zjson"])`` and ``rpcx.connect(url, formatters=["zjson"])``."""

    name = "zjson"

    def encode(self, value: object, values: Values, /) -> tuple[bytes, Sequence[Buffer]]:
        return zlib.compress(json.dumps(values.plain(value)).encode()), ()

    def decode(self, body: bytes, segments: Sequence[Buffer], values: Values, /) -> object:
        inflater = zlib.decompressobj()
        text = inflater.decompress(body, MOST)
        if segments or not inflater.eof or inflater.unused_data:
            raise ValueError(f"not one compressed text of at most {MOST} bytes; send a larger one as a stream")
        return values.restore(json.loads(text))
