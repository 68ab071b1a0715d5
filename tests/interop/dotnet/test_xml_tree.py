"""XML from strangers: what is in it, and what it cannot do."""

import time
import tracemalloc

import pytest

from rpcx.errors import ProtocolError
from rpcx.interop.dotnet.scalars import Bounds
from rpcx.interop.dotnet.soap_names import XmlName
from rpcx.interop.dotnet.xml_tree import ATTRIBUTES, DEPTH, ESCAPE, Element, parse

SMALL = Bounds(elements=1000, text=10_000)


def read(text: str | bytes, bounds: Bounds = SMALL) -> Element:
    return parse(text if isinstance(text, bytes) else text.encode(), bounds)


def test_elements_have_names_attributes_and_texts():
    root = read('<a xmlns="urn:x" xmlns:q="urn:q"><q:b q:z="1" t="2">text</q:b><c/></a>')
    assert root.name == XmlName("urn:x", "a")
    inner, empty = root.children
    assert (inner.name, inner.text, inner.attributes) == (XmlName("urn:q", "b"), "text", {"{urn:q}z": "1", "t": "2"})
    assert (empty.name, empty.text, list(empty.children)) == (XmlName("urn:x", "c"), "", [])


def test_a_name_in_a_text_means_what_the_prefixes_around_it_say():
    root = read('<a xmlns="urn:x" xmlns:q="urn:q"><b xmlns:q="urn:other"><c/></b></a>')
    assert root.meant("q:d") == XmlName("urn:q", "d")
    assert root.children[0].children[0].meant(" q:d ") == XmlName("urn:other", "d")
    assert root.meant("d") == XmlName("urn:x", "d")
    assert read("<a/>").meant("d") == XmlName("", "d")
    with pytest.raises(ProtocolError, match="a prefix that nobody declared"):
        root.meant("z:d")


def test_comments_sections_and_space_between_elements_say_nothing():
    root = read('<?xml version="1.0"?>\r\n<a>\r\n <!-- x --> <b>1<![CDATA[<2>]]>3</b>\r\n</a>\r\n')
    assert [child.text for child in root.children] == ["1<2>3"]


# --- characters that XML cannot have ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a&#x0;b", "a\0b"),
        ("&#0;&#31;&#x1F;", "\0\x1f\x1f"),
        ("&#xFFFE;&#65535;", "\ufffe\uffff"),
        ("a\r\nb\rc&#13;", "a\r\nb\rc\r"),  # .NET does not mean a line feed
        ("&#xD83D;&#xDE00;", "😀"),
        ("&#xD800;", "�"),
        ("<![CDATA[ \r&#x0;]]>", " \r&#x0;"),
        ("&amp;#x0;\r", "&#x0;\r"),
        (f"{ESCAPE}0041", f"{ESCAPE}0041"),
        (f"{ESCAPE}0041\r", f"{ESCAPE}0041\r"),
        (f"&#xF8FF;<![CDATA[{ESCAPE}]]>\r", f"{ESCAPE}{ESCAPE}\r"),
        ("&lt;&#65;&#x42;", "<AB"),
    ],
)
def test_what_dotnet_writes_arrives_as_it_was(written, meant):
    assert read(f"<a><v>{written}</v></a>").children[0].text == meant


def test_line_ends_within_tags_are_spaces():
    assert read('<a\r\nb="1"\rc="2\r3">\r</a>').attributes == {"b": "1", "c": "2 3"}


@pytest.mark.parametrize("written", ["\x01", "\x00", "\ufffe", "\x0b"])
def test_such_characters_as_they_are_make_no_xml(written):
    with pytest.raises(ProtocolError, match="no XML"):
        read(f"<a>{written}</a>")


# --- bombs --------------------------------------------------------------------------------------------------------

LAUGHS = (
    '<!DOCTYPE lolz [<!ENTITY lol0 "' + "lol" * 1000 + '">'
    + "".join(f"<!ENTITY lol{n + 1} '" + f"&lol{n};" * 10 + "'>" for n in range(11))
    + "]><lolz>&lol11;</lolz>"
)  # fmt: skip
TYPES = {
    "a billion laughs": LAUGHS,
    "laughs in an attribute": LAUGHS.replace("<lolz>&lol11;</lolz>", '<lolz a="&lol11;"/>'),
    "an entity that is a file": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    "an entity on the network": '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:1/x"> %x;]><a/>',
    "a document type elsewhere": '<!DOCTYPE a SYSTEM "http://127.0.0.1:1/x.dtd"><a/>',
    "a default": '<!DOCTYPE a [<!ATTLIST a b CDATA "x">]><a/>',
    "a bare one": "<!DOCTYPE a><a/>",
    "a long one": f"<!DOCTYPE a [{'<!ELEMENT x ANY>' * 100_000}]><a/>",
}


