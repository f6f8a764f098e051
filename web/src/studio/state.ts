/** What the studio shows: signals, and the actions that change them. The jobs themselves live in the server. */

import { batch, computed, effect, signal } from "@preact/signals";
import { type Alignment, CENTERED, handTransform, writeTransform } from "../image/transform";
import { api, type Info, type Job, type Kind, type Options, type Slot, Unreachable } from "./api";
import { keepSession } from "./session";

export type AlignmentChoice = "none" | "automatic" | "hand" | "saved";

const DEFAULTS: Options = {
  weights: "",
  backend: "auto",
  color: "b",
  range: "",
  polarity: "auto",
  align: false,
  transform_type: "similarity",
  metrics: true,
  frame_stride: 1,
  window: "",
  volume_range: "",
  suv_range: "",
  colormap: null,
  grid: null,
  modality_a: "",
  modality_b: "",
  dicom: false,
  anonymize: true,
};
const KINDS: readonly Kind[] = ["images", "folders", "videos", "volumes"];
const POLL = 400; // milliseconds between looks at jobs that run
const RETRY = 2000; // milliseconds, where the server does not answer

const asked = location.hash.slice(1) as Kind;
export const kind = signal<Kind>(KINDS.includes(asked) ? asked : "images");
export const info = signal<Info | null>(null);
export const jobs = signal<readonly Job[]>([]);
export const chosen = signal<Partial<Record<Kind, string>>>({});
export const options = signal<Options>(DEFAULTS);
export const alignmentChoice = signal<AlignmentChoice>("none");
export const alignment = signal<Alignment>(CENTERED);
export const problem = signal<string | null>(null);
export const uploading = signal<string | null>(null);
export const unreachable = signal(false);

/** The job that is shown: of each kind the one that was opened, else the newest. */
export const current = computed(() => {
  const own = jobs.value.filter((job) => job.kind === kind.value);
  return own.find(({ id }) => id === chosen.value[kind.value]) ?? null;
});

export function isActive({ state }: Job): boolean {
  return state === "waiting" || state === "running";
}

export function isComplete({ counts }: Job): boolean {
  return counts.a > 0 && counts.b > 0;
}

/** Do something with the server, and show what went wrong. */
export async function attempt(action: () => Promise<void>): Promise<void> {
  problem.value = null;
  try {
    await action();
    unreachable.value = false;
  } catch (error) {
    unreachable.value = error instanceof Unreachable;
    problem.value = error instanceof Error ? error.message : String(error);
  }
}

/** Show the studio as it was when the page was closed: what ran goes on running. */
export async function start(): Promise<void> {
  await attempt(async () => {
    await keepSession().catch(() => undefined); // private windows have no files: the cookie alone then
    info.value = await api.info();
    jobs.value = await api.jobs();
    for (const job of [...jobs.value].reverse()) chosen.value = { ...chosen.value, [job.kind]: job.id };
    const active = jobs.value.find(isActive);
    if (active && !asked) kind.value = active.kind;
    if (current.value) adopt(current.value);
  });
  effect(() => history.replaceState(null, "", `#${kind.value}`));
  void poll();
}

async function poll(): Promise<void> {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, unreachable.value ? RETRY : POLL));
    if (!unreachable.value && !jobs.value.some(isActive)) continue;
    try {
      jobs.value = await api.jobs();
      info.value ??= await api.info();
      if (unreachable.value) problem.value = null;
      unreachable.value = false;
    } catch (error) {
      unreachable.value = error instanceof Unreachable;
      problem.value = error instanceof Error ? error.message : String(error);
    }
  }
}

/** Show a job with the options that it was started with. */
export function open(job: Job): void {
  batch(() => {
    kind.value = job.kind;
    chosen.value = { ...chosen.value, [job.kind]: job.id };
    adopt(job);
  });
}

function adopt(job: Job): void {
  options.value = job.options;
  alignmentChoice.value = job.options.align ? "automatic" : job.counts.transform > 0 ? "saved" : "none";
}

export function choose(next: Kind): void {
  batch(() => {
    kind.value = next;
    problem.value = null;
    if (current.value) adopt(current.value);
  });
}

/** Begin anew, without files. What was shown stays in the list of jobs. */
export function renew(): void {
  batch(() => {
    const { [kind.value]: _, ...others } = chosen.value;
    chosen.value = others;
    alignmentChoice.value = "none";
    alignment.value = CENTERED;
  });
}

async function refresh(id: string): Promise<Job> {
  const job = await api.show(id);
  jobs.value = jobs.value.some((one) => one.id === id)
    ? jobs.value.map((one) => (one.id === id ? job : one))
    : [job, ...jobs.value];
  return job;
}

/** The job that files are added to. */
async function ensured(): Promise<Job> {
  if (current.value) return current.value;
  const job = await api.create(kind.value);
  batch(() => {
    jobs.value = [job, ...jobs.value];
    chosen.value = { ...chosen.value, [job.kind]: job.id };
  });
  return job;
}

/** Replace the files of a slot. */
export async function load(slot: Slot, files: readonly File[]): Promise<void> {
  if (files.length === 0) return;
  await attempt(async () => {
    const job = await ensured();
    try {
      await api.clear(job.id, slot);
      for (const [index, file] of files.entries()) {
        uploading.value = files.length === 1 ? file.name : `${file.name} (${index + 1} of ${files.length})`;
        await api.upload(job.id, slot, file);
      }
    } finally {
      uploading.value = null;
      await refresh(job.id);
    }
    await fuseAtOnce();
  });
}

export async function swap(): Promise<void> {
  await attempt(async () => {
    if (!current.value) return;
    await api.swap(current.value.id);
    await refresh(current.value.id);
    await fuseAtOnce();
  });
}

/** Change options. Images are fused anew at once, other jobs when they are started. */
export function change(part: Partial<Options>): void {
  options.value = { ...options.value, ...part };
  void attempt(fuseAtOnce);
}

export function align(choice: AlignmentChoice, by: Alignment = alignment.value): void {
  batch(() => {
    alignmentChoice.value = choice;
    alignment.value = by;
    options.value = { ...options.value, align: choice === "automatic" };
  });
  void attempt(async () => {
    const job = current.value;
    if (!job) return;
    if (choice !== "saved" && job.counts.transform > 0) {
      await api.clear(job.id, "transform");
      await refresh(job.id);
    }
    await fuseAtOnce();
  });
}

async function fuseAtOnce(): Promise<void> {
  if (kind.value === "images" && current.value && isComplete(current.value)) await run();
}

async function run(): Promise<void> {
  const job = current.value;
  if (!job) return;
  if (job.kind === "images" && alignmentChoice.value === "hand" && job.result.sizes) {
    const [moving, fixed] = job.result.sizes.map(([height, width]) => ({ height, width }));
    const transform = handTransform(moving, fixed, alignment.value);
    await api.clear(job.id, "transform");
    if (transform) await api.upload(job.id, "transform", new File([writeTransform(transform)], "transform.json"));
  }
  await api.start(job.id, options.value);
  await refresh(job.id);
}

export const fuse = () => attempt(run);

export const cancel = () =>
  attempt(async () => {
    if (!current.value) return;
    await api.cancel(current.value.id);
    await refresh(current.value.id);
  });

export const remove = (job: Job) =>
  attempt(async () => {
    await api.remove(job.id);
    jobs.value = jobs.value.filter(({ id }) => id !== job.id);
  });
