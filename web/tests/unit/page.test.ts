import { expect, test } from "vitest";
import type { SourceInfo } from "../../src/engine/protocol";
import { frameTransform, workingSize } from "../../src/ui/live-loop";
import { shouldSwap } from "../../src/ui/roles";
import { fitted, kept, zoomed } from "../../src/ui/view";

const gray: SourceInfo = { width: 4, height: 4, depth: 8, colored: false, counts: null };
const colored: SourceInfo = { ...gray, colored: true };

test.each([
  ["scene_vis.png", gray, "scene_ir.png", gray, true],
  ["scene_ir.png", gray, "scene_vis.png", gray, false],
  ["1.png", colored, "2.png", gray, true],
  ["FLIR0123.jpg", colored, "photo.jpg", colored, false],
  ["mirror.png", gray, "first.png", gray, false],
])("%s beside %s", (first, infoA, second, infoB, expected) => {
  expect(shouldSwap({ name: first, info: infoA }, { name: second, info: infoB })).toBe(expected);
});

test("the whole image is shown, centered", () => {
  expect(fitted({ width: 200, height: 100 }, { width: 100, height: 100 })).toEqual({ zoom: 0.5, x: 0, y: 25 });
});

test("zooming keeps the point under the pointer", () => {
  const view = zoomed({ zoom: 1, x: 10, y: 20 }, 2, 60, 70, 1);
  expect([(60 - view.x) / view.zoom, (70 - view.y) / view.zoom]).toEqual([50, 50]);
  expect(zoomed(view, 1000, 0, 0, 1).zoom).toBe(32);
});

test("the image cannot be moved out of sight", () => {
  const frame = { width: 80, height: 80 };
  const view = kept({ zoom: 1, x: 5000, y: -5000 }, { width: 40, height: 40 }, frame);
  expect([view.x, view.y]).toEqual([70, -30]);
});

test("videos are made smaller, never larger", () => {
  expect(workingSize({ width: 1920, height: 1080 }, 640)).toEqual({ width: 640, height: 360 });
  expect(workingSize({ width: 320, height: 240 }, 640)).toEqual({ width: 320, height: 240 });
});

test("an alignment holds for videos that are made smaller", () => {
  const [sizeA, sizeB] = [
    { width: 320, height: 240 },
    { width: 1280, height: 720 },
  ];
  const moving = { width: 160, height: 120 };
  const fixed = { width: 640, height: 360 };
  const matrix = [0.5, 0.1, -20, -0.1, 0.4, 7, 0, 0, 1];
  const displacement = Array.from({ length: 4 }, () => Array.from({ length: 4 }, () => [6, -2] as const));
  const saved = { type: "bspline", moving: sizeA, fixed: sizeB, matrix, displacement };
  const half = frameTransform(saved, sizeA, sizeB, moving, fixed)!;
  const at = ([a, b, c, d, e, f]: readonly number[], x: number, y: number) => [a * x + b * y + c, d * x + e * y + f];
  const center = (value: number) => 2 * value + 0.5; // of two pixels
  const [x, y] = at(half.matrix, 100, 50);
  const [fullX, fullY] = at(matrix, center(100), center(50));
  expect([center(x), center(y)]).toEqual([expect.closeTo(fullX), expect.closeTo(fullY)]);
  expect(half.displacement![2][3]).toEqual([3, -1]);
  expect(() => frameTransform(saved, sizeB, sizeB, moving, fixed)).toThrow("another size of A");
  const byHand = frameTransform({ dx: 10, dy: 0, scale: 1 }, sizeB, sizeB, fixed, fixed)!;
  expect(byHand.matrix[2]).toBeCloseTo(-5);
});
