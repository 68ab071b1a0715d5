"""numpy arrays and scalars by value: a dtype described in plain data, a shape, and the bytes.

Only dtypes whose items are bytes travel. An object dtype is refused on both sides: the usual packages pickle
it, and what is unpickled may execute code. A dtype is described by what it is made of, and made again from a
grammar of its own, never by handing numpy a stranger's text:

    "<f8"                                              one number, text or date
    {"base": "<f4", "shape": [2, 2]}                   an array within an item
    {"names": [...], "formats": [...], "offsets": [...], "itemsize": n, "aligned": bool}
                                                       and "titles": [...], if a field has one

numpy is looked for, not imported, on the way out: who sends an array has it. On the way in it is imported.
"""

import functools
import math
import re
import sys
from typing import Any, Final

from rpcx.sinks.tags import BYTEARRAY, Blob, CannotTravel, Tag, exact_bytes, exactly, fields, lift_bytearray

SIMPLE: Final = re.compile(r"[<>|][?biufcmMSUV][0-9]{0,9}(\[[0-9]{0,9}[a-zA-Z]{1,2}\])?")
DTYPE_DEPTH: Final = 8  # structures within structures; nobody's data need more
DIMENSIONS: Final = 64  # numpy's own bound

# Subclasses that are plain arrays with other manners. A masked array is not: its mask would be lost.
PLAIN_ARRAYS: Final = frozenset({"ndarray", "memmap", "matrix", "recarray"})


