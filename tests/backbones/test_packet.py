"""What of a photo's own packet goes into an edit's file."""

from __future__ import annotations

import pytest

from backbones.packet import MOST_BYTES, RDF, kept_of
from backbones.xmp import as_packet, text_in

XAP = 'xmlns:xmp="http://ns.adobe.com/xap/1.0/"'


def packet(attributes: str, inside: str = "") -> bytes:
    described = f'<rdf:Description rdf:about="" {attributes}>{inside}</rdf:Description>'
    return f'<?xpacket?><rdf:RDF xmlns:rdf="{RDF}">{described}</rdf:RDF><?xpacket end="w"?>'.encode()


def test_what_holds_is_kept_beside_a_text() -> None:
    own = kept_of(packet(f'{XAP} xmp:Rating="5"', "<xmp:Label>best</xmp:Label>"))
    assert own is not None
    whole = as_packet('{"a": 1}', own)
    assert text_in(whole) == '{"a": 1}'
    assert kept_of(whole) is not None and b'xmp:Rating="5"' in whole and b"<xmp:Label>best<" in whole
    assert "recipe" not in str(kept_of(whole))


@pytest.mark.parametrize(
    "outdated",
    [
        packet('xmlns:t="http://ns.adobe.com/tiff/1.0/" t:Orientation="6"'),
        packet('xmlns:g="http://ns.google.com/photos/1.0/container/"', "<g:Directory/>"),
        packet(XAP, "<xmp:Thumbnails>AAAA</xmp:Thumbnails>"),
        as_packet("a recipe"),
    ],
)
def test_what_does_not_hold_of_an_edit_is_left_out(outdated: bytes) -> None:
    assert kept_of(outdated) is None


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"no XML",
        b"\xff\xfe<\0",
        b"<a/>",
        packet("")[:-40],
        b"<!DOCTYPE a>" + packet(f'{XAP} xmp:Rating="5"'),
        packet(f'{XAP} xmp:Label="{"x" * MOST_BYTES}"'),
    ],
)
def test_what_cannot_be_read_is_left_out(damaged: bytes) -> None:
    assert kept_of(damaged) is None
