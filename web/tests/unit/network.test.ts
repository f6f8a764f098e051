import { expect, test } from "vitest";
import { areaWeights, gridStatistics } from "../../src/network/statistics";
import { cut, place, tilesOf } from "../../src/network/tiling";

test.each([1, 5, 31, 33, 480, 641])("the weights of every cell of a side of %i sum to 1", (length) => {
  const sums = new Array<number>(32).fill(0);
  for (const { cell, weight } of areaWeights(length, 32)) sums[cell] += weight;
  for (const sum of sums) expect(sum).toBeCloseTo(1, 12);
});

test("statistics of a flat image are its value and 0", () => {
  const statistics = gridStatistics(new Float32Array(50 * 40).fill(0.25), 50, 40, 8);
  expect(statistics).toHaveLength(128);
  expect(Math.max(...statistics.slice(0, 64).map((value) => Math.abs(value - 0.25)))).toBeLessThan(1e-6);
  expect(Math.max(...statistics.slice(64))).toBeLessThan(1e-3);
});

test("statistics tell cells apart", () => {
  const luma = Float32Array.from({ length: 64 * 64 }, (_, i) => (i % 64 < 32 ? 0 : (i % 2) * 1));
  const statistics = gridStatistics(luma, 64, 64, 2);
  expect([...statistics].map((value) => Number(value.toFixed(6)))).toEqual([0, 0.5, 0, 0.5, 0, 0.5, 0, 0.5]);
});

test("an image that fits is one tile", () => {
  const tiles = tilesOf(641, 479, 144, 16);
  expect(tiles).toHaveLength(1);
  expect(tiles[0].padded).toEqual({ top: 0, left: 0, height: 479, width: 641 });
});

test("tiles cover every pixel once; their padding reaches as far as the network sees, on its grid", () => {
  const [width, height, halo, stride] = [4001, 2999, 144, 16];
  let area = 0;
  for (const { region, padded } of tilesOf(width, height, halo, stride)) {
    area += region.width * region.height;
    expect(padded.top % stride).toBe(0);
    expect(padded.left % stride).toBe(0);
    expect(padded.top).toBeLessThanOrEqual(Math.max(0, region.top - halo));
    expect(padded.left + padded.width).toBeGreaterThanOrEqual(Math.min(width, region.left + region.width + halo));
  }
  expect(area).toBe(width * height);
});

test("what is cut out of a plane by tiles and put back is the plane", () => {
  const [width, height] = [2000, 1500];
  const plane = Float32Array.from({ length: width * height }, (_, i) => i);
  const copy = new Float32Array(plane.length);
  for (const tile of tilesOf(width, height, 144, 16)) place(copy, width, cut(plane, width, tile.padded), tile);
  expect(copy.every((value, i) => value === plane[i])).toBe(true);
});
