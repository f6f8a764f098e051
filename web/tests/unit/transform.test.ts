import { expect, test } from "vitest";
import type { Planes } from "../../src/image/color";
import { InputError } from "../../src/image/picture";
import { CENTERED, handTransform, readTransform, warp, writeTransform } from "../../src/image/transform";

function planes(width: number, height: number, value: (x: number, y: number) => number): Planes {
  const luma = Float32Array.from({ length: width * height }, (_, i) => value(i % width, Math.floor(i / width)));
  return { width, height, luma, chroma: null, alpha: null };
}

const size = { width: 100, height: 80 };

test("images of one size that are not moved need no transform", () => {
  expect(handTransform(size, size, CENTERED)).toBeNull();
});

test("A moves by whole pixels, and B shows where A has no data", () => {
  const a = planes(100, 80, (x, y) => (x + y) / 180);
  const b = planes(100, 80, () => 0.75);
  const moved = warp(a, b, handTransform(size, size, { dx: 5, dy: -3, scale: 1 })!);
  expect(moved.luma[40 * 100 + 60]).toBeCloseTo((60 - 5 + 40 + 3) / 180, 5);
  expect(moved.luma[40 * 100 + 2]).toBe(0.75);
});

test("a smaller A is fitted into B, centered", () => {
  const { matrix } = handTransform({ width: 50, height: 40 }, size, CENTERED)!;
  expect(matrix).toEqual([0.5, 0, -0.25, 0, 0.5, -0.25, 0, 0, 1]);
});

test("a transform survives being written and read", () => {
  const transform = handTransform({ width: 50, height: 40 }, size, { dx: 1.5, dy: 2, scale: 1.1 })!;
  expect(readTransform(writeTransform(transform))).toEqual(transform);
});

test("format 1 is read, and written as format 2", () => {
  const old = {
    format: "refinefuse-transform-1",
    model: "affine",
    size_a: [40, 50],
    size_b: [80, 100],
    matrix: [
      [0.5, 0, 0],
      [0, 0.5, 0],
      [0, 0, 1],
    ],
    bend: null,
  };
  expect(JSON.parse(writeTransform(readTransform(JSON.stringify(old))))).toEqual({
    format: "refinefuse-transform-2",
    transform_type: "affine",
    size_moving: [40, 50],
    size_fixed: [80, 100],
    matrix: old.matrix,
    displacement: null,
  });
});

test("a displacement of equal shifts moves everything alike", () => {
  const a = planes(100, 80, (x) => x / 100);
  const controls = Array.from({ length: 5 }, () => Array.from({ length: 6 }, () => [4, 0] as const));
  const transform = {
    type: "bspline",
    moving: size,
    fixed: size,
    matrix: [1, 0, 0, 0, 1, 0, 0, 0, 1],
    displacement: controls,
  };
  expect(
    warp(
      a,
      planes(100, 80, () => 0),
      transform,
    ).luma[40 * 100 + 50],
  ).toBeCloseTo(0.54, 5);
});

test("a transform for other sizes is refused, with both sizes", () => {
  const transform = handTransform({ width: 50, height: 40 }, size, CENTERED)!;
  expect(() =>
    warp(
      planes(51, 40, () => 0),
      planes(100, 80, () => 0),
      transform,
    ),
  ).toThrow(/50 × 40, got 51 × 40/);
});

test.each([
  "",
  "[]",
  "{}",
  '{"format": "refinefuse-transform-1", "matrix": [[1]], "size_a": [1, 1], "size_b": [1, 1]}',
])("%j is no transform", (text) => expect(() => readTransform(text)).toThrow(InputError));