@pytest.mark.parametrize("document", TYPES.values(), ids=TYPES)
def test_a_document_type_is_refused_whatever_is_in_it(document):
    begun = time.perf_counter()
    with pytest.raises(ProtocolError, match="document type"):
        read(document, Bounds())
    assert time.perf_counter() - begun < 1


def test_an_entity_that_nobody_declared_is_none():
    with pytest.raises(ProtocolError, match="no XML: Entity 'x' not defined"):
        read("<a>&x;</a>")


def test_processing_instructions_are_refused():
    for document in ("<?x y?><a/>", "<a><?xml-stylesheet href='x'?></a>"):
        with pytest.raises(ProtocolError, match="processing instruction"):
            read(document)


def test_nothing_is_included():
    document = '<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="/etc/passwd" parse="text"/></a>'
    assert read(document).children[0].attributes == {"href": "/etc/passwd", "parse": "text"}


def tag(name: str, count: int) -> str:
    """An element with so many attributes."""
    return f"<a {' '.join(f'{name}{n}={n!r}' for n in map(str, range(count)))}/>"


TOO_MUCH = {
    "deep": (f"{'<a>' * 1500}", f"deeper than {DEPTH}"),
    "just too deep": (f"{'<a>' * (DEPTH + 1)}{'</a>' * (DEPTH + 1)}", f"deeper than {DEPTH}"),
    "wide": (f"<a>{'<b/>' * 1000}</a>", "more than 1000 elements"),
    "very wide": (f"<a>{'<b/>' * 2_000_000}</a>", "more than 1000 elements"),
    "attributes": (tag("a", ATTRIBUTES + 1), "attributes"),
    "namespaces": (tag("xmlns:a", ATTRIBUTES + 1), "attributes"),
    "many attributes": (tag("a", 300_000), "attributes"),
    "a long text": (f"<a>{'x' * 10_001}</a>", "a text of more than 10000"),
    "a text in pieces": (f"<a>{'x&lt;' * 5001}</a>", "a text of more than 10000"),
    "a long section": (f"<a><![CDATA[{'x' * 20_000_000}]]></a>", "."),
    "a long name": (f"<{'a' * 1_000_000}/>", "a tag of more than"),
    "a long attribute": (f'<a b="{"x" * 20_000_000}"/>', "a tag of more than"),
    "returns": (f"<a>{chr(13) * 5_000_000}</a>", "carriage returns"),
    "references": (f"<a>{'&#x0;' * 1_000_000}</a>", "characters by number"),
    "a long reference": (f"<a>{chr(13)}&#x{'0' * 5_000_000}</a>", "no XML"),
    "sections that do not end": (f"<a>{chr(13)}{'<![CDATA[' * 1500}", "."),
    "comments that do not end": (f"<a>&#1;{'<!--' * 1500}", "."),
    "tags that do not end": (f"<a\r{'<' * 1900}", "."),
}


@pytest.mark.parametrize(("document", "reason"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_a_document_that_is_too_much_is_refused_before_it_is_made(document, reason):
    data = document.encode()
    tracemalloc.start()
    begun = time.perf_counter()
    try:
        with pytest.raises(ProtocolError, match=reason):
            parse(data, SMALL)
        taken, peak = time.perf_counter() - begun, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken < 3
    assert peak < len(data) + 2_000_000


@pytest.mark.parametrize(
    "document",
    ["", " ", "<a>", "<a></b>", "<a/><a/>", "<a b/>", "x", "<a x='1' x='2'/>", "<a>x<b/></a>", "<a><b/>x</a>", "<1/>"],
)
def test_what_is_no_xml_is_refused(document):
    with pytest.raises(ProtocolError, match="XML"):
        read(document)


def test_only_utf_8_is_taken():
    assert read('<?xml version="1.0" encoding="iso-8859-1"?><a>é</a>').text == "é"  # whatever it says of itself
    for encoding in ("utf-16", "latin-1"):
        with pytest.raises(ProtocolError, match="no XML"):
            read("<a>é</a>".encode(encoding))
