/** The worker: answers the requests of the page with the engine. */

import { InputError } from "../image/picture";
import { Fusion } from "./fusion";
import type { Engine, Reply, Request } from "./protocol";

const UNKNOWN = "Reload the page. If it happens again with the same files, please report it with both files.";

let fusing = 0;
const engine: Engine = new Fusion((progress) => answer({ id: fusing, progress }));

function answer(reply: Reply): void {
  self.postMessage(reply);
}

self.onmessage = async ({ data: { id, method, value } }: MessageEvent<Request>) => {
  if (method === "fuse") fusing = id;
  try {
    const run = engine[method].bind(engine) as (value: Request["value"]) => Promise<unknown>;
    answer({ id, value: await run(value) });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const memory = /memory|allocation|bad_alloc/i.test(message) || error instanceof RangeError;
    const advice = error instanceof InputError ? error.advice : UNKNOWN;
    answer({
      id,
      error: memory
        ? {
            message: "This device has too little memory for these images.",
            advice: "Close other tabs, or use smaller images.",
          }
        : { message, advice },
    });
  }
};
