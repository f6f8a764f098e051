/** Decoded images, and what their numbers mean. */

export type Samples = Uint8Array | Uint16Array | Int16Array | Uint32Array | Int32Array | Float32Array | Float64Array;

/** An image as stored in its file: samples interleaved by pixel, in the file's own number type. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  /** 1 gray, 2 gray + alpha, 3 RGB, 4 RGBA. */
  readonly channels: number;
  readonly data: Samples;
}

export type Depth = 8 | 16;

/** Which counts become black and white. */
export interface IntensityRange {
  readonly low: number;
  readonly high: number;
}

/** A problem that the user can solve: what is wrong, and what to do. */
export class InputError extends Error {
  constructor(
    message: string,
    readonly advice: string,
  ) {
    super(message);
    this.name = "InputError";
  }
}

/** The value of white in an 8-bit or 16-bit image and in a float image in [0, 1]; null for raw counts of other types. */
export function whiteLevel(picture: Picture): number | null {
  if (picture.data instanceof Uint8Array) return 255;
  if (picture.data instanceof Uint16Array) return 65535;
  if (!(picture.data instanceof Float32Array)) return null;
  const { low, high } = extent(picture.data);
  return low >= 0 && high <= 1 ? 1 : null;
}

/** The depth that keeps what the image holds. */
export function depthOf(picture: Picture): Depth {
  return picture.data instanceof Uint8Array ? 8 : 16;
}

export function extent(data: Samples): IntensityRange {
  let low = Infinity;
  let high = -Infinity;
  for (const value of data) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { low, high };
}
