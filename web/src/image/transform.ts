/** Where in A each pixel of B lies: a 3 x 3 matrix, and for B-splines a smooth displacement before it. */

import type { Planes } from "./color";
import { InputError } from "./picture";

export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface Transform {
  /** What the package calls its kind: similarity, homography, bspline, ... */
  readonly type: string;
  readonly moving: Size;
  readonly fixed: Size;
  /** Row by row: (x, y, 1) in B to the place in A. */
  readonly matrix: readonly number[];
  /** Shifts (x, y) at the control points of a cubic B-spline over B, by rows; null for none. */
  readonly displacement: readonly (readonly (readonly [number, number])[])[] | null;
}

/** An alignment by hand: A is fitted into B, enlarged by `scale` and moved by `dx`, `dy` pixels of B. */
export interface Alignment {
  readonly dx: number;
  readonly dy: number;
  readonly scale: number;
}

export const CENTERED: Alignment = { dx: 0, dy: 0, scale: 1 };

const LARGEST_FRAME = 2_100_000; // pixels of B up to which the sampling is kept for the next frame
const SOFT = 24; // pixels over which A blends into the fill

/** The transform of an alignment by hand; null where A already lies on the grid of B. */
export function handTransform(moving: Size, fixed: Size, { dx, dy, scale }: Alignment): Transform | null {
  const fit = Math.min(fixed.width / moving.width, fixed.height / moving.height);
  const same = moving.width === fixed.width && moving.height === fixed.height;
  if (same && dx === 0 && dy === 0 && scale === 1) return null;
  const k = 1 / (fit * scale);
  const x = (moving.width - 1) / 2 - k * ((fixed.width - 1) / 2 + dx);
  const y = (moving.height - 1) / 2 - k * ((fixed.height - 1) / 2 + dy);
  return { type: "similarity", moving, fixed, matrix: [k, 0, x, 0, k, y, 0, 0, 1], displacement: null };
}

/** The same transform for both images at other sizes. */
export function rescaled(transform: Transform, moving: Size, fixed: Size): Transform {
  const [ofA, ofB] = [scaling(moving, transform.moving), scaling(transform.fixed, fixed)];
  const [x, y] = [fixed.width / transform.fixed.width, fixed.height / transform.fixed.height];
  const displacement = transform.displacement?.map((row) => row.map(([dx, dy]) => [x * dx, y * dy] as const)) ?? null;
  return { ...transform, moving, fixed, matrix: product(ofA, product(transform.matrix, ofB)), displacement };
}

/** The matrix that takes pixels of one size to those of another: their centers, not their corners, are whole numbers. */
function scaling(size: Size, before: Size): number[] {
  const [x, y] = [size.width / before.width, size.height / before.height];
  return [x, 0, (x - 1) / 2, 0, y, (y - 1) / 2, 0, 0, 1];
}

function product(a: readonly number[], b: readonly number[]): number[] {
  return Array.from({ length: 9 }, (_, n) => {
    const [row, column] = [3 * Math.floor(n / 3), n % 3];
    return a[row] * b[column] + a[row + 1] * b[column + 3] + a[row + 2] * b[column + 6];
  });
}

/** The JSON that `refinefuse fuse --transform` reads. */
export function writeTransform({ type, moving, fixed, matrix, displacement }: Transform): string {
  const record = {
    format: "refinefuse-transform-2",
    transform_type: type,
    size_moving: [moving.height, moving.width],
    size_fixed: [fixed.height, fixed.width],
    matrix: [0, 3, 6].map((row) => matrix.slice(row, row + 3)),
    displacement,
  };
  return `${JSON.stringify(record, null, 1)}\n`;
}

/** Read what `refinefuse align --save-transform` or this page wrote. */
export function readTransform(text: string): Transform {
  const record = parse(text);
  const matrix = (record["matrix"] as number[][]).flat();
  const [moving, fixed] = [record["size_moving"] ?? record["size_a"], record["size_fixed"] ?? record["size_b"]].map(
    (size) => ({ height: (size as number[])[0], width: (size as number[])[1] }),
  );
  const displacement = (record["displacement"] ?? record["bend"] ?? null) as Transform["displacement"];
  const numbers = [...matrix, moving.width, moving.height, fixed.width, fixed.height, ...(displacement ?? []).flat(2)];
  const regular = !displacement || (displacement.length >= 4 && displacement[0].length >= 4);
  if (matrix.length !== 9 || !numbers.every(Number.isFinite) || !regular) throw noTransform();
  const type = String(record["transform_type"] ?? record["model"] ?? "similarity");
  return { type, moving, fixed, matrix, displacement };
}

