/** Thermal counts: which of them become black and white. The rules are those of the Python package. */

import { extent, type IntensityRange, type Picture, type Samples, whiteLevel } from "./picture";

const FEW_LEVELS = 1 / 8; // of 16 bits: an image that uses less holds raw counts
const SAMPLES = 65_536;

export interface CountsInfo {
  /** The lowest and the highest count. */
  readonly found: IntensityRange;
  /** What a viewer would show: all that the number type holds, or all counts where it has no white. */
  readonly full: IntensityRange;
  /** The counts between which all but the darkest and the brightest 0.1 % lie. */
  readonly percentiles: IntensityRange;
  /** Whether the values use so little of their range that they are raw counts. */
  readonly raw: boolean;
  /** Number of pixels in each of 64 equal steps from the lowest to the highest count. */
  readonly histogram: readonly number[];
}

/** Describe the counts of a gray image of more than 8 bits; null for every other image. */
export function describeCounts(picture: Picture): CountsInfo | null {
  const { data, channels } = picture;
  if (channels !== 1 || data instanceof Uint8Array) return null;
  const found = extent(data);
  const white = whiteLevel(picture);
  const full = white === null ? found : { low: 0, high: white };
  const percentiles = percentileRange(data, 0.1, 99.9);
  const raw = white === null || (white === 65535 && percentiles.high - percentiles.low < FEW_LEVELS * 65535);
  return { found, full, percentiles, raw, histogram: histogram(data, found, 64) };
}

/** The least counts that at least this percentage of the pixels does not exceed: exact for 16 bits, sampled otherwise. */
export function percentileRange(data: Samples, low: number, high: number): IntensityRange {
  const exact = data instanceof Uint8Array || data instanceof Uint16Array || data instanceof Int16Array;
  const step = exact ? 1 : Math.max(1, Math.floor(data.length / SAMPLES));
  const values = step === 1 ? data.slice() : data.filter((_: number, index: number) => index % step === 0);
  values.sort();
  const at = (percentage: number) => values[Math.max(Math.ceil((percentage / 100) * values.length), 1) - 1];
  return { low: at(low), high: at(high) };
}

function histogram(data: Samples, { low, high }: IntensityRange, steps: number): number[] {
  const bins = new Array<number>(steps).fill(0);
  const scale = high > low ? steps / (high - low) : 0;
  for (const value of data) bins[Math.min(steps - 1, Math.floor((value - low) * scale))]++;
  return bins;
}
