/** A browser, a static server for the built page, and helpers that act as a user does. */

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { decode, type DecodedPng } from "fast-png";
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core";

const ROOT = join(import.meta.dirname, "..", "..");
const REFERENCE = process.env["REFINEFUSE_WEB_REFERENCE"] ?? join(ROOT, "tests", "reference");
const CHROMIUM =
  process.env["CHROMIUM"] ??
  ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const FLAGS = [
  "--no-sandbox",
  "--use-fake-ui-for-media-stream",
  "--use-fake-device-for-media-stream=device-count=2",
  "--autoplay-policy=no-user-gesture-required",
];

/** Milliseconds to wait for what happens in a second on a machine of one's own. */
export const PATIENCE = 120_000;

/** The page as a file, without any server. */
export const FILE = pathToFileURL(join(ROOT, "dist", "index.html")).href;

export function reference(...path: string[]): string {
  return join(REFERENCE, ...path);
}

export async function launch(...flags: string[]): Promise<Browser> {
  return chromium.launch({ executablePath: installed(), args: [...FLAGS, ...flags] });
}

/** A browser whose cookies and files lie in a folder. */
export async function launchProfile(folder: string): Promise<BrowserContext> {
  return chromium.launchPersistentContext(folder, { executablePath: installed(), args: FLAGS });
}

function installed(): string {
  if (!CHROMIUM) throw new Error("Chromium is not installed: apt-get install chromium, or set CHROMIUM to its path");
  return CHROMIUM;
}

/** Serves the built page as any static host does. */
export async function serve(): Promise<{ server: Server; url: string }> {
  const server = createServer((request, response) => {
    const name = new URL(request.url ?? "/", "http://localhost").pathname === "/sw.js" ? "sw.js" : "index.html";
    readFile(join(ROOT, "dist", name)).then(
      (content) => {
        response.setHeader("Content-Type", name === "sw.js" ? "text/javascript" : "text/html");
        response.end(content);
      },
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}

/** A page with the engine started. Fails on errors that nobody catches. */
export async function open(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext({
    acceptDownloads: true,
    viewport: { width: 1280, height: 860 },
    ...options,
  });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.on("pageerror", (error) => {
    throw error;
  });
  await page.goto(url);
  await page.getByText("Ready. Choose").waitFor();
  return page;
}

export async function choose(page: Page, slot: string, file: string): Promise<void> {
  await page.getByLabel(slot, { exact: true }).setInputFiles(file);
}

/** Drop files anywhere on the page. */
export async function drop(page: Page, ...files: string[]): Promise<void> {
  const contents = await Promise.all(
    files.map(async (file) => ({
      name: file.split("/").slice(-2).join("_"),
      data: (await readFile(file)).toString("base64"),
    })),
  );
  const transfer = await page.evaluateHandle((given) => {
    const transfer = new DataTransfer();
    for (const { name, data } of given) {
      transfer.items.add(new File([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], name));
    }
    return transfer;
  }, contents);
  await page.dispatchEvent("main", "drop", { dataTransfer: transfer });
}

export async function fused(page: Page, timeout = PATIENCE): Promise<void> {
  await page.getByText(/^Fused \d/).waitFor({ timeout });
  await page.locator("progress").waitFor({ state: "detached", timeout });
}

export async function downloaded(page: Page, name: string, role: "button" | "link" = "button"): Promise<Buffer> {
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole(role, { name }).click()]);
  return readFile(await download.path());
}

/** The largest difference between two PNGs of one kind, in levels of their depth. */
export async function difference(file: Buffer, expected: string): Promise<number> {
  const [one, other] = [decode(file), decode(await readFile(expected))];
  const kind = ({ width, height, channels, depth }: DecodedPng) => `${width} x ${height} x ${channels}, ${depth} bits`;
  if (kind(one) !== kind(other)) throw new Error(`${kind(one)} instead of ${kind(other)}`);
  let largest = 0;
  for (let i = 0; i < one.data.length; i++) largest = Math.max(largest, Math.abs(one.data[i] - other.data[i]));
  return largest;
}
