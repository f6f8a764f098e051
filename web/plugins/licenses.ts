/** Writes the licenses of everything that the page contains beside it, as they ask for. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

interface Locked {
  readonly version: string;
  readonly license?: string;
  readonly dev?: boolean;
}

export function licenses(root: string, only?: readonly string[]): Plugin {
  return {
    name: "refinefuse-licenses",
    apply: "build",
    generateBundle() {
      const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
      const wanted = (path: string) => !only || only.some((name) => path === `node_modules/${name}`);
      const all = Object.entries(lock.packages as Record<string, Locked>);
      const used = all.filter(([path, { dev }]) => path && !dev && wanted(path));
      const source = used.map(([path, locked]) => entry(root, path, locked)).join("\n\n");
      this.emitFile({ type: "asset", fileName: "licenses.txt", source: `${source}\n` });
    },
  };
}

function entry(root: string, path: string, { version, license }: Locked): string {
  const folder = join(root, path);
  const file = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name));
  const text = file ? readFileSync(join(folder, file), "utf8").trim() : "";
  return `${path.replace(/^.*node_modules\//, "")} ${version} (${license ?? "see below"})\n\n${text}`.trim();
}
