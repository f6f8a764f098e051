/** Files to pixels, exactly as stored: no color management, no rotation by metadata, no loss of depth. */

import { convertIndexedToRgb, decode as decodePngFile } from "fast-png";
import { fromArrayBuffer, type GeoTIFF } from "geotiff";
import { InputError, type Picture, type Samples } from "./picture";

const LARGEST = 100_000_000; // pixels
const EXPORT_AGAIN = "Copy the file again, or export it again as PNG or TIFF.";

export type Format = "png" | "jpeg" | "webp" | "bmp" | "tiff";

/** The format that the first bytes announce; null for everything else. */
export function formatOf(bytes: Uint8Array): Format | null {
  const text = String.fromCharCode(...bytes.subarray(0, 12));
  if (text.startsWith("\x89PNG\r\n\x1a\n")) return "png";
  if (text.startsWith("\xff\xd8\xff")) return "jpeg";
  if (text.startsWith("RIFF") && text.slice(8) === "WEBP") return "webp";
  if (["II*\0", "MM\0*", "II+\0", "MM\0+"].includes(text.slice(0, 4))) return "tiff";
  return text.startsWith("BM") ? "bmp" : null;
}

/** Decode an image file. The content decides about its format, not its name. */
export async function decode(file: Blob): Promise<Picture> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (bytes.length === 0) throw new InputError("The file is empty (0 bytes).", EXPORT_AGAIN);
  const format = formatOf(bytes);
  if (format === null) {
    throw new InputError("The file is not an image.", "Choose a PNG, JPEG, WebP, BMP or TIFF file.");
  }
  try {
    if (format === "png") return decodePng(bytes);
    if (format === "tiff") return await decodeTiff(bytes.buffer);
    return await decodeByBrowser(format === "jpeg" ? withoutExif(bytes) : bytes);
  } catch (error) {
    if (error instanceof InputError) throw error;
    const reason = (error instanceof Error ? error.message : String(error)).replace(/[\s.:]+$/, "");
    throw new InputError(`The ${format.toUpperCase()} file cannot be decoded: ${reason}.`, EXPORT_AGAIN);
  }
}

function checkSize(width: number, height: number): void {
  if (width * height <= LARGEST) return;
  throw new InputError(
    `The image has ${Math.round((width * height) / 1e6)} megapixels; this page handles up to ${LARGEST / 1e6}.`,
    "Use the refinefuse Python package, which fuses images larger than memory.",
  );
}

function decodePng(bytes: Uint8Array): Picture {
  const header = new DataView(bytes.buffer, bytes.byteOffset);
  if (bytes.length >= 24) checkSize(header.getUint32(16), header.getUint32(20));
  const png = decodePngFile(bytes, { checkCrc: true });
  const { width, height, channels, depth } = png;
  if (png.palette) {
    const data = new Uint8Array(convertIndexedToRgb(png));
    return { width, height, channels: data.length / (width * height), data };
  }
  if (png.transparency) {
    throw new InputError(
      "The transparency is a single key color, which is not supported.",
      "Save the image with an alpha channel, or without transparency.",
    );
  }
  const data = depth < 8 ? unpack(png.data as Uint8Array, width, height, depth) : png.data;
  return { width, height, channels, data: data instanceof Uint16Array ? data : new Uint8Array(data) };
}

/** Gray samples of 1, 2 or 4 bits, packed by rows, as 8 bits. */
function unpack(packed: Uint8Array, width: number, height: number, depth: number): Uint8Array {
  const stride = Math.ceil((width * depth) / 8);
  const white = (1 << depth) - 1;
  return Uint8Array.from({ length: width * height }, (_, i) => {
    const bit = (i % width) * depth;
    const byte = packed[Math.floor(i / width) * stride + (bit >> 3)];
    return (((byte >> (8 - depth - (bit & 7))) & white) * 255) / white;
  });
}

