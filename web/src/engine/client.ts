/** The engine as the page sees it: every method is a message to the worker. */

import { InputError } from "../image/picture";
import type { Engine, Reply } from "./protocol";
import EngineWorker from "./worker?worker&inline";

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** Start the worker. `onProgress` is told the fraction done of the fusion that runs. */
export function startEngine(onProgress: (done: number) => void): Engine {
  const worker = new EngineWorker();
  const waiting = new Map<number, Waiting>();
  let count = 0;
  worker.onmessage = ({ data: reply }: MessageEvent<Reply>) => {
    if ("progress" in reply) return onProgress(reply.progress);
    const call = waiting.get(reply.id);
    waiting.delete(reply.id);
    if ("error" in reply) call?.reject(new InputError(reply.error.message, reply.error.advice));
    else call?.resolve(reply.value);
  };
  worker.onerror = () => {
    for (const call of waiting.values()) {
      call.reject(new InputError("The fusion engine stopped.", "Reload the page, or try a current browser."));
    }
    waiting.clear();
  };
  const call = (method: string) => (value: unknown) =>
    new Promise((resolve, reject) => {
      waiting.set(++count, { resolve, reject });
      worker.postMessage({ id: count, method, value });
    });
  const methods = [
    "setUp",
    "load",
    "swap",
    "fuse",
    "shift",
    "encode",
    "frame",
  ] as const satisfies readonly (keyof Engine)[];
  return Object.fromEntries(methods.map((method) => [method, call(method)])) as unknown as Engine;
}
