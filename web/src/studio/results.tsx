import { useEffect, useState } from "preact/hooks";
import type { Layer } from "../engine/protocol";
import { type Layers, Viewer } from "../ui/viewer";
import { type Confidence, fileUrl, type Job, loadImage, type Metric } from "./api";
import { attempt } from "./state";

const LAYERS: readonly Layer[] = ["fused", "a", "b", "weight", "overlay"];

/** A fused image in the viewer, with its metrics. */
export function ImageResult({ job }: { job: Job }) {
  const { views, alignment, metrics } = job.result;
  const [layers, setLayers] = useState<Layers | null>(null);
  useEffect(() => {
    if (!views) return;
    let stale = false;
    void attempt(async () => {
      const load = async (layer: Layer) =>
        [layer, await createImageBitmap(await loadImage(job, `views/${layer}`))] as const;
      const loaded = Object.fromEntries(await Promise.all(LAYERS.map(load)));
      if (!stale) setLayers(loaded);
    });
    return () => {
      stale = true;
    };
  }, [job.id, job.runs, Boolean(views)]);
  const fused = layers?.fused;
  return (
    <>
      {fused && <Viewer width={fused.width} height={fused.height} layers={layers} version={layers} />}
      <Downloads job={job} />
      {alignment && <AlignmentReport found={alignment} />}
      {metrics && <Metrics rows={metrics} />}
    </>
  );
}

const LABELS: readonly (readonly [RegExp, string])[] = [
  [/weight_map/, "Weight map"],
  [/^transform/, "Transform"],
  [/\.zip$/, "All results (zip)"],
  [/\.nii\.gz$/, "Fused volume"],
  [/\.mp4$/, "Fused video"],
  [/./, "Fused image"],
];

export function Downloads({ job }: { job: Job }) {
  return (
    <div class="row downloads">
      {job.result.files?.map(({ name, size }, index) => (
        <a key={name} class={`button ${index === 0 ? "primary" : ""}`} href={fileUrl(job, index)} download>
          {LABELS.find(([pattern]) => pattern.test(name))![1]}, {bytes(size)}
        </a>
      ))}
    </div>
  );
}

function bytes(size: number): string {
  return size < 1e6 ? `${Math.max(1, Math.round(size / 1e3))} KB` : `${(size / 1e6).toFixed(1)} MB`;
}

function AlignmentReport({ found }: { found: Confidence }) {
  return (
    <section class="panel" aria-label="Alignment">
      <h2>Alignment</h2>
      <p>
        A was moved by up to {found.moved} pixels, and the edges agree{" "}
        {found.after > found.before ? "better than before" : "as before"} (score {found.before} before, {found.after}{" "}
        after). Two halves of the image agree about the corners within {found.error} pixels, no other position fits
        nearly as well (by a factor of {found.lead}), and A covers {Math.round(100 * found.overlap)} % of B.
      </p>
    </section>
  );
}

const GROUPS: Record<Metric["group"], string> = { common: "Common metrics", diagnostics: "Diagnostics" };

function Metrics({ rows }: { rows: readonly Metric[] }) {
  if (rows.length === 0)
    return <p class="hint">The image is too large to be evaluated here: use `refinefuse score`.</p>;
  return (
    <div class="metrics">
      {(Object.keys(GROUPS) as Metric["group"][]).map((group) => (
        <table key={group}>
          <caption>{GROUPS[group]}</caption>
          <tbody>
            {rows
              .filter((row) => row.group === group)
              .map(({ key, value, best, summary }) => (
                <tr key={key} title={summary}>
                  <th scope="row">{key.replaceAll("_", " ")}</th>
                  <td>{value === null ? "too small" : value.toPrecision(4)}</td>
                  <td class="details">{best}</td>
                </tr>
              ))}
          </tbody>
        </table>
      ))}
    </div>
  );
}

/** What became of the pairs of two folders. */
export function FolderResult({ job }: { job: Job }) {
  const { fused = [], failed = {}, unpaired = [], ranges = [] } = job.result;
  const failures = Object.entries(failed);
  return (
    <>
      <p>
        {fused.length} {fused.length === 1 ? "pair was" : "pairs were"} fused, {failures.length} failed.
        {ranges.length > 0 && ` Black is ${ranges[0][0]} counts and white ${ranges[0][1]} in every image.`}
      </p>
      <Downloads job={job} />
      {failures.map(([name, message]) => (
        <div class="message error" key={name}>
          <p class="lines">
            <strong>{name}</strong>: {message}
          </p>
        </div>
      ))}
      {unpaired.length > 0 && (
        <p class="message">
          No file of the same name in the other folder: {unpaired.slice(0, 5).join(", ")}
          {unpaired.length > 5 ? ` and ${unpaired.length - 5} more` : ""}.
        </p>
      )}
    </>
  );
}

/** A fused video. */
export function VideoResult({ job }: { job: Job }) {
  const { video, frames = 0, seconds = 0, damaged = [], note, failure } = job.result;
  return (
    <>
      {failure && (
        <div class="message error" role="alert">
          <p class="lines">{failure}</p>
        </div>
      )}
      {video && (
        <video class="result-video" src={fileUrl(job, 0)} controls muted playsInline aria-label="Fused video" />
      )}
      <p>
        {frames} frames in {seconds} s{seconds > 0 ? `, ${(frames / seconds).toFixed(1)} per second` : ""}.{" "}
        {note ? `${note}.` : ""}
      </p>
      {damaged.length > 0 && <p class="message">Damaged frames were left out: {damaged.join(", ")}</p>}
      <Downloads job={job} />
    </>
  );
}
