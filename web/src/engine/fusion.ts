/** The engine behind the page: holds the sources and the last result, and fuses. */

import { encode as encodePng } from "fast-png";
import { fromLuma, grayImage, looksSwapped, overlay, type Planes, type Result, toPlanes, toRgba } from "../image/color";
import { describeCounts, percentileRange } from "../image/counts";
import { decode } from "../image/decode";
import { type Depth, depthOf, InputError, type Picture, whiteLevel } from "../image/picture";
import { findShift } from "../image/shift";
import { handTransform, type Transform, warp } from "../image/transform";
import { configureRuntime, Network, type Prediction } from "../network/network";
import type { Engine, Frame, Fused, FusedFrame, FuseOptions, Layer, Setup, Slot, SourceInfo } from "./protocol";
import { unpack } from "./unpack";

class Superseded extends Error {}

interface LastResult extends Prediction {
  readonly a: Planes;
  readonly b: Planes;
  readonly options: FuseOptions;
}

export class Fusion implements Engine {
  private readonly sources: Partial<Record<Slot, Picture>> = {};
  private readonly networks = new Map<string, Promise<Network>>();
  private setup: Setup | null = null;
  private last: LastResult | null = null;
  private ticket = 0;

  /** @param report is told the fraction done of the fusion that runs. */
  constructor(private readonly report: (done: number) => void) {}

  async setUp(setup: Setup): Promise<void> {
    const program = await unpack(setup.program);
    configureRuntime(program.buffer, setup.script, setup.threads);
    this.setup = setup;
    await this.network(setup.models[0].name);
  }

  async load({ slot, file }: { slot: Slot; file: Blob }): Promise<SourceInfo> {
    delete this.sources[slot];
    const picture = await decode(file);
    this.sources[slot] = picture;
    const { width, height, channels } = picture;
    return { width, height, depth: depthOf(picture), colored: channels >= 3, counts: describeCounts(picture) };
  }

  async swap(): Promise<void> {
    const { a, b } = this.sources;
    if (a && b) Object.assign(this.sources, { a: b, b: a });
  }

  async fuse(options: FuseOptions): Promise<Fused | null> {
    const ticket = ++this.ticket;
    const start = performance.now();
    const { a, b, transform } = this.prepare(options);
    const network = await this.network(options.model);
    const proceed = async (done: number) => {
      this.report(done);
      await new Promise((resolve) => setTimeout(resolve)); // lets newer requests in
      if (ticket !== this.ticket) throw new Superseded();
    };
    try {
      const prediction = await network.predict(a.luma, b.luma, b.width, b.height, proceed);
      if (ticket !== this.ticket) return null;
      this.last = { ...prediction, a, b, options };
      const milliseconds = performance.now() - start;
      const layers = await this.layers(this.last);
      const { width, height } = b;
      const swapped = looksSwapped(a, b);
      const { device } = prediction;
      return { width, height, depth: this.depth(), layers, transform, swapped, milliseconds, device };
    } catch (error) {
      if (error instanceof Superseded) return null;
      throw error;
    }
  }

  async shift(): Promise<{ dx: number; dy: number } | null> {
    const { a, b } = this.result();
    return findShift(a, b);
  }

  async encode({ what, depth }: { what: "fused" | "weight"; depth: Depth }): Promise<Blob> {
    const result = what === "fused" ? this.fusedImage(this.result(), depth) : this.weightImage(this.result(), depth);
    return new Blob([encodePng({ ...result, depth }) as Uint8Array<ArrayBuffer>], { type: "image/png" });
  }

  async frame({ model, color, inverted, transform, ...images }: Frame): Promise<FusedFrame> {
    const b = toPlanes(opaque(images.b));
    const own = { ...toPlanes(opaque(images.a), null, inverted), chroma: null };
    const a = transform ? warp(own, b, transform) : own;
    const { fused, weightMap } = await (await this.network(model)).predict(a.luma, b.luma, b.width, b.height);
    return {
      a: toRgba(grayImage(a.luma, b.width, b.height, 8)),
      fused: toRgba(fromLuma(fused, a, b, color, 8)),
      weight: toRgba(grayImage(weightMap, b.width, b.height, 8)),
    };
  }

  /** Both sources as planes on the grid of B. */
  private prepare(options: FuseOptions): { a: Planes; b: Planes; transform: Transform | null } {
    const { a, b } = this.sources;
    if (!a || !b) throw new InputError("Two images are needed.", "Choose an infrared and a visible image.");
    const planes = toPlanes(a, options.range, options.inverted);
    const fixed = toPlanes(b, whiteLevel(b) === null ? percentileRange(b.data, 1, 99) : null);
    const transform = "matrix" in options.align ? options.align : handTransform(a, b, options.align);
    return { a: transform ? warp(planes, fixed, transform) : planes, b: fixed, transform };
  }

  private network(name: string): Promise<Network> {
    const known = this.networks.get(name);
    if (known) return known;
    const info = this.setup?.models.find((model) => model.name === name);
    if (!this.setup || !info) throw new Error(`The network ${name} is not part of this page`);
    const { graphs, gpu } = this.setup;
    const loading = unpack(graphs[name]).then((graph) => Network.load(graph, info, gpu));
    this.networks.set(name, loading);
    return loading;
  }

  private async layers(last: LastResult): Promise<Fused["layers"]> {
    const { a, b, options } = last;
    const images: Record<Layer, ImageData> = {
      fused: toRgba(this.fusedImage(last, 8)),
      a: toRgba(fromLuma(a.luma, a, a, "b", 8)),
      b: toRgba(fromLuma(b.luma, b, b, options.color, 8)),
      weight: toRgba(this.weightImage(last, 8)),
      overlay: overlay(a.luma, b.luma, b.width, b.height),
    };
    const bitmaps = Object.entries(images).map(async ([name, image]) => [name, await createImageBitmap(image)]);
    return Object.fromEntries(await Promise.all(bitmaps)) as Fused["layers"];
  }

  private depth(): Depth {
    return Math.max(...Object.values(this.sources).map(depthOf)) as Depth;
  }

  private result(): LastResult {
    if (!this.last) throw new InputError("There is no result to save yet.", "Fuse two images first.");
    return this.last;
  }

  private fusedImage({ fused, a, b, options }: LastResult, depth: Depth): Result {
    return fromLuma(fused, a, b, options.color, depth);
  }

  private weightImage({ weightMap, b }: LastResult, depth: Depth): Result {
    return grayImage(weightMap, b.width, b.height, depth);
  }
}

/** The colors of a canvas, without its alpha. */
function opaque({ width, height, data }: ImageData): Picture {
  const rgb = new Uint8Array(3 * width * height);
  for (let i = 0, k = 0; i < data.length; i += 4) {
    rgb[k++] = data[i];
    rgb[k++] = data[i + 1];
    rgb[k++] = data[i + 2];
  }
  return { width, height, channels: 3, data: rgb };
}
