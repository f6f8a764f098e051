/** Builds the page of `refinefuse studio` into the package, which serves it. */

import { join } from "node:path";
import { defineConfig } from "vite";
import { licenses } from "./plugins/licenses.ts";

export default defineConfig({
  base: "./",
  publicDir: false,
  plugins: [licenses(import.meta.dirname, ["preact", "@preact/signals", "@preact/signals-core"])],
  build: {
    target: "es2022",
    outDir: join(import.meta.dirname, "..", "src", "refinefuse", "studio", "page"),
    emptyOutDir: true,
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: join(import.meta.dirname, "studio.html"),
      output: { entryFileNames: "studio.js", assetFileNames: "studio.[ext]" },
    },
  },
});
