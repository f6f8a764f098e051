import { expect, test } from "vitest";
import { findShift, type Gray } from "../../src/image/shift";

/** Boxes at fixed places, bright or dark; seen from a camera that is moved. */
function scene(dx: number, dy: number, negative = false): Gray {
  const [width, height] = [320, 240];
  const luma = new Float32Array(width * height).fill(0.5);
  for (let n = 0; n < 60; n++) {
    const [left, top] = [((n * 137) % 380) - 30 + dx, ((n * 89) % 300) - 30 + dy];
    const [w, h] = [12 + ((n * 31) % 40), 10 + ((n * 17) % 30)];
    const level = ((n * 53) % 100) / 100;
    for (let y = Math.max(0, top); y < Math.min(height, top + h); y++) {
      luma.fill(
        negative ? 1 - level : level,
        y * width + Math.max(0, Math.min(width, left)),
        y * width + Math.max(0, Math.min(width, left + w)),
      );
    }
  }
  return { width, height, luma };
}

test.each([
  [24, -9],
  [-13, 30],
])("a shift of (%i, %i) is found, also where bright and dark have changed places", (dx, dy) => {
  const found = findShift(scene(dx, dy, true), scene(0, 0))!;
  expect(Math.abs(found.dx - dx)).toBeLessThanOrEqual(1);
  expect(Math.abs(found.dy - dy)).toBeLessThanOrEqual(1);
});

test("images that lie on each other, or show nothing, are not called shifted", () => {
  expect(findShift(scene(0, 0, true), scene(0, 0))).toBeNull();
  expect(findShift(scene(2, 1), scene(0, 0))).toBeNull();
  const empty = { width: 64, height: 64, luma: new Float32Array(64 * 64) };
  expect(findShift(empty, empty)).toBeNull();
  expect(findShift(scene(20, 0), { ...empty })).toBeNull();
});
