import type { ColorMode } from "../image/color";
import { CENTERED } from "../image/transform";
import { models } from "./payload";
import {
  alignByHand,
  alignment,
  color,
  inverted,
  loadedTransform,
  loadTransform,
  mode,
  model,
  range,
  result,
  saveTransform,
  sources,
} from "./state";

/** The options of a fusion. */
export function Settings() {
  return (
    <section class="panel settings" aria-label="Options">
      {models().length > 1 && (
        <label class="field">
          Weights
          <select value={model.value} onChange={(event) => (model.value = event.currentTarget.value)}>
            {models().map(({ name, title }) => (
              <option key={name} value={name}>
                {title} ({name.replace(/^.*-/, "")})
              </option>
            ))}
          </select>
        </label>
      )}
      <label class="field">
        Color
        <select value={color.value} onChange={(event) => (color.value = event.currentTarget.value as ColorMode)}>
          <option value="b">Colors of B</option>
          <option value="gray">Grayscale</option>
        </select>
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked={inverted.value}
          onChange={(event) => (inverted.value = event.currentTarget.checked)}
        />
        Hot things are dark in A (black-hot)
      </label>
      {mode.value === "images" && <ThermalRange />}
      <AlignmentFields />
    </section>
  );
}

/** Which counts of A become black and white. */
function ThermalRange() {
  const counts = sources.value.a?.info.counts;
  const current = range.value;
  if (!counts || !current) return null;
  const { found, full, percentiles } = counts;
  const step = full.high <= 1 ? (found.high - found.low) / 1000 || 0.001 : 1;
  const set = (end: "low" | "high", value: number) => {
    const next = { ...current, [end]: value };
    if (next.low < next.high) range.value = next;
  };
  const peak = Math.max(...counts.histogram);
  return (
    <fieldset>
      <legend>Thermal range</legend>
      <svg class="histogram" viewBox="0 0 64 16" preserveAspectRatio="none" aria-hidden="true">
        {counts.histogram.map((count, x) => {
          const height = (16 * Math.sqrt(count)) / Math.sqrt(peak);
          return <rect key={x} x={x} y={16 - height} width="1" height={height} />;
        })}
      </svg>
      {(["low", "high"] as const).map((end) => (
        <div class="field" key={end}>
          <label for={`range-${end}`}>{end === "low" ? "Black" : "White"}</label>
          <input
            id={`range-${end}`}
            type="range"
            min={Math.min(found.low, current.low)}
            max={Math.max(found.high, current.high)}
            step={step}
            value={current[end]}
            onInput={(event) => set(end, event.currentTarget.valueAsNumber)}
          />
          <input
            type="number"
            aria-label={`${end === "low" ? "Black" : "White"}, counts`}
            step={step}
            value={current[end]}
            onChange={(event) => set(end, event.currentTarget.valueAsNumber)}
          />
        </div>
      ))}
      <div class="row">
        <button type="button" onClick={() => (range.value = percentiles)}>
          Percentiles 0.1–99.9
        </button>
        <button type="button" onClick={() => (range.value = full)}>
          Full
        </button>
      </div>
    </fieldset>
  );
}

/** Where A lies on B: by hand, or by a saved transform. */
function AlignmentFields() {
  const loaded = loadedTransform.value;
  const images = mode.value === "images";
  if (loaded) {
    return (
      <fieldset>
        <legend>Alignment</legend>
        <p class="details">
          By <strong>{loaded.name}</strong>
        </p>
        <button type="button" onClick={alignByHand}>
          Align by hand instead
        </button>
      </fieldset>
    );
  }
  return (
    <fieldset>
      <legend>Alignment</legend>
      <NumberField name="dx" label="Move A right (pixels of B)" step={1} />
      <NumberField name="dy" label="Move A down (pixels of B)" step={1} />
      <NumberField name="scale" label="Scale of A" step={0.005} />
      <div class="row">
        <button type="button" onClick={() => (alignment.value = CENTERED)}>
          Reset
        </button>
        {images && (
          <button type="button" disabled={!result.value?.transform} onClick={saveTransform}>
            Save transform
          </button>
        )}
        <input
          id="transform-file"
          class="visually-hidden"
          type="file"
          aria-label="Load transform"
          accept=".json,application/json"
          onChange={(event) => {
            const file = event.currentTarget.files?.[0];
            event.currentTarget.value = "";
            if (file) void loadTransform(file);
          }}
        />
        <label class="button" for="transform-file">
          Load transform
        </label>
      </div>
    </fieldset>
  );
}

function NumberField({ name, label, step }: { name: "dx" | "dy" | "scale"; label: string; step: number }) {
  const set = (value: number) => {
    if (Number.isFinite(value) && (name !== "scale" || (value >= 0.1 && value <= 10))) {
      alignment.value = { ...alignment.value, [name]: value };
    }
  };
  return (
    <label class="field">
      {label}
      <input
        type="number"
        step={step}
        {...(name === "scale" ? { min: 0.1, max: 10 } : {})}
        value={alignment.value[name]}
        onChange={(event) => set(event.currentTarget.valueAsNumber)}
      />
    </label>
  );
}
