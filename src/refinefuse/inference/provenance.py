"""Provenance records: how a result was made, stored in every kind of output and read back from it.

Images store it in their XMP packet, beside its other contents. Source: ISO 16684-1:2019 (XMP), 7.4 (serialization
of simple values) and 7.3.2 (packet wrapper).
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath

from refinefuse._version import __version__
from refinefuse.image.thermal import IntensityRange
from refinefuse.inference.fuser import Fuser
from refinefuse.weights.store import shipped

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
# As an element, or as an attribute: programs that rewrite a packet may use either.
_VALUE = re.compile(rb":provenance\s*(?:=\s*(?:\"([^\"]*)\"|'([^']*)')|>([^<]*)<)")
_START = '{"refinefuse": '


@dataclass(frozen=True)
class Provenance:
    """How a result was made.

    Attributes:
        refinefuse: version of the package.
        weights: name of the weights, their file name, or a Hub repository.
        file: the shipped file, whose name ends with its version number; empty for other weights.
        sha256: sha256 of the weights.
        sources: file names, with just enough of their folders to distinguish them.
        settings: other settings that affect the values: range, window, transform, contrast, color, ...
    """

    refinefuse: str
    weights: str
    file: str
    sha256: str
    sources: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, fuser: Fuser) -> Provenance:
        """Create the record for a fuser, without sources."""
        entry = shipped().get(fuser.weights)
        name = Path(fuser.weights).name if Path(fuser.weights).exists() else fuser.weights
        settings = {
            "color": fuser.color,
            "precision": str(fuser.dtype).removeprefix("torch."),
            "contrast": f"{fuser.contrast:g}",
        }
        return cls(__version__, name, entry.file if entry else "", fuser.fingerprint(), settings=settings)

    def with_sources(self, sources: Sequence[str], settings: Mapping[str, str]) -> Provenance:
        """Create the record of one result.

        Args:
            sources: paths or names; passwords of addresses, and folders that do not differ, are left out.
            settings: further settings; empty ones are omitted.
        """
        known = {**self.settings, **{name: text for name, text in settings.items() if text}}
        return replace(self, sources=_names(sources), settings=known)

    def to_text(self) -> str:
        """Serialize to one line of ASCII JSON, which `from_text` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str | None) -> Provenance | None:
        """Find the record in a text; None if there is none."""
        start = (text or "").find(_START)
        if text is None or start < 0:
            return None
        try:
            found, _ = json.JSONDecoder().raw_decode(text, start)
            found["sources"] = tuple(map(str, found["sources"]))
            found["settings"] = {str(name): str(value) for name, value in found["settings"].items()}
            return cls(**found)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def lines(self) -> list[str]:
        """The record in human-readable lines."""
        file = f"{self.file}, " if self.file else ""
        rows = {
            "made by": f"refinefuse {self.refinefuse}",
            "weights": f"{self.weights} ({file}sha256 {self.sha256})",
            "sources": ", ".join(self.sources),
            **self.settings,
        }
        return [f"{name}: {value}" for name, value in rows.items() if value]


def describe_range(fixed: IntensityRange | None, quantity: str = "counts") -> str:
    """Describe a fitted range; empty if there is none."""
    return "" if fixed is None else f"{fixed.low:g} to {fixed.high:g} {quantity}".strip()


def _names(sources: Sequence[str]) -> tuple[str, ...]:
    """The last part of each path or address, and as many more as it takes to tell it from the others.

    An extension alone does not: a user who sees 1.png and 1.jpg does not know which one is infrared.
    """
    parts = [_parts(source) for source in sources]
    stems = [[*one[:-1], PurePosixPath(one[-1]).stem] for one in parts]

    def name(own: list[str], stem: list[str]) -> str:
        for count in range(1, len(own) + 1):
            if sum(one[-count:] == stem[-count:] for one in stems) == 1:
                return "/".join(own[-count:])
        return own[-1]  # one folder, or one source, several times

    return tuple(map(name, parts, stems))


def _parts(source: str) -> list[str]:
    """The parts of a path, or of an address without user, password and query."""
    _, is_address, rest = source.partition("://")
    text = rest.split("?")[0].rsplit("@", 1)[-1] if is_address else source
    return text.replace("\\", "/").rstrip("/").split("/")


def add_text(packet: bytes | None, text: str) -> bytes:
    """Add or replace the text in a packet; an invalid packet is returned unchanged."""
    entry = _ENTRY.format(html.escape(text))
    if not packet:
        return _PACKET.format(entry).encode()
    packet = _OURS.sub(b"", packet)
    end = _END.search(packet)
    return packet if end is None else packet[: end.start()] + entry.encode() + packet[end.start() :]


def find_text(packet: bytes | None) -> str | None:
    """Find the text added by `add_text`, even if another program has rewritten the packet."""
    if not packet or _NAMESPACE.encode() not in packet:
        return None
    found = _VALUE.search(packet)
    return None if found is None else html.unescape(next(filter(None, found.groups()), b"").decode("utf-8", "replace"))
