import { defineConfig } from "vite";
import { viteSingleFile } from "vite-plugin-singlefile";
import { licenses } from "./plugins/licenses.ts";
import { payload } from "./plugins/payload.ts";

export default defineConfig({
  base: "./",
  plugins: [payload(import.meta.dirname), licenses(import.meta.dirname), viteSingleFile()],
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "import"] },
  worker: { format: "iife" },
  build: { target: "es2022", chunkSizeWarningLimit: 20_000 },
});
