import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Layer } from "../engine/protocol";
import { fitted, kept, moved, type View, zoomed } from "./view";

export type Layers = Readonly<Partial<Record<Layer, ImageBitmap | HTMLCanvasElement>>>;

const NAMES: Record<Layer, string> = {
  fused: "Fused",
  a: "A: infrared",
  b: "B: visible",
  weight: "Weight map of A",
  overlay: "A over B (orange, blue)",
};
const NEAR = 12; // screen pixels around the divider in which it is grabbed
const STEP = 40; // screen pixels that an arrow key moves the image

interface Props {
  readonly width: number;
  readonly height: number;
  readonly layers: Layers;
  /** Changes when the layers were redrawn in place. */
  readonly version: unknown;
  /** What the layers are called, where that differs. */
  readonly names?: Partial<Record<Layer, string>>;
  /** What lies over the image, by where that is seen. */
  children?(view: View): ComponentChildren;
}

/** Two layers side by side under a slider, with zoom. */
export function Viewer({ width, height, layers, version, names = {}, children }: Props) {
  const called = { ...NAMES, ...names };
  const canvas = useRef<HTMLCanvasElement>(null);
  const [left, setLeft] = useState<Layer>("b");
  const [right, setRight] = useState<Layer>("fused");
  const [split, setSplit] = useState(50);
  const [view, setView] = useState<View | null>(null);
  const [frame, setFrame] = useState({ width: 1, height: 1 });
  const pointers = useRef(new Map<number, { x: number; y: number }>());
  const divider = useRef<number | null>(null); // the pointer that drags it
  const image = { width, height };
  const shown = view ?? fitted(image, frame);
  const change = (next: View) => setView(kept(next, image, frame));
  const zoom = (factor: number, x = frame.width / 2, y = frame.height / 2) =>
    change(zoomed(shown, factor, x, y, fitted(image, frame).zoom));

  useEffect(() => setView(null), [width, height]);
  useEffect(() => {
    const element = canvas.current!;
    const observer = new ResizeObserver(() => setFrame({ width: element.clientWidth, height: element.clientHeight }));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useEffect(
    () => draw(canvas.current!, shown, layers[left], layers[right], split),
    [shown, layers, left, right, split, frame, version],
  );

  const press = (event: PointerEvent) => {
    canvas.current!.setPointerCapture(event.pointerId);
    if (Math.abs(event.offsetX - (frame.width * split) / 100) <= NEAR) divider.current = event.pointerId;
    else pointers.current.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
  };
  const drag = (event: PointerEvent) => {
    if (divider.current === event.pointerId) {
      setSplit(Math.round(Math.min(100, Math.max(0, (100 * event.offsetX) / frame.width))));
      return;
    }
    const before = pointers.current.get(event.pointerId);
    if (!before) return;
    const now = { x: event.offsetX, y: event.offsetY };
    const other = [...pointers.current].find(([id]) => id !== event.pointerId)?.[1];
    pointers.current.set(event.pointerId, now);
    if (other) {
      const factor = Math.hypot(now.x - other.x, now.y - other.y) / Math.hypot(before.x - other.x, before.y - other.y);
      if (Number.isFinite(factor)) zoom(factor, (now.x + other.x) / 2, (now.y + other.y) / 2);
    } else change(moved(shown, now.x - before.x, now.y - before.y));
  };
  const release = (event: PointerEvent) => {
    if (divider.current === event.pointerId) divider.current = null;
    pointers.current.delete(event.pointerId);
  };
  const keys: Record<string, () => void> = {
    ArrowLeft: () => change(moved(shown, STEP, 0)),
    ArrowRight: () => change(moved(shown, -STEP, 0)),
    ArrowUp: () => change(moved(shown, 0, STEP)),
    ArrowDown: () => change(moved(shown, 0, -STEP)),
    "+": () => zoom(1.25),
    "=": () => zoom(1.25),
    "-": () => zoom(0.8),
    "0": () => setView(null),
    "1": () => zoom(1 / shown.zoom),
  };

  return (
    <section class="viewer" aria-label="Result">
      <div class="bar">
        <Choice label="Left" value={left} layers={layers} names={called} onChange={setLeft} />
        <Choice label="Right" value={right} layers={layers} names={called} onChange={setRight} />
        <div class="zoom" role="group" aria-label="Zoom">
          <button type="button" aria-label="Zoom out" onClick={() => zoom(0.8)}>
            −
          </button>
          <output aria-label="Zoom factor">{Math.round(shown.zoom * 100)} %</output>
          <button type="button" aria-label="Zoom in" onClick={() => zoom(1.25)}>
            +
          </button>
          <button type="button" onClick={() => setView(null)}>
            Fit
          </button>
          <button type="button" onClick={() => zoom(1 / shown.zoom)}>
            100 %
          </button>
        </div>
      </div>
      <div class="stage">
        <canvas
          ref={canvas}
          tabIndex={0}
          role="img"
          aria-label={`${called[left]} on the left, ${called[right]} on the right. Arrow keys move, plus and minus zoom, 0 fits.`}
          onPointerDown={press}
          onPointerMove={drag}
          onPointerUp={release}
          onPointerCancel={release}
          onDblClick={() => setView(null)}
          onWheel={(event) => {
            event.preventDefault();
            zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
          }}
          onKeyDown={(event) => {
            const action = event.ctrlKey || event.metaKey ? undefined : keys[event.key];
            if (!action) return;
            event.preventDefault();
            action();
          }}
        />
        <span class="divider" style={{ left: `${split}%` }} aria-hidden="true" />
        {children?.(shown)}
      </div>
      <input
        class="split"
        type="range"
        min={0}
        max={100}
        step={1}
        value={split}
        aria-label="Position of the divider between left and right"
        aria-valuetext={`${split} percent ${called[left]}`}
        onInput={(event) => setSplit(event.currentTarget.valueAsNumber)}
      />
    </section>
  );
}

interface ChoiceProps {
  readonly label: string;
  readonly value: Layer;
  readonly layers: Layers;
  readonly names: Readonly<Record<Layer, string>>;
  onChange(layer: Layer): void;
}

function Choice({ label, value, layers, names, onChange }: ChoiceProps) {
  const available = (Object.keys(NAMES) as Layer[]).filter((layer) => layers[layer]);
  return (
    <label class="field">
      {label}
      <select value={value} onChange={(event) => onChange(event.currentTarget.value as Layer)}>
        {available.map((layer) => (
          <option key={layer} value={layer}>
            {names[layer]}
          </option>
        ))}
      </select>
    </label>
  );
}

type Drawn = ImageBitmap | HTMLCanvasElement | undefined;

function draw(canvas: HTMLCanvasElement, view: View, left: Drawn, right: Drawn, split: number): void {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const density = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * density);
  canvas.height = Math.round(height * density);
  const context = canvas.getContext("2d");
  if (!context) return;
  context.scale(density, density);
  context.imageSmoothingEnabled = view.zoom * density < 2;
  context.imageSmoothingQuality = "high";
  const border = (width * split) / 100;
  for (const [image, start, end] of [
    [left, 0, border],
    [right, border, width],
  ] as const) {
    if (!image || start >= end) continue;
    context.save();
    context.beginPath();
    context.rect(start, 0, end - start, height);
    context.clip();
    context.drawImage(image, view.x, view.y, image.width * view.zoom, image.height * view.zoom);
    context.restore();
  }
}
