import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Slot } from "../engine/protocol";
import { InputError } from "../image/picture";
import { findCameras, openCamera, stopStream } from "./cameras";
import { LiveLoop, makeCanvases } from "./live-loop";
import { Settings } from "./settings";
import { align, color, engine, inverted, model, problem, ready, report, save, size, status } from "./state";
import { Viewer } from "./viewer";

const WIDTHS = [320, 480, 640, 960, 1920];
const width = signal(640);

/** Two videos or two cameras, fused as they play. */
export function Live({ kind, messages }: { kind: "videos" | "cameras"; messages: ComponentChildren }) {
  const a = useRef<HTMLVideoElement>(null);
  const b = useRef<HTMLVideoElement>(null);
  const canvases = useMemo(makeCanvases, []);
  const [version, setVersion] = useState(0);
  useEffect(() => {
    problem.value = null;
    status.value = kind === "videos" ? "Choose an infrared and a visible video." : "Find the cameras first.";
    const options = () => ({
      model: model.value,
      color: color.value,
      inverted: inverted.value,
      align: align.value,
      width: width.value,
    });
    const shown = (rate: number) => {
      if (kind === "cameras" && !video.srcObject) return; // stopped while this frame was fused
      setVersion((count) => count + 1);
      status.value = `${size(canvases.fused)} pixels, ${rate.toFixed(1)} frames per second.`;
    };
    const video = b.current!;
    const loop = new LiveLoop(engine, a.current!, video, canvases, options, shown, report);
    void loop.run();
    const follow = () => loop.follow();
    const events = ["play", "pause", "seeked"] as const;
    for (const event of events) video.addEventListener(event, follow);
    return () => {
      loop.stop();
      for (const element of [a.current, video]) stopStream((element?.srcObject as MediaStream | null) ?? null);
      status.value = "Ready. Choose an infrared and a visible image.";
    };
  }, [kind, canvases]);
  return (
    <>
      <section class="panel sources" aria-label={kind === "videos" ? "Videos" : "Cameras"}>
        {kind === "videos" ? <VideoFiles a={a} b={b} /> : <CameraChoice a={a} b={b} />}
        <label class="field">
          Fused width
          <select value={width.value} onChange={(event) => (width.value = Number(event.currentTarget.value))}>
            {WIDTHS.map((pixels) => (
              <option key={pixels} value={pixels}>
                up to {pixels} pixels
              </option>
            ))}
          </select>
        </label>
      </section>
      <div class="content pinned">
        {messages}
        {version > 0 ? (
          <>
            <Viewer width={canvases.fused.width} height={canvases.fused.height} layers={canvases} version={version} />
            <div class="row downloads">
              {kind === "videos" && <Playback video={b} />}
              <Recorder canvas={canvases.fused} />
            </div>
          </>
        ) : (
          <div class="empty">
            <p>
              {kind === "videos"
                ? "Choose two videos of the same scene that start at the same time."
                : "Connect an infrared and a visible camera."}
            </p>
          </div>
        )}
      </div>
      <Settings />
      <video ref={a} class="hidden-video" muted playsInline aria-hidden="true" tabIndex={-1} />
      <video ref={b} class="hidden-video" muted playsInline aria-hidden="true" tabIndex={-1} />
    </>
  );
}

type VideoRef = { readonly current: HTMLVideoElement | null };

interface Pair {
  readonly a: VideoRef;
  readonly b: VideoRef;
}

function VideoFiles({ a, b }: Pair) {
  const [names, setNames] = useState({ a: "", b: "" });
  const open = (slot: Slot, video: VideoRef, file: File | undefined) => {
    const element = video.current;
    if (!file || !element) return;
    problem.value = null;
    setNames({ ...names, [slot]: file.name });
    if (element.src) URL.revokeObjectURL(element.src);
    element.onerror = () =>
      report(new InputError(`${file.name} cannot be played.`, "Convert it to MP4 (H.264) or WebM."));
    element.onloadeddata = () => {
      if (!a.current?.videoWidth || !b.current?.videoWidth) return;
      for (const each of [a.current, b.current]) each.currentTime = 0;
      void b.current.play();
    };
    element.src = URL.createObjectURL(file);
    element.loop = video === b;
  };
  return (
    <>
      {(
        [
          ["a", "A: infrared", a],
          ["b", "B: visible", b],
        ] as const
      ).map(([slot, title, video]) => (
        <div class={`picker slot-${slot}`} key={slot}>
          <h2>{title}</h2>
          <input
            id={`video-${slot}`}
            class="visually-hidden"
            type="file"
            aria-label={title}
            accept="video/*,.mkv"
            disabled={!ready.value}
            onChange={(event) => open(slot, video, event.currentTarget.files?.[0])}
          />
          <label class="button" for={`video-${slot}`}>
            Choose file
          </label>
          <p class="details">{names[slot]}</p>
        </div>
      ))}
    </>
  );
}

