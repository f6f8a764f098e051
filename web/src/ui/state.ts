/** What the page shows: signals, and the actions that change them. */

import { batch, computed, effect, signal } from "@preact/signals";
import { startEngine } from "../engine/client";
import type { Fused, FuseOptions, Slot, SourceInfo } from "../engine/protocol";
import type { ColorMode } from "../image/color";
import { type Depth, InputError, type IntensityRange } from "../image/picture";
import { type Alignment, CENTERED, readTransform, type Transform, writeTransform } from "../image/transform";
import { models, samplePair, setup, threadCount } from "./payload";
import { shouldSwap } from "./roles";

export type Mode = "images" | "videos" | "cameras";

export interface LoadedSource {
  readonly name: string;
  readonly info: SourceInfo;
}

export interface Problem {
  readonly message: string;
  readonly advice: string;
}

export const mode = signal<Mode>("images");
export const ready = signal(false);
export const sources = signal<Readonly<Record<Slot, LoadedSource | null>>>({ a: null, b: null });
export const color = signal<ColorMode>("b");
export const inverted = signal(false);
export const range = signal<IntensityRange | null>(null);
export const alignment = signal<Alignment>(CENTERED);
export const loadedTransform = signal<{ name: string; transform: Transform } | null>(null);
/** How A lies on B: by the transform that was loaded, or by hand. */
export const align = computed<Alignment | Transform>(() => loadedTransform.value?.transform ?? alignment.value);
export const model = signal(models()[0].name);
export const result = signal<Fused | null>(null);
export const progress = signal<number | null>(null);
/** How far A seems to lie beside B, where it was not moved. */
export const shift = signal<{ dx: number; dy: number } | null>(null);
export const problem = signal<Problem | null>(null);
export const status = signal("Loading the fusion engine…");

export const engine = startEngine((done) => {
  if (progress.value !== null) progress.value = done;
});

/** Things worth knowing about the pair that do not stop it from being fused. */
export const notices = computed(() => {
  const { a, b } = sources.value;
  const found: string[] = [];
  if (a && b && !sameSize(a.info, b.info) && !loadedTransform.value) {
    found.push(
      `The images differ in size (A ${size(a.info)}, B ${size(b.info)}): A is fitted into B. Correct it under Alignment.`,
    );
  }
  if (a?.info.counts?.raw) {
    found.push(
      "A holds raw thermal counts: percentiles 0.1 and 99.9 become black and white. Change this under Thermal range.",
    );
  }
  if (result.value?.swapped) found.push("A is colored and B is gray: the images look swapped. Use Swap A and B.");
  return found;
});

export function size({ width, height }: { width: number; height: number }): string {
  return `${width} × ${height}`;
}

function onThreads(count: number): string {
  return `${count} ${count === 1 ? "thread" : "threads"}`;
}

function sameSize(a: SourceInfo, b: SourceInfo): boolean {
  return a.width === b.width && a.height === b.height;
}

/** Show what went wrong, in place of a result that would be stale. */
export function report(error: unknown): void {
  const known = error instanceof InputError;
  problem.value = {
    message: error instanceof Error ? error.message : String(error),
    advice: known ? error.advice : "Reload the page, or try a current browser.",
  };
}

export async function start(): Promise<void> {
  try {
    await engine.setUp(await setup());
    const { a, b } = sources.value;
    if (!a && !b) status.value = "Ready. Choose an infrared and a visible image.";
    ready.value = true;
  } catch (error) {
    status.value = "The fusion engine did not start.";
    report(error);
  }
}

/** Load one file into a slot; the other one stays. */
export async function load(slot: Slot, file: File): Promise<void> {
  problem.value = null;
  status.value = `Reading ${file.name}…`;
  try {
    const info = await engine.load({ slot, file });
    batch(() => {
      sources.value = { ...sources.value, [slot]: { name: file.name, info } };
      if (slot === "a")
        range.value = info.counts ? (info.counts.raw ? info.counts.percentiles : info.counts.full) : null;
      status.value = `Loaded ${file.name}.`;
    });
  } catch (error) {
    batch(() => {
      sources.value = { ...sources.value, [slot]: null };
      result.value = null;
      status.value = `${file.name} cannot be used.`;
      report(error instanceof InputError ? new InputError(`${file.name}: ${error.message}`, error.advice) : error);
    });
  }
}

