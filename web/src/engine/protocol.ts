/** What the page and its worker say to each other. */

import type { ColorMode } from "../image/color";
import type { CountsInfo } from "../image/counts";
import type { Depth, IntensityRange } from "../image/picture";
import type { Alignment, Transform } from "../image/transform";
import type { Device, ModelInfo } from "../network/network";

export type Slot = "a" | "b";

export interface Setup {
  /** The runtime's program, gzip in base64, and its script. */
  readonly program: string;
  readonly script: string;
  readonly threads: number;
  /** Whether a GPU shall compute. */
  readonly gpu: boolean;
  readonly models: readonly ModelInfo[];
  /** The networks by name, gzip in base64. */
  readonly graphs: Readonly<Record<string, string>>;
}

export interface SourceInfo {
  readonly width: number;
  readonly height: number;
  readonly depth: Depth;
  readonly colored: boolean;
  readonly counts: CountsInfo | null;
}

export interface FuseOptions {
  readonly model: string;
  readonly color: ColorMode;
  readonly range: IntensityRange | null;
  readonly inverted: boolean;
  readonly align: Alignment | Transform;
}

export type Layer = "fused" | "a" | "b" | "weight" | "overlay";

export interface Fused {
  readonly width: number;
  readonly height: number;
  readonly depth: Depth;
  readonly layers: Readonly<Record<Layer, ImageBitmap>>;
  readonly transform: Transform | null;
  readonly swapped: boolean;
  readonly milliseconds: number;
  readonly device: Device;
}

export interface Frame {
  readonly model: string;
  readonly color: ColorMode;
  readonly inverted: boolean;
  /** From B to A; null where A already lies on B. */
  readonly transform: Transform | null;
  readonly a: ImageData;
  readonly b: ImageData;
}

export interface FusedFrame {
  /** A on the grid of B, as it was fused. */
  readonly a: ImageData;
  readonly fused: ImageData;
  readonly weight: ImageData;
}

/** The worker's methods: every one takes one value and returns another. */
export interface Engine {
  setUp(setup: Setup): Promise<void>;
  load(request: { slot: Slot; file: Blob }): Promise<SourceInfo>;
  swap(): Promise<void>;
  /** Fuse what is loaded; an earlier call that still runs is stopped and answers null. */
  fuse(options: FuseOptions): Promise<Fused | null>;
  /** How far A lies beside B, in pixels of B; null where it lies on B, or where that is not clear. */
  shift(): Promise<{ dx: number; dy: number } | null>;
  encode(request: { what: "fused" | "weight"; depth: Depth }): Promise<Blob>;
  frame(frame: Frame): Promise<FusedFrame>;
}

export type Request = { [K in keyof Engine]: { id: number; method: K; value: Parameters<Engine[K]>[0] } }[keyof Engine];

export type Reply =
  | { readonly id: number; readonly progress: number }
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: { readonly message: string; readonly advice: string } };
