"""A text of ours in a packet, whatever the packet has been through."""

from __future__ import annotations

import pytest

from backbones.errors import EditRealError
from backbones.packet import MOST_BYTES, OURS
from backbones.xmp import as_packet, save_options, text_in

TEXT = '{"a": "<&>]]>\\u00e9"}'


def test_a_text_comes_back() -> None:
    assert text_in(as_packet(TEXT)) == TEXT
    assert text_in(b"\n" + as_packet(TEXT) + b"\0") == TEXT


def test_other_programs_may_make_it_an_attribute() -> None:
    packet = f'<r:RDF xmlns:r="r" xmlns:er="{OURS}"><r:Description er:recipe="{{}}"/></r:RDF>'
    assert text_in(packet.encode()) == "{}"


@pytest.mark.parametrize("packet", [b"", b"<x>", b"no XML", b"\xff\xfe", b"<a/>"])
def test_packets_of_others_are_not_looked_at(packet: bytes) -> None:
    assert text_in(packet) is None


def test_a_packet_with_entities_is_not_ours() -> None:
    laughs = as_packet(TEXT).replace(b"<x:xmpmeta", b'<!DOCTYPE a [<!ENTITY b "c">]><x:xmpmeta', 1)
    assert text_in(laughs) is None


@pytest.mark.parametrize("packet", [as_packet(TEXT)[:-60], as_packet("x" * MOST_BYTES)])
def test_what_is_damaged_or_endless_is_refused(packet: bytes) -> None:
    with pytest.raises(EditRealError, match=r"^expected"):
        text_in(packet)


@pytest.mark.parametrize(("pil_format", "most"), [("JPEG", 65_000), ("PNG", MOST_BYTES), ("TIFF", MOST_BYTES)])
def test_what_is_too_long_for_a_format_is_refused(pil_format: str, most: int) -> None:
    assert save_options(b"x" * most, pil_format, None)
    with pytest.raises(EditRealError, match=pil_format):
        save_options(b"x" * (most + 1), pil_format, None)
