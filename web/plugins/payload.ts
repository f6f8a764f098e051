/** Puts the runtime, the networks and the sample pairs into the page itself, so that it also works from file://. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { HtmlTagDescriptor, Plugin } from "vite";
import type { ModelInfo } from "../src/network/network";

const SAMPLES = ["night_street", "smoke"];

export function payload(root: string): Plugin {
  const read = (...path: string[]) => readFileSync(join(root, ...path));
  const tag = (name: string, children: string): HtmlTagDescriptor => ({
    tag: "script",
    attrs: { type: "text/plain", "data-payload": name },
    children,
    injectTo: "body",
  });
  const packed = (name: string, content: Buffer) => tag(name, gzipSync(content, { level: 9 }).toString("base64"));
  return {
    name: "refinefuse-payload",
    transformIndexHtml() {
      const models = JSON.parse(read("models", "models.json").toString()) as ModelInfo[];
      const runtime = join("node_modules", "onnxruntime-web", "dist", "ort-wasm-simd-threaded");
      const program = (name: string, kind: string) => [
        packed(`${name}.wasm`, read(`${runtime}${kind}.wasm`)),
        packed(`${name}.mjs`, read(`${runtime}${kind}.mjs`)),
      ];
      return [
        tag("models", JSON.stringify(models)),
        ...program("runtime", ""),
        ...program("runtime-gpu", ".jspi"),
        ...models.map(({ name, file }) => packed(name, read("models", file))),
        ...SAMPLES.flatMap((name) =>
          ["ir", "vi"].map((kind) => packed(`${kind}/${name}.png`, read("models", "samples", kind, `${name}.png`))),
        ),
      ];
    },
  };
}
