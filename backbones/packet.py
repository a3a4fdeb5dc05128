"""A photo's own XMP packet, such as its rights and keywords: what of it still holds of an edit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.dom import XMLNS_NAMESPACE, minidom

OURS = "urn:edit-real:1#"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
MOST_BYTES = 1_000_000  # of a packet: what is larger is not read

_OUTDATED = (
    OURS,  # how an edit was made that is the photo now
    "http://ns.adobe.com/tiff/",  # which way is up, and how the pixels were laid out
    "http://ns.adobe.com/hdr-gain-map/",  # these three speak of further pictures in the file, which are not written
    "http://ns.apple.com/HDRGainMap/",
    "http://ns.google.com/photos/",
    "http://ns.adobe.com/xmp/note/",  # of a further packet
)
_THUMBNAILS = ("http://ns.adobe.com/xap/1.0/", "Thumbnails")  # of the unedited photo


def packet_in(info: Mapping[Any, Any]) -> bytes:
    """The packet among what Pillow read of a file; empty where there is none."""
    packet = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
    return packet.encode() if isinstance(packet, str) else packet


def kept_of(packet: bytes) -> str | None:
    """A packet as XML without what does not hold of an edit; None where nothing is left, or it cannot be read."""
    try:
        text = packet.decode().strip("\0 \n")
        if len(packet) > MOST_BYTES or "<!" in text:  # no document types, nor entities
            return None
        document = minidom.parseString(text)
        root = document.documentElement
        kept = [_keep(one) for one in document.getElementsByTagNameNS(RDF, "Description")]
        whole = len(document.getElementsByTagNameNS(RDF, "RDF")) == 1
        return root.toxml() if root and whole and any(kept) else None
    except Exception:  # the parser raises what it pleases on damaged data
        return None


def _keep(description: minidom.Element) -> int:
    """Takes out the properties that are outdated, and counts the others."""
    kept = 0
    for attribute in list(description.attributes.values()):
        if _is_outdated(attribute):
            description.removeAttributeNode(attribute)
        else:
            kept += attribute.namespaceURI not in (XMLNS_NAMESPACE, RDF)
    for child in [one for one in description.childNodes if isinstance(one, minidom.Element)]:
        if _is_outdated(child):
            description.removeChild(child)
        else:
            kept += 1
    return kept


def _is_outdated(node: minidom.Attr | minidom.Element) -> bool:
    uri = str(node.namespaceURI)
    return uri.startswith(_OUTDATED) or (uri, node.localName) == _THUMBNAILS
