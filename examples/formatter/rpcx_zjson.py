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
        return zlib.compress(_within(json.dumps(values.plain(value)).encode())), ()

    def decode(self, body: bytes, segments: Sequence[Buffer], values: Values, /) -> object:
        inflater = zlib.decompressobj()
        try:
            text = _within(inflater.decompress(body, MOST + 1))  # one more, to tell a whole text from a cut one
        except zlib.error as error:
            raise ValueError(f"not compressed: {error}") from None
        if segments or not inflater.eof or inflater.unused_data:
            raise ValueError("not one compressed text and nothing else")
        return values.restore(json.loads(text))


def _within(text: bytes) -> bytes:
    if len(text) > MOST:
        raise ValueError(f"a message of more than {MOST} bytes of text; send a stream")
    return text
