/** The network, computed by onnxruntime-web. */

import * as ort from "onnxruntime-web/wasm";
import { cut, place, tilesOf } from "./tiling";
import { gridStatistics } from "./statistics";

/** What tiling must know of a network: an entry of `models.json`. */
export interface ModelInfo {
  readonly name: string;
  readonly title: string;
  readonly file: string;
  readonly halo: number;
  readonly stride: number;
  readonly cells: number;
}

export interface Prediction {
  readonly fused: Float32Array;
  readonly weightMap: Float32Array;
}

/** Make the runtime ready: its program, and the script that starts it, both from memory. */
export function configureRuntime(program: ArrayBuffer, script: string, threads: number): void {
  ort.env.wasm.wasmBinary = program;
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([script], { type: "text/javascript" })) };
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
}

export class Network {
  private constructor(
    private readonly session: ort.InferenceSession,
    private readonly info: ModelInfo,
  ) {}

  static async load(graph: Uint8Array, info: ModelInfo): Promise<Network> {
    return new Network(await ort.InferenceSession.create(graph, { executionProviders: ["wasm"] }), info);
  }

  /**
   * Fuse two lumas in [0, 1], tile by tile where they are large.
   *
   * @param proceed called before each tile with the fraction done; it may throw to stop.
   */
  async predict(
    a: Float32Array,
    b: Float32Array,
    width: number,
    height: number,
    proceed: (done: number) => void | Promise<void> = () => undefined,
  ): Promise<Prediction> {
    const { halo, stride, cells } = this.info;
    const statistics = [a, b].map(
      (luma) => new ort.Tensor("float32", gridStatistics(luma, width, height, cells), [1, 2, cells, cells]),
    );
    const tiles = tilesOf(width, height, halo, stride);
    const result = { fused: new Float32Array(a.length), weightMap: new Float32Array(a.length) };
    for (const [index, tile] of tiles.entries()) {
      await proceed(index / tiles.length);
      const size = [1, 1, tile.padded.height, tile.padded.width];
      const [ofA, ofB] = [a, b].map((luma) => new ort.Tensor("float32", cut(luma, width, tile.padded), size));
      const outputs = await this.session.run({ a: ofA, b: ofB, stats_a: statistics[0], stats_b: statistics[1] });
      place(result.fused, width, outputs["fused"].data as Float32Array, tile);
      place(result.weightMap, width, outputs["weight_map"].data as Float32Array, tile);
    }
    return result;
  }
}