/** Load what was dropped: two files are told apart by name and content, one fills the slot that is empty. */
export async function drop(files: readonly File[], slot?: Slot): Promise<void> {
  const transform = files.find((file) => file.name.toLowerCase().endsWith(".json"));
  if (transform) await loadTransform(transform);
  const images = files.filter((file) => file !== transform);
  if (images.length > 2) {
    return report(
      new InputError(`${images.length} files were dropped.`, "Drop two images: one infrared, one visible."),
    );
  }
  if (images.length === 1) return load(slot ?? (sources.value.a && !sources.value.b ? "b" : "a"), images[0]);
  if (images.length === 0) return;
  sources.value = { a: null, b: null };
  await load("a", images[0]);
  if (problem.value) return;
  await load("b", images[1]);
  const { a, b } = sources.value;
  if (a && b && shouldSwap(a, b)) await swap();
}

export async function swap(): Promise<void> {
  await engine.swap();
  const { a, b } = sources.value;
  const counts = b?.info.counts;
  batch(() => {
    sources.value = { a: b, b: a };
    range.value = counts ? (counts.raw ? counts.percentiles : counts.full) : null;
  });
}

export async function openSample(name: string): Promise<void> {
  alignment.value = CENTERED;
  loadedTransform.value = null;
  await drop(await samplePair(name));
}

export async function loadTransform(file: File): Promise<void> {
  problem.value = null;
  try {
    loadedTransform.value = { name: file.name, transform: readTransform(await file.text()) };
  } catch (error) {
    report(error);
  }
}

export function alignByHand(): void {
  problem.value = null;
  loadedTransform.value = null;
}

export function saveTransform(): void {
  const transform = result.value?.transform;
  if (transform) save(new Blob([writeTransform(transform)], { type: "application/json" }), "transform.json");
}

export async function download(what: "fused" | "weight", depth: Depth): Promise<void> {
  try {
    const name = sources.value.b?.name.replace(/\.[^.]*$/, "") ?? "image";
    save(await engine.encode({ what, depth }), `${name}_${what === "fused" ? "fused" : "weight_map"}.png`);
  } catch (error) {
    report(error);
  }
}

/** Hand a file to the browser's downloads. */
export function save(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Fuse anew whenever the sources or an option change. */
export function fuseOnChange(): () => void {
  return effect(() => {
    const { a, b } = sources.value;
    const options: FuseOptions = {
      model: model.value,
      color: color.value,
      range: range.value,
      inverted: inverted.value,
      align: align.value,
    };
    if (a && b && ready.value && mode.value === "images") void fuse(options);
  });
}

/** Move A to where it seems to belong. */
export function alignByShift(): void {
  const found = shift.value;
  if (found) alignment.value = { ...CENTERED, dx: -found.dx, dy: -found.dy };
}

async function fuse(options: FuseOptions): Promise<void> {
  problem.value = null;
  shift.value = null;
  progress.value = 0;
  try {
    const fused = await engine.fuse(options);
    if (!fused) return;
    const where = fused.device === "gpu" ? "the GPU" : onThreads(threadCount());
    batch(() => {
      result.value = fused;
      progress.value = null;
      status.value = `Fused ${size(fused)} in ${(fused.milliseconds / 1000).toFixed(2)} s on ${where}.`;
    });
    const found = fused.transform ? null : await engine.shift();
    if (result.value === fused) shift.value = found;
  } catch (error) {
    batch(() => {
      result.value = null;
      progress.value = null;
      status.value = "The images were not fused.";
      report(error);
    });
  }
}