function CameraChoice({ a, b }: Pair) {
  const [cameras, setCameras] = useState<MediaDeviceInfo[]>([]);
  const [chosen, setChosen] = useState({ a: "", b: "" });
  const [running, setRunning] = useState(false);
  const stop = () => {
    for (const { current } of [a, b]) {
      if (!current) continue;
      stopStream(current.srcObject as MediaStream | null);
      current.srcObject = null;
    }
    setRunning(false);
    status.value = "Stopped.";
  };
  const find = async () => {
    problem.value = null;
    try {
      const found = await findCameras();
      setCameras(found);
      setChosen({ a: found[0].deviceId, b: found[1].deviceId });
      status.value = `${found.length} cameras found. Choose which is which, then start.`;
    } catch (error) {
      report(error);
    }
  };
  const start = async () => {
    problem.value = null;
    try {
      for (const [video, id] of [
        [a.current, chosen.a],
        [b.current, chosen.b],
      ] as const) {
        if (!video) continue;
        stopStream(video.srcObject as MediaStream | null);
        video.srcObject = await openCamera(id);
        video.srcObject.getVideoTracks()[0].onended = () => {
          stop();
          report(new InputError("A camera was disconnected.", "Connect it again, then press Start."));
        };
        await video.play();
      }
      setRunning(true);
    } catch (error) {
      stop();
      report(error);
    }
  };
  return (
    <>
      <button type="button" disabled={!ready.value} onClick={() => void find()}>
        Find cameras
      </button>
      {cameras.length > 0 && (
        <>
          {(["a", "b"] as const).map((slot) => (
            <label class="field" key={slot}>
              {slot === "a" ? "A: infrared" : "B: visible"}
              <select
                value={chosen[slot]}
                onChange={(event) => setChosen({ ...chosen, [slot]: event.currentTarget.value })}
              >
                {cameras.map((camera, index) => (
                  <option key={camera.deviceId} value={camera.deviceId}>
                    {camera.label || `Camera ${index + 1}`}
                  </option>
                ))}
              </select>
            </label>
          ))}
          <button type="button" class="primary" onClick={() => (running ? stop() : void start())}>
            {running ? "Stop" : "Start"}
          </button>
        </>
      )}
    </>
  );
}

function Playback({ video }: { video: VideoRef }) {
  const element = video.current!;
  return (
    <>
      <button type="button" onClick={() => void (element.paused ? element.play() : element.pause())}>
        {element.paused ? "Play" : "Pause"}
      </button>
      <input
        class="seek"
        type="range"
        aria-label="Position in the video, seconds"
        min={0}
        max={element.duration}
        step={0.04}
        value={element.currentTime}
        onInput={(event) => (element.currentTime = event.currentTarget.valueAsNumber)}
      />
    </>
  );
}

/** Records the fused picture as it is shown. */
function Recorder({ canvas }: { canvas: HTMLCanvasElement }) {
  const [recorder, setRecorder] = useState<MediaRecorder | null>(null);
  const start = () => {
    const chunks: Blob[] = [];
    const next = new MediaRecorder(canvas.captureStream(), { mimeType: "video/webm", videoBitsPerSecond: 8_000_000 });
    next.ondataavailable = ({ data }) => chunks.push(data);
    next.onstop = () => save(new Blob(chunks, { type: "video/webm" }), "fused.webm");
    next.start();
    setRecorder(next);
  };
  const stop = () => {
    recorder?.stop();
    setRecorder(null);
  };
  if (!("MediaRecorder" in window) || !MediaRecorder.isTypeSupported("video/webm")) return null;
  return (
    <button type="button" class={recorder ? "primary" : ""} onClick={recorder ? stop : start}>
      {recorder ? "Stop and save" : "Record"}
    </button>
  );
}
