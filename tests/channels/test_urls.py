"""URLs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcx.channels.urls import Url, host_port, parse

KEY = "sha256:" + "A" * 43


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("tcp://127.0.0.1:4000", ("tcp", "127.0.0.1:4000", "")),
        ("tcp://[::1]:80/obj", ("tcp", "[::1]:80", "obj")),
        ("tcp://localhost:0/a/b", ("tcp", "localhost:0", "a/b")),
        ("pipe://bank/acct", ("pipe", "bank", "acct")),
        ("pipe://bank/a%20b", ("pipe", "bank", "a b")),
        ("inproc://x", ("inproc", "x", "")),
        ("dotnet+tcp://h:1/app", ("dotnet+tcp", "h:1", "app")),
        ("theirs://h:1/x", ("theirs", "h:1", "x")),  # a plug-in's: whichever of the two it is
        ("theirs://name/x", ("theirs", "name", "x")),
    ],
)
def test_a_url_is_taken_apart_and_put_together(text, parts):
    url = parse(text)
    assert (url.scheme, url.location, url.uri) == parts
    assert str(url) == text


def test_parameters_are_kept():
    url = parse(f"tcp://h:1/o?key={KEY}")
    assert url.params == {"key": KEY}
    assert str(url) == f"tcp://h:1/o?key={KEY}"
    assert parse(str(url)) == url


def test_an_object_may_stand_behind_the_key_since_that_is_what_a_host_says():
    assert parse(f"tcp://h:1?key={KEY}/a/b%20c") == parse(f"tcp://h:1/a/b%20c?key={KEY}")


@pytest.mark.parametrize("key", ["sha256:abc", "", "md5:x", KEY[:-1], KEY + "x", KEY.replace("A", "+", 1)])
def test_a_key_that_could_pin_nothing_is_refused(key):
    with pytest.raises(ValueError, match="fingerprint"):
        parse(f"tcp://h:1?key={key}")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("bank", "is no URL"),
        ("", "is no URL"),
        ("tcp://", "says nothing"),
        ("tcp://host", "needs host and port"),
        ("tcp://:80", "needs host and port"),
        ("tcp://host:", "is no port"),
        ("tcp://host:http", "is no port"),
        ("tcp://host:65536", "is no port"),
        ("tcp://host:-1", "is no port"),
        ("tcp://::1:80", "brackets"),
        ("tcp://[::1:80", "brackets"),
        ("pipe:///obj", "says nothing"),
        ("pipe://a:5", "is no name"),
        ("dotnet+tcp://host", "needs host and port"),
        ("theirs://h:x", "is no port"),
        ("pipe://../obj", "is no name"),
        ("pipe://.hidden", "is no name"),
        ("pipe://a b", "no spaces"),
        ("pipe://a\0b", "control characters"),
        ("pipe://a\nb", "control characters"),
        ("pipe://" + "x" * 65, "is no name"),
        ("pipe://ä", "is no name"),
        ("inproc://a\\b", "is no name"),
        (None, "is a text"),
        (b"tcp://h:1", "is a text"),
    ],
)
def test_what_is_no_url_is_refused_with_the_reason(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse(text)


@given(st.text(max_size=40))
def test_no_name_leaves_its_directory(name):
    try:
        url = parse(f"pipe://{name}")
    except ValueError:
        return
    assert "/" not in url.location
    assert not url.location.startswith(".")
    assert "\0" not in url.location


@given(st.text(max_size=60))
def test_a_url_is_parsed_or_refused_and_nothing_else(text):
    try:
        url = parse(text)
    except ValueError:
        return
    assert parse(str(url)) == url


def test_host_and_port():
    assert host_port("[::1]:80") == ("::1", 80)
    assert host_port("h:0") == ("h", 0)
    assert str(Url("tcp", "h:1", "a b")) == "tcp://h:1/a%20b"
