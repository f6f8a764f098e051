import { useEffect } from "preact/hooks";
import type { Job, Kind } from "./api";
import { Choices } from "./choices";
import { Files } from "./files";
import { FolderResult, ImageResult, VideoResult } from "./results";
import {
  cancel,
  choose,
  current,
  fuse,
  info,
  isActive,
  isComplete,
  jobs,
  kind,
  open,
  problem,
  remove,
  uploading,
} from "./state";
import { VolumeResult } from "./volume";

const KINDS: Record<Kind, string> = { images: "Images", folders: "Folders", videos: "Videos", volumes: "Volumes" };
const HINTS: Record<Kind, string> = {
  images: "Choose an infrared and a visible image, or a CT and an MRI slice. Fusing then starts by itself.",
  folders: "Choose two folders. Images with the same name, whatever their extension, become a pair.",
  videos: "Choose two videos of the same scene that start at the same time.",
  volumes: "Choose two registered volumes: NIfTI files, or all DICOM files of a series.",
};
const STATES: Record<Job["state"], string> = {
  new: "not started",
  waiting: "waiting",
  running: "running",
  done: "done",
  failed: "failed",
  canceled: "canceled",
};

export function App() {
  useEffect(() => {
    const keep = (event: DragEvent) => event.preventDefault(); // a file dropped beside a picker must not replace the page
    for (const name of ["dragover", "drop"] as const) document.addEventListener(name, keep);
    return () => {
      for (const name of ["dragover", "drop"] as const) document.removeEventListener(name, keep);
    };
  }, []);
  const job = current.value;
  return (
    <>
      <header>
        <h1>RefineFuse studio</h1>
        <p>Files stay on the machine that runs the studio.</p>
        <nav aria-label="What to fuse">
          {(Object.keys(KINDS) as Kind[]).map((name) => (
            <button key={name} type="button" aria-pressed={kind.value === name} onClick={() => choose(name)}>
              {KINDS[name]}
            </button>
          ))}
        </nav>
      </header>
      <main>
        <Files key={kind.value} />
        <div class="content">
          <Messages job={job} />
          {job ? <Result job={job} /> : <Empty />}
        </div>
        <div class="side">
          <Choices />
          <Jobs />
        </div>
      </main>
      <footer>
        <p>
          RefineFuse {info.value?.version}. Not a medical device: not for diagnosis or treatment.{" "}
          <a href="./licenses.txt">Licenses of the libraries of this page</a>.
        </p>
      </footer>
    </>
  );
}

function Empty() {
  return (
    <div class="empty">
      <p>{HINTS[kind.value]}</p>
    </div>
  );
}

function Messages({ job }: { job: Job | null }) {
  const lines = job?.state === "failed" ? job.message.split("\n") : [];
  return (
    <>
      {problem.value && (
        <div class="message error" role="alert">
          <p>{problem.value}</p>
          <button type="button" onClick={() => (problem.value = null)}>
            Close
          </button>
        </div>
      )}
      {lines.length > 0 && (
        <div class="message error" role="alert">
          <p class="lines">{lines.join("\n")}</p>
        </div>
      )}
      {job?.result.warnings?.map((warning) => (
        <p class="message" key={warning}>
          {warning}
        </p>
      ))}
      <Progress job={job} />
    </>
  );
}

function Progress({ job }: { job: Job | null }) {
  if (uploading.value) return <p class="status">Copying {uploading.value}…</p>;
  if (!job) return <p class="status" role="status" />;
  return (
    <div class="row progress">
      <p class="status" role="status">
        {sentence(job)}
      </p>
      {isActive(job) && (
        <>
          <progress
            aria-label="Progress"
            {...(job.total && job.state === "running" ? { value: job.done, max: job.total } : {})}
          />
          <button type="button" onClick={() => void cancel()}>
            Cancel
          </button>
        </>
      )}
      {!isActive(job) && job.kind !== "images" && (
        <button type="button" class="primary" disabled={!isComplete(job)} onClick={() => void fuse()}>
          {job.state === "new" ? "Fuse" : "Fuse again"}
        </button>
      )}
    </div>
  );
}

function sentence(job: Job): string {
  const steps = { images: "", folders: "pairs", videos: "frames", volumes: "slices" }[job.kind];
  switch (job.state) {
    case "new":
      return isComplete(job) ? "Ready to fuse." : `Choose ${job.counts.a ? "B" : job.counts.b ? "A" : "A and B"}.`;
    case "waiting":
      return job.ahead ? `Waiting: ${job.ahead} ${job.ahead === 1 ? "job comes" : "jobs come"} first.` : "Waiting…";
    case "running":
      if (job.result.files) return "Evaluating…";
      return job.done && steps ? `${job.done}${job.total ? ` of ${job.total}` : ""} ${steps} fused…` : "Fusing…";
    case "canceled":
      return job.result.frames ? `Canceled: the first ${job.result.frames} frames were saved.` : "Canceled.";
    case "failed":
      return "Not fused.";
    case "done":
      return "Done.";
  }
}

function Result({ job }: { job: Job }) {
  if (!job.result.files) return <Empty />;
  switch (job.kind) {
    case "images":
      return <ImageResult job={job} />;
    case "folders":
      return <FolderResult job={job} />;
    case "videos":
      return <VideoResult job={job} />;
    case "volumes":
      return <VolumeResult job={job} />;
  }
}

function Jobs() {
  if (jobs.value.length === 0) return null;
  return (
    <section class="panel jobs" aria-label="Jobs">
      <h2>Jobs</h2>
      <ul>
        {jobs.value.map((job) => (
          <li key={job.id}>
            <button type="button" aria-pressed={current.value?.id === job.id} onClick={() => open(job)}>
              {KINDS[job.kind]}: {job.sources.b[0] ?? job.sources.a[0] ?? "no files yet"}
              <span class="details">
                {STATES[job.state]}
                {job.state === "running" && job.total ? `, ${Math.floor((100 * job.done) / job.total)} %` : ""}
              </span>
            </button>
            <button
              type="button"
              aria-label={`Delete ${KINDS[job.kind]}: ${job.sources.b[0] ?? "no files yet"}`}
              onClick={() => void remove(job)}
            >
              ×
            </button>
          </li>
        ))}
      </ul>
      <p class="hint">Jobs are deleted {info.value?.limits.hours} hours after you last looked at them.</p>
    </section>
  );
}
