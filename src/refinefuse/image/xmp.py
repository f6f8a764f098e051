"""A text of ours in an XMP packet, beside whatever else the packet holds.

Source: ISO 16684-1:2019 (XMP), 7.4 (serialization of simple values) and 7.3.2 (packet wrapper).
"""

from __future__ import annotations

import html
import re

_NAMESPACE = "urn:refinefuse:"
_ENTRY = (
    '<rdf:Description xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" rdf:about="" '
    'xmlns:refinefuse="' + _NAMESPACE + '"><refinefuse:provenance>{}</refinefuse:provenance></rdf:Description>'
)
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">{}</rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>'
)
_OURS = re.compile(_ENTRY.format("[^<]*").replace("?", r"\?").encode())
_END = re.compile(rb"</\w+:RDF\s*>")
# As an element, or as an attribute: programs that write a packet again may choose either.
_VALUE = re.compile(rb":provenance\s*(?:=\s*(?:\"([^\"]*)\"|'([^']*)')|>([^<]*)<)")


def add_text(packet: bytes | None, text: str) -> bytes:
    """The packet with a text, which replaces one that it held; a packet that is none stays as it is."""
    entry = _ENTRY.format(html.escape(text))
    if not packet:
        return _PACKET.format(entry).encode()
    packet = _OURS.sub(b"", packet)
    end = _END.search(packet)
    return packet if end is None else packet[: end.start()] + entry.encode() + packet[end.start() :]


def find_text(packet: bytes | None) -> str | None:
    """The text that `add_text` added, also after another program has written the packet again."""
    if not packet or _NAMESPACE.encode() not in packet:
        return None
    found = _VALUE.search(packet)
    return None if found is None else html.unescape(next(filter(None, found.groups()), b"").decode("utf-8", "replace"))
