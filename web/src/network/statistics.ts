/** What the network must know of the whole image: mean and deviation in the cells of a fixed grid. */

const STEP = 16; // sides that round up to the same multiple have the same cells

/** One sample of a side, the cell it lies in, and its weight there: a sample may lie in several cells. */
interface Share {
  readonly sample: number;
  readonly cell: number;
  readonly weight: number;
}

/** Weights that average a side into equal cells; its last sample is repeated up to a multiple of `STEP`. */
export function areaWeights(length: number, cells: number): Share[] {
  const whole = Math.ceil(length / STEP) * STEP;
  const size = whole / cells;
  const shares: Share[] = [];
  for (let sample = 0; sample < length; sample++) {
    const end = sample === length - 1 ? whole : sample + 1;
    for (let cell = Math.floor(sample / size); cell < cells && cell * size < end; cell++) {
      const overlap = Math.min((cell + 1) * size, end) - Math.max(cell * size, sample);
      if (overlap > 0) shares.push({ sample, cell, weight: overlap / size });
    }
  }
  return shares;
}

/** Mean and standard deviation of the luma in each cell: two planes of cells x cells. */
export function gridStatistics(luma: Float32Array, width: number, height: number, cells: number): Float32Array {
  const columns = areaWeights(width, cells);
  const mean = new Float64Array(cells * cells);
  const square = new Float64Array(cells * cells);
  const row = new Float64Array(cells);
  const rowSquare = new Float64Array(cells);
  let last = -1;
  for (const { sample, cell, weight } of areaWeights(height, cells)) {
    if (sample !== last) {
      row.fill(0);
      rowSquare.fill(0);
      const start = sample * width;
      for (const column of columns) {
        const value = luma[start + column.sample];
        row[column.cell] += column.weight * value;
        rowSquare[column.cell] += column.weight * value * value;
      }
      last = sample;
    }
    for (let x = 0; x < cells; x++) {
      mean[cell * cells + x] += weight * row[x];
      square[cell * cells + x] += weight * rowSquare[x];
    }
  }
  const result = new Float32Array(2 * cells * cells);
  for (let i = 0; i < mean.length; i++) {
    result[i] = mean[i];
    result[mean.length + i] = Math.sqrt(Math.max(0, square[i] - mean[i] * mean[i]));
  }
  return result;
}
