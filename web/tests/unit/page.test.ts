import { expect, test } from "vitest";
import type { SourceInfo } from "../../src/engine/protocol";
import { workingSize } from "../../src/ui/live-loop";
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
  expect(workingSize({ videoWidth: 1920, videoHeight: 1080 }, 640)).toEqual({ width: 640, height: 360 });
  expect(workingSize({ videoWidth: 320, videoHeight: 240 }, 640)).toEqual({ width: 320, height: 240 });
});
