/** Fuse what two video elements show, one frame after the other. */

import type { Engine } from "../engine/protocol";
import type { ColorMode } from "../image/color";
import { type Alignment, checkSizes, handTransform, rescaled, type Size, type Transform } from "../image/transform";

export interface LiveOptions {
  readonly model: string;
  readonly color: ColorMode;
  readonly inverted: boolean;
  readonly align: Alignment | Transform;
  /** Longest width that is fused, in pixels. */
  readonly width: number;
}

export interface Canvases {
  readonly fused: HTMLCanvasElement;
  readonly a: HTMLCanvasElement;
  readonly b: HTMLCanvasElement;
  readonly weight: HTMLCanvasElement;
}

const DRIFT = 0.12; // seconds that A may be off B

export function makeCanvases(): Canvases {
  const make = () => document.createElement("canvas");
  return { fused: make(), a: make(), b: make(), weight: make() };
}

/** The size in which a video is fused: not wider than asked, never enlarged. */
export function workingSize(video: Size, width: number): Size {
  const scale = Math.min(1, width / video.width);
  return {
    width: Math.max(1, Math.round(video.width * scale)),
    height: Math.max(1, Math.round(video.height * scale)),
  };
}

/**
 * Runs until `stop`. `options` is asked before every frame, `shown` told after it how many frames a second were fused,
 * `failed` why one was not: the next one then waits for other options.
 */
export class LiveLoop {
  private stopped = false;
  private last = "";
  private refused = "";
  private readonly camera = document.createElement("canvas");
  private readonly times: number[] = [];

  constructor(
    private readonly engine: Engine,
    private readonly a: HTMLVideoElement,
    private readonly b: HTMLVideoElement,
    private readonly canvases: Canvases,
    private readonly options: () => LiveOptions,
    private readonly shown: (framesPerSecond: number) => void,
    private readonly failed: (error: unknown) => void,
  ) {}

  async run(): Promise<void> {
    while (!this.stopped) {
      await new Promise(requestAnimationFrame);
      const options = this.options();
      const asked = JSON.stringify(options);
      const state = `${this.b.currentTime} ${this.a.currentTime} ${asked}`;
      const playable = this.a.readyState >= 2 && this.b.readyState >= 2;
      if (this.stopped || !playable || state === this.last || asked === this.refused) continue;
      this.last = state;
      try {
        await this.fuse(options);
      } catch (error) {
        this.refused = asked;
        this.failed(error);
      }
    }
  }

  stop(): void {
    this.stopped = true;
  }

  /** Let a recorded A follow B. */
  follow(): void {
    if (this.a.srcObject || !Number.isFinite(this.a.duration)) return;
    const target = Math.min(this.b.currentTime, this.a.duration);
    if (Math.abs(this.a.currentTime - target) > DRIFT) this.a.currentTime = target;
    if (this.b.paused !== this.a.paused) void (this.b.paused ? this.a.pause() : this.a.play());
  }

  private async fuse(options: LiveOptions): Promise<void> {
    this.follow();
    const { model, color, inverted, align } = options;
    const a = grab(this.camera, this.a, options.width);
    const b = grab(this.canvases.b, this.b, options.width);
    const transform = frameTransform(align, sizeOf(this.a), sizeOf(this.b), a, b);
    const { fused, weight, a: used } = await this.engine.frame({ model, color, inverted, transform, a, b });
    if (this.stopped) return;
    put(this.canvases.fused, fused);
    put(this.canvases.a, used);
    put(this.canvases.weight, weight);
    this.shown(this.rate());
  }

  private rate(): number {
    this.times.push(performance.now());
    if (this.times.length > 20) this.times.shift();
    const seconds = (this.times[this.times.length - 1] - this.times[0]) / 1000;
    return seconds > 0 ? (this.times.length - 1) / seconds : 0;
  }
}

/** From the frame of B to that of A, both in the size in which they are fused. */
export function frameTransform(
  align: Alignment | Transform,
  sizeA: Size,
  sizeB: Size,
  moving: Size,
  fixed: Size,
): Transform | null {
  if ("matrix" in align) {
    checkSizes(sizeA, sizeB, align);
    return rescaled(align, moving, fixed);
  }
  const scale = fixed.width / sizeB.width;
  return handTransform(moving, fixed, { ...align, dx: scale * align.dx, dy: scale * align.dy });
}

function sizeOf({ videoWidth, videoHeight }: HTMLVideoElement): Size {
  return { width: videoWidth, height: videoHeight };
}

/** What the video shows, not wider than asked. */
function grab(canvas: HTMLCanvasElement, video: HTMLVideoElement, most: number): ImageData {
  const { width, height } = workingSize(sizeOf(video), most);
  resize(canvas, width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.drawImage(video, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

function put(canvas: HTMLCanvasElement, image: ImageData): void {
  resize(canvas, image.width, image.height);
  canvas.getContext("2d")!.putImageData(image, 0, 0);
}

function resize(canvas: HTMLCanvasElement, width: number, height: number): void {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
}