function parse(text: string): Record<string, unknown> {
  try {
    const record = JSON.parse(text) as Record<string, unknown>;
    const complete =
      Array.isArray(record["matrix"]) && ["moving", "a"].some((end) => Array.isArray(record[`size_${end}`]));
    if (complete && String(record["format"]).startsWith("refinefuse-transform-")) return record;
  } catch {
    // not JSON: the same answer
  }
  throw noTransform();
}

function noTransform(): InputError {
  return new InputError(
    "This file holds no transform.",
    "Choose a JSON file that was saved here or by `refinefuse align --save-transform`.",
  );
}

/** Resample A on the grid of B. Where A has no data, it shows the luma of B, so the fused image is B there. */
export function warp(a: Planes, b: Planes, transform: Transform): Planes {
  checkSizes(a, b, transform);
  const { map, weight } = sampling(transform);
  const resampled = (plane: Float32Array, fill: (index: number) => number, low: number, high: number) => {
    const result = new Float32Array(b.luma.length);
    for (let i = 0; i < result.length; i++) {
      const value = Math.min(high, Math.max(low, cubic(plane, a.width, a.height, map[2 * i], map[2 * i + 1])));
      result[i] = value * weight[i] + fill(i) * (1 - weight[i]);
    }
    return result;
  };
  const chroma = a.chroma?.map((plane) => resampled(plane, () => 0, -0.5, 0.5)) as
    [Float32Array, Float32Array] | undefined;
  return {
    width: b.width,
    height: b.height,
    luma: resampled(a.luma, (i) => b.luma[i], 0, 1),
    chroma: chroma ?? null,
    alpha: a.alpha && resampled(a.alpha, () => 1, 0, 1),
  };
}

interface Sampling {
  /** For each pixel of B the place (x, y) in A. */
  readonly map: Float32Array;
  /** How much of A counts there. */
  readonly weight: Float32Array;
}

let lastFrame: { readonly key: string; readonly sampling: Sampling } | null = null;

/** Where A is sampled; for a video the same in each frame. */
function sampling(transform: Transform): Sampling {
  const key = JSON.stringify(transform);
  if (lastFrame?.key === key) return lastFrame.sampling;
  const { moving, fixed } = transform;
  const map = coordinates(transform);
  const found = { map, weight: softEdge(map, moving, fixed) };
  lastFrame = fixed.width * fixed.height <= LARGEST_FRAME ? { key, sampling: found } : null;
  return found;
}

/** Refuse images that the transform was not made for. */
export function checkSizes(a: Size, b: Size, { moving, fixed }: Transform): void {
  checkSize("A", a, moving);
  checkSize("B", b, fixed);
}

function checkSize(name: string, { width, height }: Size, expected: Size): void {
  if (width === expected.width && height === expected.height) return;
  throw new InputError(
    `The transform was made for another size of ${name}: expected ${expected.width} × ${expected.height}, ` +
      `got ${width} × ${height}.`,
    "Load the transform of this camera pair, or align by hand.",
  );
}

function coordinates({ fixed, matrix: m, displacement }: Transform): Float32Array {
  const { width, height } = fixed;
  const map = new Float32Array(2 * width * height);
  const far = (place: number, depth: number) => (depth > 1e-6 ? Math.min(1e6, Math.max(-1e6, place / depth)) : -1e6);
  const shifts = displacement ? displacements(displacement, fixed) : null;
  for (let j = 0, k = 0; j < height; j++) {
    for (let i = 0; i < width; i++, k += 2) {
      const x = i + (shifts ? shifts[k] : 0);
      const y = j + (shifts ? shifts[k + 1] : 0);
      const depth = m[6] * x + m[7] * y + m[8];
      map[k] = far(m[0] * x + m[1] * y + m[2], depth);
      map[k + 1] = far(m[3] * x + m[4] * y + m[5], depth);
    }
  }
  return map;
}

