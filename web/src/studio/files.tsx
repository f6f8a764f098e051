import { useRef } from "preact/hooks";
import type { Kind } from "./api";
import { current, info, kind, load, renew, swap, uploading } from "./state";

const TITLES: Record<Kind, readonly [string, string]> = {
  images: ["A: infrared", "B: visible"],
  folders: ["A: infrared", "B: visible"],
  videos: ["A: infrared", "B: visible"],
  volumes: ["A: CT or MRI", "B: MRI, PET or SPECT"],
};
const ACCEPTED: Record<Kind, string> = {
  images: "image/*,.tif,.tiff,.pgm,.ppm",
  folders: "image/*,.tif,.tiff,.pgm,.ppm",
  videos: "video/*,.mkv,.avi",
  volumes: ".nii,.gz,.dcm,.ima,*",
};

/** The sources: one file each, or many. */
export function Files() {
  const job = current.value;
  const missing = kind.value in (info.value?.available ?? {}) && !info.value?.available[kind.value as "videos"];
  return (
    <section class="panel sources" aria-label="Sources">
      {missing && (
        <p class="message">
          This needs a part of RefineFuse that is not installed on this machine. Whoever runs the studio can add it: pip
          install "refinefuse[{kind.value === "videos" ? "video" : "medical"}]".
        </p>
      )}
      <Picker slot="a" title={TITLES[kind.value][0]} />
      <Picker slot="b" title={TITLES[kind.value][1]} />
      <div class="row">
        <button type="button" disabled={!job?.counts.a || !job.counts.b} onClick={() => void swap()}>
          Swap A and B
        </button>
        <button type="button" disabled={!job} onClick={renew}>
          New job
        </button>
      </div>
    </section>
  );
}

function Picker({ slot, title }: { slot: "a" | "b"; title: string }) {
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const job = current.value;
  const count = job?.counts[slot] ?? 0;
  const many = kind.value === "folders" || kind.value === "volumes";
  const take = (input: HTMLInputElement) => {
    const chosen = [...(input.files ?? [])].filter(({ name }) => !name.startsWith("."));
    input.value = "";
    void load(slot, many ? chosen : chosen.slice(0, 1));
  };
  return (
    <div
      class={`picker slot-${slot}`}
      onDrop={(event) => {
        event.preventDefault();
        const dropped = [...(event.dataTransfer?.files ?? [])];
        void load(slot, many ? dropped : dropped.slice(0, 1));
      }}
    >
      <h2>{title}</h2>
      <span class="row">
        <input
          ref={files}
          id={`file-${slot}`}
          class="visually-hidden"
          type="file"
          aria-label={title}
          accept={ACCEPTED[kind.value]}
          multiple={many}
          disabled={uploading.value !== null}
          aria-describedby={`details-${slot}`}
          onChange={(event) => take(event.currentTarget)}
        />
        <label class="button" for={`file-${slot}`}>
          {many ? "Files" : "Choose file"}
        </label>
        {many && (
          <>
            <input
              ref={folder}
              id={`folder-${slot}`}
              class="visually-hidden"
              type="file"
              aria-label={`${title}, a folder`}
              disabled={uploading.value !== null}
              {...{ webkitdirectory: true }}
              onChange={(event) => take(event.currentTarget)}
            />
            <label class="button" for={`folder-${slot}`}>
              Folder
            </label>
          </>
        )}
      </span>
      <p id={`details-${slot}`} class="details">
        {count === 0 && "or drop here"}
        {count === 1 && <strong>{job?.sources[slot][0]}</strong>}
        {count > 1 && (
          <>
            <strong>{count} files</strong>: {job?.sources[slot].join(", ")}
            {count > 3 ? ", …" : ""}
          </>
        )}
      </p>
    </div>
  );
}
