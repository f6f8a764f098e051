/** The studio's server, as the page sees it. */

export type Kind = "images" | "folders" | "videos" | "volumes";
export type State = "new" | "waiting" | "running" | "done" | "failed" | "canceled";
export type Slot = "a" | "b" | "transform";

/** The options of a job; the server knows their meaning and their defaults. */
export interface Options {
  weights: string;
  backend: string;
  color: string;
  range: string;
  polarity: string;
  align: boolean;
  transform_type: string;
  metrics: boolean;
  frame_stride: number;
  window: string;
  volume_range: string;
  suv_range: string;
  colormap: string | null;
  grid: string | null;
  modality_a: string;
  modality_b: string;
  dicom: boolean;
  anonymize: boolean;
}

export interface Metric {
  readonly key: string;
  readonly value: number | null;
  readonly best: string;
  readonly summary: string;
  readonly group: "common" | "diagnostics";
}

export interface Confidence {
  readonly type: string;
  readonly moved: number;
  readonly error: number;
  readonly overlap: number;
  readonly before: number;
  readonly after: number;
  readonly lead: number;
}

export interface Geometry {
  readonly spacing: readonly [number, number, number];
  readonly edges: Readonly<Record<"top" | "bottom" | "left" | "right", string>>;
  readonly ends: { readonly first: string; readonly last: string };
}

/** What a job made: each kind fills in its own part. */
export interface Result {
  readonly files?: readonly { readonly name: string; readonly size: number }[];
  readonly warnings?: readonly string[];
  readonly sizes?: readonly [readonly [number, number], readonly [number, number]];
  readonly views?: Readonly<Record<string, string>>;
  readonly alignment?: Confidence | null;
  readonly metrics?: readonly Metric[];
  readonly fused?: readonly string[];
  readonly failed?: Readonly<Record<string, string>>;
  readonly unpaired?: readonly string[];
  readonly ranges?: readonly (readonly [number, number])[];
  readonly video?: string | null;
  readonly frames?: number;
  readonly seconds?: number;
  readonly damaged?: readonly string[];
  readonly note?: string;
  readonly failure?: string;
  readonly slices?: number;
  readonly geometry?: Geometry;
  readonly messages?: readonly string[];
}

export interface Job {
  readonly id: string;
  readonly kind: Kind;
  readonly created: number;
  readonly runs: number;
  readonly state: State;
  readonly options: Options;
  readonly sources: Readonly<Record<Slot, readonly string[]>>;
  readonly counts: Readonly<Record<Slot, number>>;
  readonly done: number;
  readonly total: number | null;
  readonly message: string;
  readonly result: Result;
  readonly ahead: number;
}

export interface Info {
  readonly version: string;
  readonly weights: readonly { readonly name: string; readonly use: string }[];
  readonly available: Readonly<Record<"volumes" | "videos" | "onnxruntime" | "openvino", boolean>>;
  readonly limits: { readonly upload: number; readonly files: number; readonly hours: number };
}

/** Something that the server refused, or that kept it from answering; the message is for the user. */
export class StudioError extends Error {}

/** The server did not answer at all. */
export class Unreachable extends StudioError {}

async function ask(path: string, request: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(`./api/${path}`, request);
  } catch {
    throw new Unreachable("The studio does not answer. Check that `refinefuse studio` is still running.");
  }
  if (response.ok) return response;
  const text = await response.text();
  let message = text;
  try {
    message = (JSON.parse(text) as { message: string }).message;
  } catch {
    // plain text
  }
  throw new StudioError(message || `The studio answered with status ${response.status}.`);
}

async function json<T>(path: string, request: RequestInit = {}): Promise<T> {
  return (await (await ask(path, request)).json()) as T;
}

export const api = {
  info: () => json<Info>("info"),
  jobs: () => json<Job[]>("jobs"),
  create: (kind: Kind) => json<Job>(`jobs?kind=${kind}`, { method: "POST" }),
  show: (id: string) => json<Job>(`jobs/${id}`),
  remove: (id: string) => ask(`jobs/${id}`, { method: "DELETE" }),
  upload: (id: string, slot: Slot, file: File) =>
    ask(`jobs/${id}/files/${slot}?name=${encodeURIComponent(file.name)}`, { method: "PUT", body: file }),
  clear: (id: string, slot: Slot) => ask(`jobs/${id}/files/${slot}`, { method: "DELETE" }),
  swap: (id: string) => ask(`jobs/${id}/swap`, { method: "POST" }),
  start: (id: string, options: Options) =>
    json<Job>(`jobs/${id}/start`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(options),
    }),
  cancel: (id: string) => json<Job>(`jobs/${id}/cancel`, { method: "POST" }),
};

/** Where a result of a job is downloaded from. */
export function fileUrl(job: Job, index: number): string {
  return `./api/jobs/${job.id}/files/${index}?run=${job.runs}`;
}

/** One of the images that are shown of a result. */
export async function loadImage(job: Job, path: string): Promise<Blob> {
  return (await ask(`jobs/${job.id}/${path}?run=${job.runs}`)).blob();
}
