/** Luma, chroma and alpha: only luma is fused; color and alpha are put back afterwards. BT.601, full range. */

import { type Depth, InputError, type IntensityRange, type Picture, whiteLevel } from "./picture";

const [R, G, B] = [0.299, 0.587, 0.114];
const CB = 2 * (1 - B);
const CR = 2 * (1 - R);
const GRAY = 0.004; // mean distance of chroma from gray
const COLORED = 0.02;

export type ColorMode = "b" | "gray";

/** An image taken apart: every plane holds one float for each pixel. */
export interface Planes {
  readonly width: number;
  readonly height: number;
  /** In [0, 1]. */
  readonly luma: Float32Array;
  /** Cb and Cr in [-0.5, 0.5], or null for a gray image. */
  readonly chroma: readonly [Float32Array, Float32Array] | null;
  /** In [0, 1], or null for an image without alpha. */
  readonly alpha: Float32Array | null;
}

/** Samples ready to be displayed or encoded, interleaved. */
export interface Result {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Uint8Array | Uint16Array;
}

/**
 * Take an image apart.
 *
 * @param range counts that become black and white; null: the image as it is.
 * @param inverted whether hot things are dark, so that black and white must be exchanged.
 */
export function toPlanes(picture: Picture, range: IntensityRange | null = null, inverted = false): Planes {
  const { width, height, channels, data } = picture;
  const count = width * height;
  const colored = channels >= 3;
  const [scale, offset] = scaling(picture, range);
  const luma = new Float32Array(count);
  const chroma = colored ? ([new Float32Array(count), new Float32Array(count)] as const) : null;
  const alpha = channels % 2 === 0 ? new Float32Array(count) : null;
  const value = (index: number) => {
    const unit = Math.min(1, Math.max(0, (data[index] - offset) * scale));
    return inverted ? 1 - unit : unit;
  };
  for (let i = 0, k = 0; i < count; i++, k += channels) {
    if (chroma) {
      const [red, green, blue] = [value(k), value(k + 1), value(k + 2)];
      const y = R * red + G * green + B * blue;
      luma[i] = y;
      chroma[0][i] = (blue - y) / CB;
      chroma[1][i] = (red - y) / CR;
    } else luma[i] = value(k);
    if (alpha) alpha[i] = (data[k + channels - 1] - offset) * scale;
  }
  return { width, height, luma, chroma, alpha };
}

function scaling(picture: Picture, range: IntensityRange | null): [number, number] {
  if (range) return [1 / (range.high - range.low), range.low];
  const white = whiteLevel(picture);
  if (white === null) {
    throw new InputError(
      "This file holds raw counts, whose black and white are not defined.",
      "Set the range of its counts with the slider.",
    );
  }
  return [1 / white, 0];
}

/** How much of an offset from luma fits into [0, 1], as a fraction that may exceed 1. */
function room(luma: number, offset: number): number {
  return Math.max(0, (offset > 0 ? 1 - luma : luma) / Math.max(Math.abs(offset), Number.MIN_VALUE));
}

/**
 * Put fused luma and the color and alpha of the sources together, rounded half up. Luma and hue are kept; where a color
 * leaves the RGB cube, its saturation shrinks.
 */
export function fromLuma(luma: Float32Array, a: Planes, b: Planes, color: ColorMode, depth: Depth): Result {
  const chroma = color === "gray" ? null : (b.chroma ?? a.chroma);
  const alpha = b.alpha ?? a.alpha;
  const channels = (chroma ? 3 : 1) + (alpha ? 1 : 0);
  const white = depth === 8 ? 255 : 65535;
  const data = depth === 8 ? new Uint8Array(luma.length * channels) : new Uint16Array(luma.length * channels);
  const level = (unit: number) => Math.floor(Math.min(1, Math.max(0, unit)) * white + 0.5);
  for (let i = 0, k = 0; i < luma.length; i++) {
    const y = luma[i];
    if (chroma) {
      const blue = CB * chroma[0][i];
      const red = CR * chroma[1][i];
      const green = -(B * blue + R * red) / G;
      const saturation = Math.min(1, room(y, red), room(y, green), room(y, blue));
      data[k++] = level(y + saturation * red);
      data[k++] = level(y + saturation * green);
      data[k++] = level(y + saturation * blue);
    } else data[k++] = level(y);
    if (alpha) data[k++] = level(alpha[i]);
  }
  return { width: b.width, height: b.height, channels, data };
}

/** One plane as a gray image. */
export function grayImage(plane: Float32Array, width: number, height: number, depth: Depth): Result {
  const planes: Planes = { width, height, luma: plane, chroma: null, alpha: null };
  return fromLuma(plane, planes, planes, "gray", depth);
}

/** Opaque 8-bit RGBA for the screen. */
export function toRgba({ width, height, channels, data }: Result): ImageData {
  const image = new ImageData(width, height);
  const shift = data instanceof Uint16Array ? 257 : 1;
  const colored = channels >= 3;
  for (let i = 0, k = 0; k < data.length; i += 4, k += channels) {
    image.data[i] = data[k] / shift;
    image.data[i + 1] = data[k + (colored ? 1 : 0)] / shift;
    image.data[i + 2] = data[k + (colored ? 2 : 0)] / shift;
    image.data[i + 3] = 255;
  }
  return image;
}

/** A in orange over B in blue: edges that do not coincide have colored fringes. */
export function overlay(a: Float32Array, b: Float32Array, width: number, height: number): ImageData {
  const image = new ImageData(width, height);
  for (let i = 0, k = 0; i < a.length; i++, k += 4) {
    image.data[k] = 255 * a[i];
    image.data[k + 1] = 127.5 * (a[i] + b[i]);
    image.data[k + 2] = 255 * b[i];
    image.data[k + 3] = 255;
  }
  return image;
}

/** Mean distance of the chroma from gray. */
export function saturation({ chroma, luma }: Planes): number {
  if (!chroma) return 0;
  let sum = 0;
  for (const plane of chroma) for (const value of plane) sum += Math.abs(value);
  return sum / (2 * luma.length);
}

/** Whether the pair looks as if its images had changed places. */
export function looksSwapped(a: Planes, b: Planes): boolean {
  return saturation(a) > COLORED && saturation(b) < GRAY;
}
