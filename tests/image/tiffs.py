"""TIFF files that tifffile writes no longer, or not without other libraries."""

import io

import numpy as np
import tifffile


def lzw_codes(data: bytes) -> bytes:
    """LZW that packs nothing: codes of 9 bits, with the table cleared before it grows."""
    codes = [code for start in range(0, len(data), 250) for code in (256, *data[start : start + 250])] + [257]
    bits = np.unpackbits(np.array(codes, ">u2").view(np.uint8).reshape(-1, 2), axis=1)[:, 7:]
    return np.packbits(bits).tobytes()


def lzw_tiff(pixels: np.ndarray, rows: int, cut: dict[int, float] | None = None, **options: object) -> bytes:
    """A TIFF of LZW strips of `rows` rows each; `cut` keeps only a part of the coded bytes of some strips."""
    strips = [lzw_codes(pixels[top : top + rows].tobytes()) for top in range(0, len(pixels), rows)]
    for number, part in (cut or {}).items():
        strips[number] = strips[number][: int(len(strips[number]) * part)]
    file = io.BytesIO()
    options = {"photometric": "minisblack", "metadata": None, **options}
    tifffile.imwrite(
        file, iter(strips), shape=pixels.shape, dtype=pixels.dtype, compression="zlib", rowsperstrip=rows, **options
    )
    with tifffile.TiffFile(io.BytesIO(file.getvalue())) as parsed:
        compression = parsed.pages[0].tags[259].valueoffset
        data = bytearray(file.getvalue())
    data[compression] = 5  # the coded strips are taken as they are
    return bytes(data)
