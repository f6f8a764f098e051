/** Fuse what two video elements show, one frame after the other. */

import type { Engine } from "../engine/protocol";
import type { ColorMode } from "../image/color";
import type { Alignment } from "../image/transform";

export interface LiveOptions {
  readonly model: string;
  readonly color: ColorMode;
  readonly inverted: boolean;
  readonly alignment: Alignment;
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
export function workingSize(
  video: { videoWidth: number; videoHeight: number },
  width: number,
): { width: number; height: number } {
  const scale = Math.min(1, width / video.videoWidth);
  return {
    width: Math.max(1, Math.round(video.videoWidth * scale)),
    height: Math.max(1, Math.round(video.videoHeight * scale)),
  };
}

/** Runs until `stop`. `options` is asked before every frame, `shown` told after it how many frames a second were fused. */
export class LiveLoop {
  private stopped = false;
  private last = "";
  private readonly times: number[] = [];

  constructor(
    private readonly engine: Engine,
    private readonly a: HTMLVideoElement,
    private readonly b: HTMLVideoElement,
    private readonly canvases: Canvases,
    private readonly options: () => LiveOptions,
    private readonly shown: (framesPerSecond: number) => void,
  ) {}

  async run(): Promise<void> {
    while (!this.stopped) {
      await new Promise(requestAnimationFrame);
      const options = this.options();
      const state = `${this.b.currentTime} ${this.a.currentTime} ${JSON.stringify(options)}`;
      const playable = this.a.readyState >= 2 && this.b.readyState >= 2;
      if (this.stopped || !playable || state === this.last) continue;
      this.last = state;
      await this.fuse(options);
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
    const { width, height } = workingSize(this.b, options.width);
    const b = grab(this.canvases.b, width, height, (context) => context.drawImage(this.b, 0, 0, width, height));
    const a = grab(this.canvases.a, width, height, (context) => {
      context.drawImage(this.b, 0, 0, width, height); // shown where A has no data
      const { dx, dy, scale } = options.alignment;
      const fit = Math.min(width / this.a.videoWidth, height / this.a.videoHeight) * scale;
      const [w, h, k] = [this.a.videoWidth * fit, this.a.videoHeight * fit, width / this.b.videoWidth];
      context.drawImage(this.a, (width - w) / 2 + dx * k, (height - h) / 2 + dy * k, w, h);
    });
    const { fused, weight } = await this.engine.frame({ ...options, a, b });
    if (this.stopped) return;
    put(this.canvases.fused, fused);
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

function grab(
  canvas: HTMLCanvasElement,
  width: number,
  height: number,
  paint: (context: CanvasRenderingContext2D) => void,
): ImageData {
  resize(canvas, width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  paint(context);
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
