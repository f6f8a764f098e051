/**
 * Does A lie on B, or beside it? Directions of edges of small images are compared over shifts, as the Python package
 * does before it fuses (`refinefuse.alignment.check`). It answers only if another position fits clearly better.
 */

export interface Gray {
  readonly width: number;
  readonly height: number;
  readonly luma: Float32Array;
}

/** Edges: vectors of twice the direction of the gradient, of length 0 to 1. */
interface Edges {
  readonly width: number;
  readonly height: number;
  readonly x: Float32Array;
  readonly y: Float32Array;
}

const FIRST = 80; // the longer side of the images in which all shifts are tried
const SMALL = 160; // of those in which the best one is judged
const FINE = 640; // of those in which it is refined
const REACH = 0.25; // the largest shift, in sides
const STILL = 2; // small pixels: a shift up to this is none
const SURE = 12; // standard deviations over chance
const BETTER = 1.1; // by which factor the other position must agree better
const SMALLEST = 32; // pixels of a side
const [SMOOTH, AROUND, SPREAD] = [0.7, 4, 0.7]; // blur, in small pixels

/** How far A lies beside B, in pixels to the right and down; null where it lies on B, or where that is not clear. */
export function findShift(a: Gray, b: Gray): { dx: number; dy: number } | null {
  if (a.width !== b.width || a.height !== b.height || Math.min(a.width, a.height) < SMALLEST) return null;
  const first = pairOf(a, b, FIRST);
  const [reachX, reachY] = [first.b.width, first.b.height].map((side) => Math.max(1, Math.floor(side * REACH)));
  const rough = best(first, 0, 0, reachX, reachY);
  const small = pairOf(a, b, SMALL);
  const ratio = first.factor / small.factor;
  const found = best(small, rough.dx * ratio, rough.dy * ratio, 2, 2);
  const still = best(small, 0, 0, STILL, STILL);
  const moves = Math.max(Math.abs(found.dx), Math.abs(found.dy)) > STILL;
  if (!moves || found.score < SURE || found.score < BETTER * still.score) return null;
  const fine = pairOf(a, b, FINE);
  const steps = Math.ceil(small.factor / fine.factor / 2) + 1;
  const [x, y] = [found.dx, found.dy].map((shift) => (shift * small.factor) / fine.factor);
  const { dx, dy } = best(fine, x, y, steps, steps);
  return { dx: Math.round(dx * fine.factor), dy: Math.round(dy * fine.factor) };
}

interface Pair {
  readonly a: Edges;
  readonly b: Edges;
  /** Pixels of the images in one of these. */
  readonly factor: number;
}

function pairOf(a: Gray, b: Gray, side: number): Pair {
  const factor = Math.max(1, Math.max(a.width, a.height) / side);
  return { a: edgesOf(shrunk(a, factor)), b: edgesOf(shrunk(b, factor)), factor };
}

/** The shift around (x, y) at which the edges agree best. */
function best({ a, b }: Pair, x: number, y: number, reachX: number, reachY: number) {
  let found = { score: -Infinity, dx: 0, dy: 0 };
  for (let dy = Math.round(y) - reachY; dy <= Math.round(y) + reachY; dy++) {
    for (let dx = Math.round(x) - reachX; dx <= Math.round(x) + reachX; dx++) {
      const score = agreement(a, b, dx, dy);
      if (score > found.score) found = { score, dx, dy };
    }
  }
  return found;
}

/** By how many standard deviations the directions agree better than by chance, with A moved by a shift. */
function agreement(a: Edges, b: Edges, dx: number, dy: number): number {
  const { width, height } = b;
  const [first, last] = [Math.max(0, -dx), Math.min(width, width - dx)];
  let total = 0;
  let chance = 0;
  for (let v = Math.max(0, -dy); v < Math.min(height, height - dy); v++) {
    let i = (v + dy) * width + first + dx;
    for (let k = v * width + first; k < v * width + last; k++, i++) {
      const ax = a.x[i]; // plain variables: this runs a hundred million times
      const ay = a.y[i];
      const bx = b.x[k];
      const by = b.y[k];
      total += ax * bx + ay * by;
      chance += (ax * ax + ay * ay) * (bx * bx + by * by);
    }
  }
  return chance > 0 ? total / Math.sqrt(chance / 2) : 0;
}

