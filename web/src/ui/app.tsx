import { useEffect, useState } from "preact/hooks";
import { Live } from "./live";
import { Settings } from "./settings";
import { Sources } from "./sources";
import {
  alignByShift,
  download,
  drop,
  type Mode,
  mode,
  notices,
  problem,
  progress,
  result,
  shift,
  status,
} from "./state";
import { Viewer } from "./viewer";

const MODES: Record<Mode, string> = { images: "Images", videos: "Videos", cameras: "Cameras" };

export function App() {
  useDrop();
  return (
    <>
      <header>
        <h1>RefineFuse</h1>
        <p>Fuse an infrared and a visible image. Everything happens in this browser: nothing is uploaded.</p>
        <Modes />
      </header>
      <main>
        {mode.value === "images" ? (
          <>
            <Sources />
            <div class="content pinned">
              <Messages />
              <Result />
            </div>
            <Settings />
          </>
        ) : (
          <Live key={mode.value} kind={mode.value} messages={<Messages />} />
        )}
      </main>
      <footer>
        <p>
          Not a medical device: not for diagnosis or treatment. Apache License 2.0;{" "}
          <a href="./licenses.txt">licenses of the libraries</a>.
        </p>
      </footer>
    </>
  );
}

function Modes() {
  return (
    <nav aria-label="What to fuse">
      {(Object.keys(MODES) as Mode[]).map((name) => (
        <button key={name} type="button" aria-pressed={mode.value === name} onClick={() => (mode.value = name)}>
          {MODES[name]}
        </button>
      ))}
    </nav>
  );
}

function Messages() {
  return (
    <>
      {problem.value && (
        <div class="message error" role="alert">
          <p>
            <strong>{problem.value.message}</strong> {problem.value.advice}
          </p>
          <button type="button" onClick={() => (problem.value = null)}>
            Close
          </button>
        </div>
      )}
      {mode.value === "images" &&
        notices.value.map((notice) => (
          <p class="message" key={notice}>
            {notice}
          </p>
        ))}
      {mode.value === "images" && shift.value && (
        <div class="message">
          <p>A looks shifted: {direction(shift.value)}. Edges would appear twice.</p>
          <button type="button" onClick={alignByShift}>
            Move A back
          </button>
        </div>
      )}
      <p class="status" role="status">
        {status.value}
      </p>
      {progress.value !== null && progress.value > 0 && <progress value={progress.value} aria-label="Fusing" />}
    </>
  );
}

function direction({ dx, dy }: { dx: number; dy: number }): string {
  const parts = [
    dx && `${Math.abs(dx)} pixels to the ${dx > 0 ? "right" : "left"}`,
    dy && `${Math.abs(dy)} pixels ${dy > 0 ? "down" : "up"}`,
  ];
  return parts.filter(Boolean).join(" and ");
}

function Result() {
  const fused = result.value;
  if (!fused) {
    return (
      <div class="empty">
        <p>Drop an infrared and a visible image of the same scene anywhere on this page.</p>
        <p class="hint">PNG, JPEG, WebP, BMP or TIFF, 8-bit or 16-bit, also raw thermal counts.</p>
      </div>
    );
  }
  return (
    <>
      <Viewer width={fused.width} height={fused.height} layers={fused.layers} version={fused} />
      <Downloads deeper={fused.depth === 16} key={fused.depth} />
    </>
  );
}

function Downloads({ deeper }: { deeper: boolean }) {
  const [depth, setDepth] = useState<8 | 16>(deeper ? 16 : 8);
  return (
    <div class="row downloads">
      <button type="button" class="primary" onClick={() => void download("fused", depth)}>
        Download fused image
      </button>
      <button type="button" onClick={() => void download("weight", depth)}>
        Download weight map
      </button>
      <label class="field">
        PNG
        <select value={depth} onChange={(event) => setDepth(Number(event.currentTarget.value) as 8 | 16)}>
          <option value={8}>8-bit</option>
          <option value={16}>16-bit</option>
        </select>
      </label>
    </div>
  );
}

/** Files may be dropped anywhere. */
function useDrop(): void {
  useEffect(() => {
    const over = (event: DragEvent) => event.preventDefault();
    const dropped = (event: DragEvent) => {
      event.preventDefault();
      const files = [...(event.dataTransfer?.files ?? [])];
      if (files.length && mode.value === "images") void drop(files);
    };
    document.addEventListener("dragover", over);
    document.addEventListener("drop", dropped);
    return () => {
      document.removeEventListener("dragover", over);
      document.removeEventListener("drop", dropped);
    };
  }, []);
}
