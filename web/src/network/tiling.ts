/** Large images in tiles. A tile predicted from its padded region is the same as in the whole image. */

export interface Region {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

export interface Tile {
  /** What is predicted, in the image. */
  readonly region: Region;
  /** What the network must see for that, in the image. */
  readonly padded: Region;
}

const WHOLE = 2_100_000; // pixels up to which an image is fused in one piece
const PADDED = 1344; // longest side of a padded region: larger ones need more memory, smaller ones are mostly halo

/** The tiles of an image, row by row: one for the whole image if that fits into memory. */
export function tilesOf(width: number, height: number, halo: number, stride: number): Tile[] {
  const side = width * height <= WHOLE ? Math.max(width, height) : PADDED - 2 * halo;
  return spans(height, side, halo, stride).flatMap((y) =>
    spans(width, side, halo, stride).map((x) => ({
      region: { top: y.start, left: x.start, height: y.length, width: x.length },
      padded: { top: y.first, left: x.first, height: y.reach, width: x.reach },
    })),
  );
}

/** Along one side: the tiles, and from where and how far their padded regions reach. */
function spans(length: number, side: number, halo: number, stride: number) {
  return Array.from({ length: Math.ceil(length / side) }, (_, index) => {
    const start = index * side;
    const end = Math.min(start + side, length);
    const first = Math.floor(Math.max(0, start - halo) / stride) * stride;
    const last = Math.min(Math.ceil((end + halo) / stride) * stride, length);
    return { start, length: end - start, first, reach: last - first };
  });
}

/** Cut a region out of a plane of the given width. */
export function cut(plane: Float32Array, width: number, { top, left, ...size }: Region): Float32Array {
  if (left === 0 && size.width === width) return plane.subarray(top * width, (top + size.height) * width);
  const part = new Float32Array(size.height * size.width);
  for (let y = 0; y < size.height; y++) {
    const start = (top + y) * width + left;
    part.set(plane.subarray(start, start + size.width), y * size.width);
  }
  return part;
}

/** Copy what a tile predicted, of the size of its padded region, into the whole plane. */
export function place(plane: Float32Array, width: number, predicted: Float32Array, { region, padded }: Tile): void {
  for (let y = 0; y < region.height; y++) {
    const start = (region.top - padded.top + y) * padded.width + region.left - padded.left;
    plane.set(predicted.subarray(start, start + region.width), (region.top + y) * width + region.left);
  }
}
