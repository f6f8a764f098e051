import { useRef } from "preact/hooks";
import type { Slot } from "../engine/protocol";
import { drop, openSample, size, sources, swap } from "./state";

const TITLES: Record<Slot, string> = { a: "A: infrared", b: "B: visible" };
const ACCEPTED = ".png,.jpg,.jpeg,.webp,.bmp,.tif,.tiff,image/*";

/** The two images: file pickers that are drop zones as well. */
export function Sources() {
  const { a, b } = sources.value;
  return (
    <section class="panel sources" aria-label="Images">
      <Picker slot="a" />
      <Picker slot="b" />
      <div class="row">
        <button type="button" disabled={!a || !b} onClick={() => void swap()}>
          Swap A and B
        </button>
      </div>
      <p class="hint">
        No images at hand? Try an example:{" "}
        <button type="button" class="link" onClick={() => void openSample("night_street")}>
          night street
        </button>{" "}
        or{" "}
        <button type="button" class="link" onClick={() => void openSample("smoke")}>
          smoke
        </button>
        .
      </p>
    </section>
  );
}

function Picker({ slot }: { slot: Slot }) {
  const input = useRef<HTMLInputElement>(null);
  const source = sources.value[slot];
  const details = source && `${size(source.info)}, ${source.info.depth}-bit, ${source.info.colored ? "color" : "gray"}`;
  return (
    <div
      class={`picker slot-${slot}`}
      onDrop={(event) => {
        event.preventDefault();
        event.stopPropagation();
        void drop([...(event.dataTransfer?.files ?? [])], slot);
      }}
    >
      <h2>{TITLES[slot]}</h2>
      <input
        ref={input}
        id={`file-${slot}`}
        class="visually-hidden"
        type="file"
        aria-label={TITLES[slot]}
        accept={ACCEPTED}
        aria-describedby={`details-${slot}`}
        onChange={() => {
          const files = [...(input.current?.files ?? [])];
          if (input.current) input.current.value = "";
          void drop(files, slot);
        }}
      />
      <label class="button" for={`file-${slot}`}>
        Choose file
      </label>
      <p id={`details-${slot}`} class="details">
        {source ? (
          <>
            <strong>{source.name}</strong> {details}
          </>
        ) : (
          "or drop one here"
        )}
      </p>
    </div>
  );
}