@functools.lru_cache(maxsize=1024)
def array_tag(kind: type) -> Tag | None:
    """The tag for values of ``kind`` if it is one of numpy's; None otherwise."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if issubclass(kind, getattr(numpy, "ndarray", ())):  # numpy may be half imported, by another thread
        return ARRAY
    return NUMBER if issubclass(kind, getattr(numpy, "generic", ())) else None


# --- out ----------------------------------------------------------------------------------------------------


def _lower_array(array: Any) -> list[object]:  # a numpy array: numpy is not imported here
    numpy = sys.modules["numpy"]
    if type(array).__name__ not in PLAIN_ARRAYS:
        raise CannotTravel(f"a {type(array).__qualname__} is more than an array; send numpy.asarray(it)", array)
    plain = numpy.asarray(array)
    order = "F" if plain.flags.f_contiguous and not plain.flags.c_contiguous else "C"
    description = _describe(plain.dtype, array)
    ordered = plain.T if order == "F" else plain if plain.flags.c_contiguous else plain.copy(order="C")
    data = memoryview(ordered.reshape(-1).view(numpy.uint8)) if plain.nbytes else memoryview(b"")
    return [description, list(plain.shape), order, Blob(data, BYTEARRAY.code)]


def _lower_number(value: Any) -> list[object]:  # a numpy scalar
    numpy = sys.modules["numpy"]
    if isinstance(value, numpy.str_):  # arrays of text end at the first NUL; the text itself may go on
        return ["str", str.__str__(value).encode("utf-8", "surrogatepass")]
    if isinstance(value, numpy.bytes_):
        return ["bytes", bytes(memoryview(value))]
    return [_describe(value.dtype, value), value.tobytes()]


def _describe(dtype: Any, culprit: object) -> object:  # a numpy dtype
    if dtype.hasobject:
        raise CannotTravel(
            "a numpy array of dtype object is refused, since objects could carry code; "
            "give it a dtype of numbers, texts or dates",
            culprit,
        )
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"base": _describe(base, culprit), "shape": list(shape)}
    if dtype.names is not None:
        parts = [dtype.fields[name] for name in dtype.names]
        titles = [part[2] if len(part) > 2 else None for part in parts]
        if any(type(title) not in (str, type(None)) for title in titles):
            raise CannotTravel("a numpy dtype whose titles are no texts cannot travel", culprit)
        return {
            "names": list(dtype.names),
            "formats": [_describe(part[0], culprit) for part in parts],
            "offsets": [part[1] for part in parts],
            "itemsize": dtype.itemsize,
            "aligned": dtype.isalignedstruct,
            **({"titles": titles} if any(title is not None for title in titles) else {}),
        }
    if dtype.isbuiltin == 2 or not dtype.itemsize or not SIMPLE.fullmatch(dtype.str):
        raise CannotTravel(f"a numpy dtype {dtype} cannot travel; convert it with .astype()", culprit)
    text: str = dtype.str
    return text


# --- in -----------------------------------------------------------------------------------------------------


def _numpy() -> Any:  # the module, which may be missing
    try:
        import numpy as np
    except ImportError:
        raise ValueError("a numpy value arrived, and numpy is not installed here: pip install 'rpcx[numpy]'") from None
    return np


def _lift_array(parts: Any) -> object:  # a stranger's
    numpy = _numpy()
    description, shape, order, data = exactly(list, parts)
    dtype = _dtype(numpy, description)
    sizes = _shape(shape)
    if order not in ("C", "F") or math.prod(sizes) * dtype.itemsize != memoryview(exact_bytes(data)).nbytes:
        raise ValueError("data that do not fill the shape")
    return numpy.ndarray(sizes, dtype, buffer=lift_bytearray(data), order=order)


def _lift_number(parts: Any) -> object:  # a stranger's
    numpy = _numpy()
    description, data = exactly(list, parts)
    if description == "str":
        return numpy.str_(exactly(bytes, data).decode("utf-8", "surrogatepass"))
    if description == "bytes":
        return numpy.bytes_(exactly(bytes, data))
    dtype = _dtype(numpy, description)
    if len(exactly(bytes, data)) != dtype.itemsize:
        raise ValueError("data that are no such number")
    return numpy.ndarray((), dtype, buffer=bytearray(data))[()]


def _shape(shape: Any) -> tuple[int, ...]:  # a stranger's
    if len(exactly(list, shape)) > DIMENSIONS or any(type(size) is not int or size < 0 for size in shape):
        raise ValueError("a shape is a list of sizes")
    return tuple(shape)


def _dtype(numpy: Any, description: Any, depth: int = 0) -> Any:  # numpy's dtype, of a stranger's description
    if depth > DTYPE_DEPTH:
        raise ValueError(f"a dtype nested deeper than {DTYPE_DEPTH} levels")
    if type(description) is str:
        if not SIMPLE.fullmatch(description):
            raise ValueError(f"no dtype: {description!r:.40}")
        return _sized(numpy.dtype(description))
    if len(exactly(dict, description)) == 2:
        base = _dtype(numpy, description["base"], depth + 1)
        return _sized(numpy.dtype((base, _shape(description["shape"]))))
    names, formats, offsets, itemsize, aligned = (
        description[key] for key in ("names", "formats", "offsets", "itemsize", "aligned")
    )
    fields(names, *[str] * len(names))
    fields(offsets, *[int] * len(names))
    parts = [_dtype(numpy, part, depth + 1) for part in exactly(list, formats)]
    layout: dict[str, object] = {
        "names": names,
        "formats": parts,
        "offsets": offsets,
        "itemsize": exactly(int, itemsize),
    }
    if "titles" in description:
        titles = exactly(list, description["titles"])
        layout["titles"] = [title if title is None else exactly(str, title) for title in titles]
    return _sized(numpy.dtype(layout, align=exactly(bool, aligned)))


def _sized(dtype: Any) -> Any:  # a numpy dtype
    if dtype.hasobject or not dtype.itemsize:  # items of no bytes would make any shape look filled
        raise ValueError(f"a dtype that does not travel: {dtype!s:.40}")
    return dtype


ARRAY: Final = Tag("ndarray", 18, _lower_array, _lift_array)
NUMBER: Final = Tag("npscalar", 19, _lower_number, _lift_number)
