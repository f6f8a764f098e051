import { useRef, useState } from "preact/hooks";
import { CENTERED } from "../image/transform";
import type { Options } from "./api";
import {
  align,
  alignment,
  type AlignmentChoice,
  alignmentChoice,
  change,
  current,
  info,
  kind,
  load,
  options,
} from "./state";

type Texts = Readonly<Record<string, string>>;

const BACKENDS: Texts = { auto: "Automatic", torch: "PyTorch", onnxruntime: "ONNX Runtime", openvino: "OpenVINO" };
const COLORS: Texts = { b: "Colors of B", a: "Colors of A", both: "Colors of both", gray: "Grayscale" };
const POLARITIES: Texts = { auto: "Unknown", "white-hot": "Bright (white-hot)", "black-hot": "Dark (black-hot)" };
const TRANSFORMS: Texts = {
  translation: "Shift",
  rigid: "Shift and rotation",
  similarity: "Shift, rotation and scale",
  affine: "Affine",
  homography: "Perspective",
  bspline: "Perspective and smooth bending",
};
const WINDOWS: Texts = {
  "": "As the file says",
  brain: "Brain",
  bone: "Bone",
  lung: "Lung",
  tissue: "Soft tissue",
  custom: "Center and width",
};
const MODALITIES: Texts = { "": "As the file says", ct: "CT", mri: "MRI", pet: "PET", spect: "SPECT" };
const COLORMAPS: Texts = { "": "Automatic", inferno: "Inferno", magma: "Magma", hot: "Hot", gray: "Gray" };
const GRIDS: Texts = { "": "Finest grid", a: "Grid of A", b: "Grid of B" };

/** The options of the job that is shown. */
export function Choices() {
  const volumes = kind.value === "volumes";
  return (
    <section class="panel settings" aria-label="Options">
      <Weights />
      <Choice
        label="Backend"
        value={options.value.backend}
        texts={available(BACKENDS)}
        onChange={(backend) => change({ backend })}
      />
      {!volumes && (
        <Choice
          label="Color"
          value={options.value.color}
          texts={kind.value === "videos" ? pick(COLORS, "b", "gray") : COLORS}
          onChange={(color) => change({ color })}
        />
      )}
      {volumes ? <VolumeChoices /> : <ThermalChoices />}
      {!volumes && <AlignmentChoices />}
      {kind.value === "images" && (
        <label class="check">
          <input
            type="checkbox"
            checked={options.value.metrics}
            onChange={(event) => change({ metrics: event.currentTarget.checked })}
          />
          Evaluate the result
        </label>
      )}
      {kind.value === "videos" && (
        <label class="field">
          Fuse every nth frame
          <input
            type="number"
            min={1}
            max={10_000}
            value={options.value.frame_stride}
            onChange={(event) => {
              const stride = event.currentTarget.valueAsNumber;
              if (Number.isInteger(stride) && stride >= 1) change({ frame_stride: stride });
            }}
          />
        </label>
      )}
    </section>
  );
}

function available(texts: Texts): Texts {
  const known: Readonly<Record<string, boolean>> = info.value?.available ?? {};
  return Object.fromEntries(Object.entries(texts).filter(([name]) => known[name] !== false));
}

function pick(texts: Texts, ...names: readonly string[]): Texts {
  return Object.fromEntries(names.map((name) => [name, texts[name]]));
}

function Weights() {
  const known = info.value?.weights ?? [];
  const standard = kind.value === "volumes" ? "medical" : "infrared-visible";
  const texts = { "": "Standard", ...Object.fromEntries(known.map(({ name }) => [name, name])) };
  const use = known.find(({ name }) => name === (options.value.weights || standard))?.use;
  return (
    <>
      <Choice label="Weights" value={options.value.weights} texts={texts} onChange={(weights) => change({ weights })} />
      {use && <p class="hint">{`${options.value.weights || standard}: ${use}.`}</p>}
    </>
  );
}

interface ChoiceProps {
  readonly label: string;
  readonly value: string;
  readonly texts: Texts;
  onChange(value: string): void;
}

