import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import axe from "axe-core";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { choose, difference, downloaded, launch, launchProfile, PATIENCE, reference } from "./harness";

const ROOT = join(import.meta.dirname, "..", "..", "..");
const PYTHON = process.env["REFINEFUSE_PYTHON"] ?? [join(ROOT, ".venv", "bin", "python")].find(existsSync) ?? "python3";

let browser: Browser;
let studio: ChildProcess;
let url: string;

beforeAll(async () => {
  browser = await launch();
  const words = ["-m", "refinefuse", "studio", "--port", "0", "--threads", "1"];
  studio = spawn(PYTHON, words, { cwd: ROOT, stdio: ["ignore", "pipe", "inherit"] });
  url = await new Promise((resolve, reject) => {
    studio.stdout!.on("data", (text: Buffer) => {
      const found = /http:\S+/.exec(text.toString());
      if (found) resolve(found[0]);
    });
    studio.on("exit", () => reject(new Error("the studio did not start")));
  });
});

afterAll(async () => {
  await browser?.close();
  studio?.kill();
});

/** The studio as a new user sees it. */
async function visit(kind: string, context?: BrowserContext): Promise<Page> {
  context ??= await browser.newContext({ acceptDownloads: true, viewport: { width: 1280, height: 860 } });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.on("pageerror", (error) => {
    throw error;
  });
  await page.goto(`${url}#${kind}`);
  await page.getByRole("region", { name: "Sources" }).waitFor();
  return page;
}

async function fused(page: Page): Promise<void> {
  await page.getByText("Done.", { exact: true }).waitFor({ timeout: PATIENCE });
}

async function loadVideos(page: Page): Promise<void> {
  for (const slot of ["A: infrared", "B: visible"] as const) {
    const name = `${slot[0].toLowerCase()}-long.webm`;
    await choose(page, slot, reference("videos", name));
    await page.getByRole("region", { name: "Sources" }).getByText(name).waitFor();
  }
  await page.getByRole("button", { name: "Fuse", exact: true }).click();
  await page.getByText(/^\d+ of \d+ frames fused/).waitFor({ timeout: PATIENCE });
}

test("images are the package's, with metrics, and fused anew with another option", async () => {
  const page = await visit("images");
  await page.getByLabel("Weights").selectOption("infrared-visible-small");
  await choose(page, "A: infrared", reference("night_street", "a.png"));
  await page.getByText("a.png").first().waitFor();
  await choose(page, "B: visible", reference("night_street", "b.png"));
  await fused(page);
  const file = () => downloaded(page, "Fused image", "link");
  const first = await file();
  expect(await difference(first, reference("night_street", "fused.png"))).toBeLessThanOrEqual(1);
  await page.getByRole("row", { name: /edge recall/ }).waitFor();
  await page.locator("canvas").waitFor();
  await page.getByRole("combobox", { name: "Color" }).selectOption("Grayscale");
  await expect.poll(async () => (await file()).length, { timeout: PATIENCE }).toBeLessThan(first.length);
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(async () => (globalThis as unknown as { axe: typeof axe }).axe.run());
  expect(violations.filter(({ impact }) => impact === "serious" || impact === "critical")).toEqual([]);
});

test("a file that is no image is refused in plain words, and the next one is fused", async () => {
  const page = await visit("images");
  await choose(page, "A: infrared", reference("broken", "text.png"));
  await page.getByText("text.png").first().waitFor();
  await choose(page, "B: visible", reference("smoke", "b.png"));
  await page.getByRole("alert").getByText("it is not an image").waitFor();
  await choose(page, "A: infrared", reference("smoke", "a.png"));
  await fused(page);
  expect(await page.getByRole("alert").count()).toBe(0);
});

test("a video shows its progress, survives a reload and a browser that is killed, and is canceled", async () => {
  const profile = await mkdtemp(join(tmpdir(), "refinefuse-"));
  const killed = await launchProfile(profile);
  const page = await visit("videos", killed);
  await loadVideos(page);
  const count = async (shown: Page) => Number(/^\d+/.exec((await shown.getByText(/frames fused/).textContent())!)![0]);
  const before = await count(page);
  await page.reload();
  await page.getByText(/^\d+ of \d+ frames fused/).waitFor();
  const crash = await killed.newCDPSession(page);
  await Promise.all([killed.waitForEvent("close"), crash.send("Browser.crash").catch(() => undefined)]);
  const context = await launchProfile(profile);
  context.setDefaultTimeout(PATIENCE);
  const again = await context.newPage();
  await again.goto(url);
  await again.getByText(/^\d+ of \d+ frames fused/).waitFor();
  expect(await count(again)).toBeGreaterThan(before);
  await again.getByRole("button", { name: "Cancel" }).click();
  await again.getByText(/^Canceled: the first \d+ frames were saved/).waitFor();
  const video = again.getByLabel("Fused video");
  await expect.poll(() => video.evaluate((element: HTMLVideoElement) => element.videoWidth)).toBe(160);
  expect((await downloaded(again, "Fused video", "link")).subarray(4, 8).toString()).toBe("ftyp");
  await context.close();
  await rm(profile, { recursive: true });
});

test("a volume: window, slices by slider and keys, letters, scale bar", async () => {
  const page = await visit("volumes");
  await choose(page, "A: CT or MRI", reference("volumes", "ct.nii.gz"));
  await page.getByText("ct.nii.gz").first().waitFor();
  await choose(page, "B: MRI, PET or SPECT", reference("volumes", "mri.nii.gz"));
  await page.getByLabel("Window of CT").selectOption("Bone");
  await page.getByRole("button", { name: "Fuse", exact: true }).click();
  await fused(page);
  await page.getByText(/black to white: -500 to 1300/).waitFor();
  const slider = page.getByRole("slider", { name: "Slice" });
  expect(await slider.getAttribute("aria-valuetext")).toBe("Slice 5 of 8");
  const shot = async () => (await page.locator("canvas").screenshot()).toString("base64");
  await page.getByRole("img", { name: "left: right of the patient" }).waitFor();
  const middle = await shot();
  await page.locator("canvas").press("PageUp");
  expect(await slider.getAttribute("aria-valuetext")).toBe("Slice 6 of 8");
  await expect.poll(shot).not.toBe(middle);
  await slider.fill("0");
  expect(await page.locator(".scale-bar").textContent()).toMatch(/^(10|20|50|100) mm$/);
  expect((await downloaded(page, "Fused volume", "link")).subarray(0, 2).toString("hex")).toBe("1f8b");
});
