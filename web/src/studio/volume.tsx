import { useEffect, useRef, useState } from "preact/hooks";
import type { Layer } from "../engine/protocol";
import type { View } from "../ui/view";
import { type Layers, Viewer } from "../ui/viewer";
import { type Geometry, type Job, loadImage } from "./api";
import { Downloads } from "./results";
import { attempt } from "./state";

const LAYERS: readonly Layer[] = ["fused", "a", "b"];
const KEPT = 60; // slices that are kept
const LENGTHS = [1, 2, 5, 10, 20, 50, 100, 200]; // millimeters of a scale bar
const BAR = 160; // screen pixels that a scale bar has at most

/** A fused volume, slice by slice. */
export function VolumeResult({ job }: { job: Job }) {
  const { slices = 0, geometry, messages = [] } = job.result;
  const [number, setNumber] = useState(Math.floor(slices / 2));
  const layers = useSlice(job, number);
  const fused = layers?.fused;
  useEffect(() => setNumber(Math.floor(slices / 2)), [job.id, job.runs, slices]);
  const step = (by: number) => setNumber((now) => Math.min(slices - 1, Math.max(0, now + by)));
  return (
    <>
      {fused && geometry && (
        <div
          class="volume"
          onKeyDown={(event) => {
            const by = { PageUp: 1, PageDown: -1 }[event.key];
            if (!by) return;
            event.preventDefault();
            step(by);
          }}
        >
          <Viewer width={fused.width} height={fused.height} layers={layers} version={layers} names={{ a: "A", b: "B" }}>
            {(view) => <Marks geometry={geometry} view={view} />}
          </Viewer>
          <label class="field">
            Slice {number + 1} of {slices}
            <input
              type="range"
              min={0}
              max={slices - 1}
              value={number}
              aria-valuetext={`Slice ${number + 1} of ${slices}`}
              onInput={(event) => setNumber(event.currentTarget.valueAsNumber)}
            />
          </label>
        </div>
      )}
      <Downloads job={job} />
      <ul class="hint">
        {messages.map((message) => (
          <li key={message}>{message}</li>
        ))}
      </ul>
    </>
  );
}

/** The layers of one slice, with square pixels. */
function useSlice(job: Job, number: number): Layers | null {
  const cache = useRef(new Map<string, Layers>());
  const [layers, setLayers] = useState<Layers | null>(null);
  const [down, across] = job.result.geometry?.spacing ?? [1, 1];
  useEffect(() => {
    let stale = false;
    const key = `${job.id} ${job.runs} ${number}`;
    const load = async (layer: Layer) =>
      [layer, await squared(await loadImage(job, `slices/${layer}/${number}`), down / across)] as const;
    void attempt(async () => {
      const known = cache.current.get(key);
      const loaded: Layers = known ?? Object.fromEntries(await Promise.all(LAYERS.map(load)));
      cache.current.set(key, loaded);
      for (const old of cache.current.keys()) if (cache.current.size > KEPT) cache.current.delete(old);
      if (!stale) setLayers(loaded);
    });
    return () => {
      stale = true;
    };
  }, [job.id, job.runs, number]);
  return layers;
}

async function squared(image: Blob, ratio: number): Promise<ImageBitmap> {
  const bitmap = await createImageBitmap(image);
  if (Math.abs(ratio - 1) < 1e-3) return bitmap;
  const [width, height] = ratio > 1 ? [bitmap.width, bitmap.height * ratio] : [bitmap.width / ratio, bitmap.height];
  return createImageBitmap(bitmap, {
    resizeWidth: Math.round(width),
    resizeHeight: Math.round(height),
    resizeQuality: "high",
  });
}

/** Letters of the directions in the body at the edges, and a scale bar. */
function Marks({ geometry, view }: { geometry: Geometry; view: View }) {
  const [down, across] = geometry.spacing;
  const pixel = Math.min(down, across) / view.zoom; // millimeters of one screen pixel
  const length = [...LENGTHS].reverse().find((millimeters) => millimeters / pixel <= BAR) ?? LENGTHS[0];
  return (
    <>
      {Object.entries(geometry.edges).map(([edge, letter]) => (
        <span key={edge} class={`mark mark-${edge}`} role="img" aria-label={`${edge}: ${NAMES[letter]}`}>
          {letter}
        </span>
      ))}
      <span class="scale-bar" style={{ width: `${length / pixel}px` }}>
        {length} mm
      </span>
    </>
  );
}

const NAMES: Readonly<Record<string, string>> = {
  R: "right of the patient",
  L: "left of the patient",
  A: "front",
  P: "back",
  S: "head",
  I: "feet",
};