function Choice({ label, value, texts, onChange }: ChoiceProps) {
  return (
    <label class="field">
      {label}
      <select value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {Object.entries(texts).map(([name, text]) => (
          <option key={name} value={name}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

const RULES: Texts = {
  "": "Automatic",
  full: "Full",
  percentile: "Percentiles",
  counts: "Counts",
  celsius: "Degrees Celsius",
};
const FIRST: Texts = { percentile: "percentile:1,99", counts: "7000,9000", celsius: "celsius:0,40" };

/** Which counts of A become black and white, and what is hot. */
function ThermalChoices() {
  const { range, polarity } = options.value;
  const rule = range in RULES ? range : range.includes(":") ? range.slice(0, range.indexOf(":")) : "counts";
  const texts = kind.value === "videos" ? pick(RULES, "", "percentile", "counts", "celsius") : RULES;
  return (
    <fieldset>
      <legend>Thermal range</legend>
      <Choice
        label="Black and white"
        value={rule}
        texts={texts}
        onChange={(name) => change({ range: FIRST[name] ?? name })}
      />
      {FIRST[rule] && <Ends range={range} onChange={(next) => change({ range: next })} />}
      <Choice
        label="Hot things in A"
        value={polarity}
        texts={POLARITIES}
        onChange={(next) => change({ polarity: next })}
      />
    </fieldset>
  );
}

/** The two numbers of a range such as `percentile:1,99` or `7000,9000`. */
function Ends({ range, onChange }: { range: string; onChange(range: string): void }) {
  const prefix = range.includes(":") ? range.slice(0, range.indexOf(":") + 1) : "";
  const ends = range.slice(prefix.length).split(",").map(Number);
  const set = (index: number, value: number) => {
    const next = ends.map((end, i) => (i === index ? value : end));
    if (next.every(Number.isFinite) && next[0] < next[1]) onChange(`${prefix}${next.join(",")}`);
  };
  return (
    <>
      {["Black", "White"].map((label, index) => (
        <label class="field" key={label}>
          {label}
          <input
            type="number"
            step="any"
            value={ends[index]}
            onChange={(event) => set(index, event.currentTarget.valueAsNumber)}
          />
        </label>
      ))}
    </>
  );
}

/** How A is brought onto B. */
function AlignmentChoices() {
  const choice = alignmentChoice.value;
  const texts: Record<string, string> = { none: "Already aligned" };
  if (kind.value !== "videos") texts["automatic"] = "Automatic";
  if (kind.value === "images") texts["hand"] = "By hand";
  texts["saved"] = "Saved transform";
  return (
    <fieldset>
      <legend>Alignment</legend>
      <Choice label="A onto B" value={choice} texts={texts} onChange={(next) => align(next as AlignmentChoice)} />
      {choice === "automatic" && (
        <Choice
          label="May change"
          value={options.value.transform_type}
          texts={TRANSFORMS}
          onChange={(transform_type) => change({ transform_type })}
        />
      )}
      {choice === "hand" && <ByHand />}
      {choice === "saved" && <SavedTransform />}
    </fieldset>
  );
}

function ByHand() {
  const field = (name: "dx" | "dy" | "scale", label: string, step: number) => (
    <label class="field" key={name}>
      {label}
      <input
        type="number"
        step={step}
        value={alignment.value[name]}
        onChange={(event) => {
          const value = event.currentTarget.valueAsNumber;
          if (!Number.isFinite(value) || (name === "scale" && (value < 0.1 || value > 10))) return;
          align("hand", { ...alignment.value, [name]: value });
        }}
      />
    </label>
  );
  return (
    <>
      {field("dx", "Move A right (pixels of B)", 1)}
      {field("dy", "Move A down (pixels of B)", 1)}
      {field("scale", "Scale of A", 0.005)}
      <button type="button" onClick={() => align("hand", CENTERED)}>
        Reset
      </button>
    </>
  );
}

function SavedTransform() {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <input
        ref={input}
        id="transform-file"
        class="visually-hidden"
        type="file"
        aria-label="Load transform"
        accept=".json,application/json"
        onChange={() => {
          const files = [...(input.current?.files ?? [])];
          if (input.current) input.current.value = "";
          void load("transform", files);
        }}
      />
      <label class="button" for="transform-file">
        Load transform
      </label>
      <p class="details">
        {current.value?.sources.transform[0] ?? "A JSON file that was saved here or by refinefuse align"}
      </p>
    </>
  );
}

function VolumeChoices() {
  const given = options.value;
  const [custom, setCustom] = useState(false);
  const window = given.window in WINDOWS && !custom ? given.window : "custom";
  const text = (label: string, name: "volume_range" | "suv_range" | "window", hint: string) => (
    <label class="field">
      {label}
      <input
        type="text"
        value={given[name]}
        placeholder={hint}
        onChange={(event) => change({ [name]: event.currentTarget.value.trim() } as Partial<Options>)}
      />
    </label>
  );
  return (
    <>
      <Choice
        label="A is"
        value={given.modality_a}
        texts={MODALITIES}
        onChange={(next) => change({ modality_a: next })}
      />
      <Choice
        label="B is"
        value={given.modality_b}
        texts={MODALITIES}
        onChange={(next) => change({ modality_b: next })}
      />
      <fieldset>
        <legend>Display</legend>
        <Choice
          label="Window of CT"
          value={window}
          texts={WINDOWS}
          onChange={(next) => {
            setCustom(next === "custom");
            change({ window: next === "custom" ? "40,400" : next });
          }}
        />
        {window === "custom" && text("Center, width (HU)", "window", "40,400")}
        {text("Range of A", "volume_range", "automatic")}
        {text("Range of PET (SUV)", "suv_range", "automatic")}
        <Choice
          label="Color map of B"
          value={given.colormap ?? ""}
          texts={COLORMAPS}
          onChange={(next) => change({ colormap: next || null })}
        />
        <Choice
          label="Result on"
          value={given.grid ?? ""}
          texts={GRIDS}
          onChange={(next) => change({ grid: next || null })}
        />
      </fieldset>
      <label class="check">
        <input
          type="checkbox"
          checked={given.dicom}
          onChange={(event) => change({ dicom: event.currentTarget.checked })}
        />
        Save DICOM instead of NIfTI
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked={given.anonymize}
          onChange={(event) => change({ anonymize: event.currentTarget.checked })}
        />
        Leave out patient and study data
      </label>
    </>
  );
}
