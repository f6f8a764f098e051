/** The network, computed by onnxruntime-web: by the CPU in WebAssembly, and by the GPU in WebGPU where there is one. */

import * as ort from "onnxruntime-web/jspi";
import { gridStatistics } from "./statistics";
import { cut, place, tilesOf } from "./tiling";

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
  readonly device: Device;
}

export type Device = "cpu" | "gpu";

type Tensors = Record<string, ort.Tensor>;

const TOLERANCE = 1 / 510; // half a level of 8-bit images

/** Make the runtime ready: its program, and the script that starts it, both from memory. */
export function configureRuntime(program: ArrayBuffer, script: string, threads: number): void {
  ort.env.wasm.wasmBinary = program;
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([script], { type: "text/javascript" })) };
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
}

let last: Promise<unknown> = Promise.resolve();

/** Calls into the runtime one at a time: while a GPU computes, it may not be entered again. */
function exclusive<T>(call: () => Promise<T>): Promise<T> {
  const done = last.then(call);
  last = done.catch(() => undefined);
  return done;
}

/** The graphs are optimized when they are exported, which takes a browser a second. */
function openSession(graph: Uint8Array, provider: "wasm" | "webgpu"): Promise<ort.InferenceSession> {
  const options = { executionProviders: [provider], graphOptimizationLevel: "disabled" } as const;
  return exclusive(() => ort.InferenceSession.create(graph, options));
}

export class Network {
  private gpu: ort.InferenceSession | null = null;

  /** @param graph what the GPU shall compute as well; null where there is none. */
  private constructor(
    private readonly cpu: ort.InferenceSession,
    private readonly info: ModelInfo,
    private graph: Uint8Array | null,
  ) {}

  static async load(graph: Uint8Array, info: ModelInfo, gpu: boolean): Promise<Network> {
    return new Network(await openSession(graph, "wasm"), info, gpu ? graph : null);
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
    const [fused, weightMap] = [new Float32Array(a.length), new Float32Array(a.length)];
    for (const [index, tile] of tiles.entries()) {
      await proceed(index / tiles.length);
      const size = [1, 1, tile.padded.height, tile.padded.width];
      const [ofA, ofB] = [a, b].map((luma) => new ort.Tensor("float32", cut(luma, width, tile.padded), size));
      const outputs = await this.run({ a: ofA, b: ofB, stats_a: statistics[0], stats_b: statistics[1] });
      place(fused, width, outputs["fused"].data as Float32Array, tile);
      place(weightMap, width, outputs["weight_map"].data as Float32Array, tile);
    }
    return { fused, weightMap, device: this.gpu ? "gpu" : "cpu" };
  }

  /** On the GPU as far as it can; otherwise on the CPU, after which the GPU has its chance. */
  private async run(inputs: Tensors): Promise<Tensors> {
    const { gpu } = this;
    if (gpu) {
      try {
        return await exclusive(() => gpu.run(inputs));
      } catch (error) {
        console.warn("The GPU failed, the CPU goes on.", error);
        this.gpu = null;
      }
    }
    const outputs = await exclusive(() => this.cpu.run(inputs));
    void this.tryGpu(inputs, outputs);
    return outputs;
  }

  /** Hand over to the GPU, which starts slowly and sometimes computes wrongly: once it has given the values of the CPU. */
  private async tryGpu(inputs: Tensors, expected: Tensors): Promise<void> {
    const { graph } = this;
    if (!graph) return;
    this.graph = null;
    try {
      const gpu = await openSession(graph, "webgpu");
      const outputs = await exclusive(() => gpu.run(inputs));
      const off = Object.keys(expected).find((name) => differ(outputs[name], expected[name]));
      if (off) throw new Error(`${off} differs from what the CPU computes`);
      this.gpu = gpu;
    } catch (error) {
      console.warn("The GPU is not used.", error);
    }
  }
}

function differ({ data }: ort.Tensor, expected: ort.Tensor): boolean {
  const values = expected.data as Float32Array;
  return !values.every((value, index) => Math.abs(value - (data as Float32Array)[index]) <= TOLERANCE);
}
