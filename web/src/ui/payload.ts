/** What the build put into the page: runtime, networks and sample pairs. */

import type { Setup } from "../engine/protocol";
import { unpack } from "../engine/unpack";
import type { ModelInfo } from "../network/network";

const MOST_THREADS = 4; // more bring little for a network of this size

function text(name: string): string {
  const found = document.querySelector(`script[data-payload="${name}"]`)?.textContent;
  if (!found) throw new Error(`This copy of the page is incomplete: '${name}' is missing. Download it again.`);
  return found;
}

export function models(): ModelInfo[] {
  return JSON.parse(text("models")) as ModelInfo[];
}

/** Threads need shared memory, which browsers grant only to isolated pages. */
export function threadCount(): number {
  const asked = Number(new URLSearchParams(location.search).get("threads"));
  if (!globalThis.crossOriginIsolated) return 1;
  return asked > 0 ? asked : Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1);
}

/** Whether a GPU can compute. `?gpu=0` leaves it alone, `?gpu=1` takes a software one as well. */
async function findGpu(): Promise<boolean> {
  const asked = new URLSearchParams(location.search).get("gpu");
  if (asked === "0" || !navigator.gpu || !("Suspending" in WebAssembly)) return false;
  const adapter = await navigator.gpu.requestAdapter();
  return adapter !== null && (asked === "1" || !adapter.info.isFallbackAdapter);
}

export async function setup(): Promise<Setup> {
  const known = models();
  const gpu = await findGpu();
  const runtime = gpu ? "runtime-gpu" : "runtime";
  return {
    program: text(`${runtime}.wasm`),
    script: new TextDecoder().decode(await unpack(text(`${runtime}.mjs`))),
    threads: threadCount(),
    gpu,
    models: known,
    graphs: Object.fromEntries(known.map(({ name }) => [name, text(name)])),
  };
}

/** One of the rendered sample pairs, infrared first. */
export async function samplePair(name: string): Promise<[File, File]> {
  const read = async (kind: string) =>
    new File([await unpack(text(`${kind}/${name}.png`))], `${name}_${kind}.png`, { type: "image/png" });
  return [await read("ir"), await read("vi")];
}
