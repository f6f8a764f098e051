import { encode } from "fast-png";
import { expect, test } from "vitest";
import { fromLuma, grayImage, looksSwapped, toPlanes } from "../../src/image/color";
import { describeCounts, percentileRange } from "../../src/image/counts";
import { decode, formatOf, withoutExif } from "../../src/image/decode";
import { InputError, type Picture } from "../../src/image/picture";

const rgb: Picture = { width: 2, height: 1, channels: 3, data: Uint8Array.of(255, 0, 0, 10, 200, 30) };
const gray16: Picture = { width: 2, height: 2, channels: 1, data: Uint16Array.of(0, 1000, 40000, 65535) };

test("an image survives being taken apart and put together, in 8 and 16 bits", () => {
  const planes = toPlanes(rgb);
  expect([...fromLuma(planes.luma, planes, planes, "b", 8).data]).toEqual([...rgb.data]);
  const gray = toPlanes(gray16);
  expect([...grayImage(gray.luma, 2, 2, 16).data]).toEqual([...gray16.data]);
});

test("color comes from B, from A where B has none, and from neither in grayscale", () => {
  const colored = toPlanes(rgb);
  const plain = { ...colored, chroma: null };
  expect(fromLuma(colored.luma, plain, colored, "b", 8).channels).toBe(3);
  expect(fromLuma(colored.luma, colored, plain, "b", 8).channels).toBe(3);
  expect(fromLuma(colored.luma, colored, colored, "gray", 8).channels).toBe(1);
});

test("a color that does not fit keeps its luma and hue and loses saturation", () => {
  const planes = toPlanes(rgb);
  const bright = Float32Array.of(0.9, 0.95);
  const [red, green, blue] = fromLuma(bright, planes, planes, "b", 8).data;
  expect(red).toBe(255);
  expect(0.299 * red + 0.587 * green + 0.114 * blue).toBeCloseTo(0.9 * 255, 0);
  expect(green).toBe(blue);
});

test("alpha of B is kept, else that of A", () => {
  const b = toPlanes({ width: 1, height: 1, channels: 4, data: Uint8Array.of(10, 20, 30, 99) });
  const a = toPlanes({ width: 1, height: 1, channels: 2, data: Uint8Array.of(10, 77) });
  expect(fromLuma(b.luma, a, b, "b", 8).data[3]).toBe(99);
  expect([...fromLuma(a.luma, a, { ...a, alpha: null }, "b", 8).data]).toEqual([10, 77]);
});

test("black-hot images are inverted, counts outside the range are clipped", () => {
  const range = { low: 1000, high: 41000 };
  expect([...toPlanes(gray16, range).luma]).toEqual([0, 0, Math.fround(0.975), 1]);
  expect([...toPlanes(gray16, range, true).luma]).toEqual([1, 1, Math.fround(0.025), 0]);
});

test("counts of a type without white need a range", () => {
  const picture: Picture = { width: 1, height: 1, channels: 1, data: Int32Array.of(5) };
  expect(() => toPlanes(picture)).toThrow(InputError);
});

test("a colored A beside a gray B looks swapped", () => {
  const gray = toPlanes({ width: 2, height: 1, channels: 1, data: Uint8Array.of(3, 4) });
  expect(looksSwapped(toPlanes(rgb), gray)).toBe(true);
  expect(looksSwapped(gray, toPlanes(rgb))).toBe(false);
});

test("percentiles are the least counts that so many pixels do not exceed", () => {
  const data = Uint16Array.from({ length: 200 }, (_, i) => 199 - i);
  expect(percentileRange(data, 1, 99)).toEqual({ low: 1, high: 197 });
  expect(percentileRange(data, 0, 100)).toEqual({ low: 0, high: 199 });
});

test("16-bit images that use little of their range are raw counts", () => {
  const few: Picture = { ...gray16, data: Uint16Array.of(7000, 7100, 7200, 8000) };
  expect(describeCounts(few)?.raw).toBe(true);
  expect(describeCounts(gray16)?.raw).toBe(false);
  expect(describeCounts(rgb)).toBeNull();
  expect(describeCounts(few)?.histogram.reduce((sum, count) => sum + count)).toBe(4);
});

test("the content decides about the format", () => {
  expect(formatOf(Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10))).toBe("png");
  expect(formatOf(Uint8Array.of(0x4d, 0x4d, 0, 0x2a, 0, 0, 0, 8))).toBe("tiff");
  expect(formatOf(new TextEncoder().encode("hello world!"))).toBeNull();
});

test("16-bit PNG is decoded without loss", async () => {
  const file = new Blob([
    encode({ ...gray16, data: gray16.data as Uint16Array, depth: 16 }) as Uint8Array<ArrayBuffer>,
  ]);
  const decoded = await decode(file);
  expect(decoded.data).toEqual(gray16.data);
});

test("1-bit PNG becomes black and white", async () => {
  const packed = { width: 3, height: 2, channels: 1, depth: 1 as const, data: Uint8Array.of(0b10100000, 0b01000000) };
  const decoded = await decode(new Blob([encode(packed) as Uint8Array<ArrayBuffer>]));
  expect([...decoded.data]).toEqual([255, 0, 255, 0, 255, 0]);
});

test("empty files and files that are no images are refused with advice", async () => {
  await expect(decode(new Blob([]))).rejects.toThrow("empty");
  await expect(decode(new Blob(["no image at all"]))).rejects.toBeInstanceOf(InputError);
});

test("EXIF data is removed from a JPEG, everything else stays", () => {
  const jpeg = Uint8Array.of(0xff, 0xd8, 0xff, 0xe1, 0, 4, 1, 2, 0xff, 0xdb, 0, 3, 9, 0xff, 0xda, 0, 2, 7, 0xff, 0xd9);
  expect([...withoutExif(jpeg)]).toEqual([0xff, 0xd8, 0xff, 0xdb, 0, 3, 9, 0xff, 0xda, 0, 2, 7, 0xff, 0xd9]);
});