function edgesOf({ width, height, luma }: Gray): Edges {
  const smooth = blurred(luma, width, height, SMOOTH);
  const [gx, gy] = [new Float32Array(luma.length), new Float32Array(luma.length)];
  const at = (x: number, y: number) => smooth[mirrored(y, height) * width + mirrored(x, width)];
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const across = (row: number) => at(x + 1, y + row) - at(x - 1, y + row);
      const down = (column: number) => at(x + column, y + 1) - at(x + column, y - 1);
      gx[i] = 3 * across(-1) + 10 * across(0) + 3 * across(1);
      gy[i] = 3 * down(-1) + 10 * down(0) + 3 * down(1);
    }
  }
  const strength = gx.map((value, i) => Math.hypot(value, gy[i]));
  const around = blurred(strength, width, height, AROUND);
  const mean = around.reduce((sum, value) => sum + value, 0) / around.length;
  const factor = strength.map((value, i) => 1 / (value * (around[i] + 0.25 * mean + 1e-6 + value) + 1e-12));
  return {
    width,
    height,
    x: blurred(
      factor.map((k, i) => (gx[i] * gx[i] - gy[i] * gy[i]) * k),
      width,
      height,
      SPREAD,
    ),
    y: blurred(
      factor.map((k, i) => 2 * gx[i] * gy[i] * k),
      width,
      height,
      SPREAD,
    ),
  };
}

function blurred(plane: Float32Array, width: number, height: number, sigma: number): Float32Array {
  const radius = Math.ceil(4 * sigma);
  const kernel = Array.from({ length: 2 * radius + 1 }, (_, i) => Math.exp(-((i - radius) ** 2) / (2 * sigma * sigma)));
  const whole = kernel.reduce((sum, value) => sum + value, 0);
  const pass = (source: Float32Array, length: number, count: number, stride: number, step: number) => {
    const result = new Float32Array(source.length);
    const at = Array.from({ length: length + 2 * radius }, (_, i) => step * mirrored(i - radius, length));
    for (let line = 0; line < count; line++) {
      for (let i = 0; i < length; i++) {
        let sum = 0;
        for (let k = 0; k <= 2 * radius; k++) sum += kernel[k] * source[line * stride + at[i + k]];
        result[line * stride + step * i] = sum / whole;
      }
    }
    return result;
  };
  return pass(pass(plane, width, height, width, 1), height, width, 1, width);
}

/** An index beyond the edge, mirrored at the last pixel. */
function mirrored(index: number, length: number): number {
  const period = Math.max(1, 2 * (length - 1));
  const inside = ((index % period) + period) % period;
  return Math.min(inside, period - inside);
}

/** The image with pixels `factor` times as large: means over their areas. */
function shrunk({ width, height, luma }: Gray, factor: number): Gray {
  if (factor <= 1) return { width, height, luma };
  const [w, h] = [width, height].map((side) => Math.max(1, Math.round(side / factor)));
  const [sums, counts] = [new Float64Array(w * h), new Float64Array(w * h)];
  for (let y = 0, i = 0; y < height; y++) {
    const row = Math.min(h - 1, Math.floor((y * h) / height)) * w;
    for (let x = 0; x < width; x++, i++) {
      const cell = row + Math.min(w - 1, Math.floor((x * w) / width));
      sums[cell] += luma[i];
      counts[cell]++;
    }
  }
  return { width: w, height: h, luma: Float32Array.from(sums, (sum, i) => sum / counts[i]) };
}
