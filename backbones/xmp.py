"""A text of ours inside a picture's file: one property of an XMP packet, beside those of the photo's own.

XMP (ISO 16684-1) is where programs say something of a picture beside its EXIF. JPEG, PNG, WebP, TIFF and HEIC all have
a place of its own for it, so that EXIF, colour profile and pixels stay as they are without it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from PIL import Image, PngImagePlugin

from backbones.errors import EditRealError
from backbones.packet import MOST_BYTES, OURS, RDF, packet_in
from backbones.photo import opened

PROPERTY = "recipe"
MOST_BYTES_IN_JPEG = 65_000  # one segment, less its own head
TIFF_TAG = 700

_PACKET = """\
<?xpacket begin="\N{BYTE ORDER MARK}" id="W5M0MpCehiHzreSzNTczkc9d"?>
{content}
<?xpacket end="r"?>"""
_NOTHING = f"""\
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="{RDF}">
</rdf:RDF>
</x:xmpmeta>"""
_DESCRIPTION = """\
<rdf:Description xmlns:rdf="{rdf}" rdf:about="" xmlns:er="{ours}"><er:{name}>{text}</er:{name}></rdf:Description>
"""


def as_packet(text: str | None, own: str | None = None) -> bytes:
    """An XMP packet that holds a text of characters that XML allows.

    Quotes are escaped too, so that readers which search the packet for attributes (Pillow does, for the orientation)
    find none in the text.

    Args:
        text: What is to be kept, or nothing.
        own: What the photo's own packet holds, from `packet.kept_of`.
    """
    content = own or _NOTHING
    if text is not None:
        ours = _DESCRIPTION.format(rdf=RDF, ours=OURS, name=PROPERTY, text=escape(text, {'"': "&quot;"}))
        content = re.sub("(?=</[^<>]*RDF>)", lambda _: ours, content, count=1)
    return _PACKET.format(content=content).encode()


def text_in(packet: bytes) -> str | None:
    """The text of a packet that holds one of ours; None for a packet of others.

    Raises:
        EditRealError: The packet is ours and damaged.
    """
    if OURS.encode() not in packet or b"<!" in packet:  # ours declare no document type, nor entities
        return None
    if len(packet) > MOST_BYTES:
        raise EditRealError(f"expected a recipe of at most {MOST_BYTES} bytes in the file, got {len(packet)}")
    name = f"{{{OURS}}}{PROPERTY}"
    try:
        root = ElementTree.fromstring(packet.strip(b"\0 \n"))
    except ElementTree.ParseError as error:
        raise EditRealError(f"expected the recipe whole in the file, got a damaged one ({error})") from error
    for element in root.iter():
        found = element.text if element.tag == name else element.get(name)  # other programs may make it an attribute
        if found is not None:
            return found
    return None


def save_options(packet: bytes, pil_format: str, exif: bytes | None) -> dict[str, Any]:
    """What Pillow's `save` takes to write a packet beside the EXIF.

    Raises:
        EditRealError: The format has no room for it.
    """
    most = MOST_BYTES_IN_JPEG if pil_format == "JPEG" else MOST_BYTES
    if len(packet) > most:
        raise EditRealError(f"{pil_format} has room for {most} bytes of it, and it takes {len(packet)}")
    if pil_format == "PNG":
        chunks = PngImagePlugin.PngInfo()
        chunks.add_itxt("XML:com.adobe.xmp", packet.decode())
        return {"pnginfo": chunks}
    if pil_format == "TIFF":  # whose first directory is the EXIF's
        directory = Image.Exif()
        directory.load(exif or b"")
        directory[TIFF_TAG] = packet
        return {"exif": directory}
    return {"xmp": packet}


def read_text(path: str | Path) -> str | None:
    """The text of ours in a picture's file, whose pixels are not decoded; None where there is none.

    Raises:
        EditRealError: The file is no picture, or the text in it is damaged.
    """
    with opened(Path(path)) as image:
        return text_in(packet_in(image.info))