/** The shifts (x, y) of every pixel from those of the control points. */
function displacements(controls: NonNullable<Transform["displacement"]>, { width, height }: Size): Float32Array {
  const shifts = new Float32Array(2 * width * height);
  const columns = Array.from({ length: width }, (_, x) => splineWeights(x, width, controls[0].length));
  for (let y = 0, k = 0; y < height; y++) {
    const row = splineWeights(y, height, controls.length);
    for (let x = 0; x < width; x++, k += 2) {
      for (let r = 0; r < 4; r++) {
        for (let c = 0; c < 4; c++) {
          const weight = row.weights[r] * columns[x].weights[c];
          const [dx, dy] = controls[row.first + r][columns[x].first + c];
          shifts[k] += weight * dx;
          shifts[k + 1] += weight * dy;
        }
      }
    }
  }
  return shifts;
}

/** Weights of the four control points of a uniform cubic B-spline around one place of a side. */
function splineWeights(place: number, side: number, controls: number): { first: number; weights: number[] } {
  const spans = controls - 3;
  const at = (place / Math.max(side - 1, 1)) * spans;
  const first = Math.min(Math.floor(at), spans - 1);
  const u = at - first;
  const weights = [(1 - u) ** 3, 3 * u ** 3 - 6 * u ** 2 + 4, -3 * u ** 3 + 3 * u ** 2 + 3 * u + 1, u ** 3];
  return { first, weights: weights.map((weight) => weight / 6) };
}

/** Bicubic interpolation (a = -0.75) with repeated edges, as OpenCV does. */
function cubic(plane: Float32Array, width: number, height: number, x: number, y: number): number {
  const [left, top] = [Math.floor(x) - 1, Math.floor(y) - 1];
  const across = cubicWeights(x - left - 1);
  const down = cubicWeights(y - top - 1);
  let sum = 0;
  for (let j = 0; j < 4; j++) {
    const row = Math.min(height - 1, Math.max(0, top + j)) * width;
    let part = 0;
    for (let i = 0; i < 4; i++) part += across[i] * plane[row + Math.min(width - 1, Math.max(0, left + i))];
    sum += down[j] * part;
  }
  return sum;
}

function cubicWeights(x: number): [number, number, number, number] {
  const a = -0.75;
  const first = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a;
  const second = ((a + 2) * x - (a + 3)) * x * x + 1;
  const third = ((a + 2) * (1 - x) - (a + 3)) * (1 - x) * (1 - x) + 1;
  return [first, second, third, 1 - first - second - third];
}

/** How much of A counts at each pixel of B: 0 outside A, rising to 1 within `SOFT` pixels. */
function softEdge(map: Float32Array, a: Size, b: Size): Float32Array {
  const { width, height } = b;
  const inside = (i: number) =>
    map[2 * i] >= 0 && map[2 * i] <= a.width - 1 && map[2 * i + 1] >= 0 && map[2 * i + 1] <= a.height - 1;
  const distance = Float32Array.from({ length: width * height }, (_, i) => (inside(i) ? Infinity : 0));
  sweep(distance, width, height, 1);
  sweep(distance, width, height, -1);
  return distance.map((value) => Math.min(1, value / SOFT));
}

/** One pass of a 3 x 3 chamfer distance transform, forward or backward. */
function sweep(distance: Float32Array, width: number, height: number, direction: 1 | -1): void {
  const [straight, diagonal] = [0.955, 1.3693];
  const count = width * height;
  const at = (x: number, y: number) =>
    x < 0 || y < 0 || x >= width || y >= height ? Infinity : distance[y * width + x];
  for (let n = 0; n < count; n++) {
    const i = direction === 1 ? n : count - 1 - n;
    if (distance[i] === 0) continue;
    const [x, y] = [i % width, Math.floor(i / width)];
    const [before, above] = [x - direction, y - direction];
    distance[i] = Math.min(
      distance[i],
      at(before, y) + straight,
      at(x, above) + straight,
      at(before, above) + diagonal,
      at(x + direction, above) + diagonal,
    );
  }
}