/** Gray, RGB and RGBA TIFFs of 8, 16 and 32 bits, integer or float, in strips or tiles. */
async function decodeTiff(buffer: ArrayBufferLike): Promise<Picture> {
  const tiff = await fromArrayBuffer(buffer as ArrayBuffer);
  const image = await tiff.getImage();
  await checkSinglePage(tiff);
  const [width, height, channels] = [image.getWidth(), image.getHeight(), image.getSamplesPerPixel()];
  checkSize(width, height);
  const photometric = Number(image.fileDirectory.getValue("PhotometricInterpretation") ?? 1);
  if (![0, 1, 2].includes(photometric) || channels > 4) {
    throw new InputError(
      `The TIFF file is of a rare kind (photometric interpretation ${photometric}, ${channels} channels).`,
      "Export it as grayscale or RGB.",
    );
  }
  const bytesOfSample = image.getBitsPerSample() / 8;
  if (!tiff.littleEndian && bytesOfSample > 1 && Number(await image.fileDirectory.loadValue("Predictor")) === 2) {
    throw new InputError(
      "The TIFF file stores big-endian differences (predictor 2), which this page cannot read.",
      "Export it again as PNG, or as TIFF without compression.",
    );
  }
  const data = (await image.readRasters({ interleave: true })) as unknown as Samples;
  if (photometric === 0) invert(data);
  return { width, height, channels, data };
}

/** Refuse a file of several images; smaller versions of the first one (a pyramid) are none. */
async function checkSinglePage(tiff: GeoTIFF): Promise<void> {
  if ((await tiff.getImageCount()) === 1) return;
  const second = await tiff.getImage(1);
  const kind = Number((await second.fileDirectory.loadValue("NewSubfileType")) ?? 0);
  if (kind & 1) return;
  throw new InputError("The TIFF file holds several images.", "Choose a file with the one image that you want.");
}

/** Black and white of a TIFF whose white is 0. */
function invert(data: Samples): void {
  const white = data instanceof Uint8Array ? 255 : data instanceof Uint16Array ? 65535 : 0;
  for (let i = 0; i < data.length; i++) data[i] = white - data[i];
}

async function decodeByBrowser(bytes: Uint8Array): Promise<Picture> {
  const bitmap = await createImageBitmap(new Blob([bytes as Uint8Array<ArrayBuffer>]), {
    colorSpaceConversion: "none",
    premultiplyAlpha: "none",
  });
  const { width, height } = bitmap;
  checkSize(width, height);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("no canvas is available");
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return withoutCopies(context.getImageData(0, 0, width, height));
}

/** Without the channels that say nothing: opaque alpha, and three equal colors. */
function withoutCopies({ width, height, data }: ImageData): Picture {
  let [opaque, gray] = [true, true];
  for (let i = 0; i < data.length && (opaque || gray); i += 4) {
    if (data[i + 3] !== 255) opaque = false;
    if (data[i] !== data[i + 1] || data[i] !== data[i + 2]) gray = false;
  }
  const kept = [...(gray ? [0] : [0, 1, 2]), ...(opaque ? [] : [3])];
  const result = new Uint8Array(width * height * kept.length);
  for (let i = 0, k = 0; i < data.length; i += 4) for (const channel of kept) result[k++] = data[i + channel];
  return { width, height, channels: kept.length, data: result };
}

/** A JPEG without its EXIF data, which may ask the browser to rotate it: aligned pairs must stay aligned. */
export function withoutExif(bytes: Uint8Array): Uint8Array {
  const kept = [bytes.subarray(0, 2)];
  let at = 2;
  while (at + 4 <= bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda) {
    const end = at + 2 + ((bytes[at + 2] << 8) | bytes[at + 3]);
    if (bytes[at + 1] !== 0xe1) kept.push(bytes.subarray(at, end));
    at = end;
  }
  kept.push(bytes.subarray(at));
  const result = new Uint8Array(kept.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of kept) {
    result.set(part, offset);
    offset += part.length;
  }
  return result;
}
