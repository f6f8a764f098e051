import { readFile } from "node:fs/promises";
import type { Server } from "node:http";
import axe from "axe-core";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readTransform, type Transform, writeTransform } from "../../src/image/transform";
import { choose, difference, downloaded, drop, FILE, fused, launch, open, PATIENCE, reference, serve } from "./harness";

let browser: Browser;
let server: Server;
let url: string;

beforeAll(async () => {
  browser = await launch();
  ({ server, url } = await serve());
});

afterAll(async () => {
  await browser?.close();
  server?.close();
});

const SHIFT: Transform = {
  type: "affine",
  moving: { width: 160, height: 120 },
  fixed: { width: 160, height: 120 },
  matrix: [1, 0, 20, 0, 1, 0, 0, 0, 1],
  displacement: null,
};

async function load(page: Page, pair: string, a = "a.png"): Promise<void> {
  await choose(page, "A: infrared", reference(pair, a));
  await page.getByText(`Loaded ${a}.`).waitFor();
  await choose(page, "B: visible", reference(pair, "b.png"));
}

test("from file://: a dropped pair is fused as by the Python package, compared, zoomed and saved", async () => {
  const page = await open(browser, FILE);
  await drop(page, reference("night_street", "b.png"), reference("night_street", "a.png"));
  await fused(page);
  expect(await page.locator(".slot-a .details").textContent()).toContain("gray");
  expect(
    await difference(await downloaded(page, "Download fused image"), reference("night_street", "fused.png")),
  ).toBeLessThanOrEqual(1);
  expect(
    await difference(await downloaded(page, "Download weight map"), reference("night_street", "fused_weight_map.png")),
  ).toBeLessThanOrEqual(1);

  const shot = async () => (await page.locator("canvas").screenshot()).toString("base64");
  const half = await shot();
  await page.getByLabel("Position of the divider").fill("0");
  const whole = await shot();
  expect(whole).not.toBe(half);
  const box = (await page.locator("canvas").boundingBox())!;
  await page.mouse.move(box.x, box.y + 50);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 2, box.y + 50, { steps: 4 });
  await page.mouse.up();
  expect(await page.getByLabel("Position of the divider").inputValue()).toBe("50");
  const before = await page.getByLabel("Zoom factor").textContent();
  await page.mouse.wheel(0, -400);
  await expect.poll(() => page.getByLabel("Zoom factor").textContent()).not.toBe(before);
  await page.getByRole("button", { name: "100 %" }).click();
  expect(await page.getByLabel("Zoom factor").textContent()).toBe("100 %");
});

test("the fastest network, as by the Python package", async () => {
  const page = await open(browser, url);
  await load(page, "night_street");
  await fused(page);
  await page.getByLabel("Weights").selectOption({ label: "Fastest (nano)" });
  await expect
    .poll(async () =>
      difference(await downloaded(page, "Download fused image"), reference("night_street", "fastest.png")),
    )
    .toBeLessThanOrEqual(1);
});

test("a GPU takes over after the first image, and computes what the Python package does", async () => {
  const gpu = await launch("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader");
  const page = await open(gpu, `${url}?gpu=1`);
  await load(page, "tiny");
  await page.getByText(/^Fused \d.* on \d threads?\.$/).waitFor();
  const colors = page.getByRole("combobox", { name: "Color" });
  await expect
    .poll(async () => {
      await colors.selectOption("Grayscale");
      await fused(page);
      await colors.selectOption("Colors of B");
      await fused(page);
      return page.getByText(/ on the GPU\.$/).count();
    })
    .toBe(1);
  await expect
    .poll(async () => difference(await downloaded(page, "Download fused image"), reference("tiny", "fused.png")))
    .toBeLessThanOrEqual(1);
  await gpu.close();
});

test("16-bit images stay 16-bit, as by the Python package", async () => {
  const page = await open(browser, url);
  await load(page, "ridge_16bit");
  await fused(page);
  const file = await downloaded(page, "Download fused image");
  expect(await difference(file, reference("ridge_16bit", "fused.png"))).toBeLessThanOrEqual(2);
  await page.getByLabel("PNG").selectOption("8-bit");
  expect((await downloaded(page, "Download fused image")).length).toBeLessThan(file.length);
});

test("raw thermal counts in a TIFF get a range of their own, as by the Python package", async () => {
  const page = await open(browser, url);
  await load(page, "counts", "a.tif");
  await fused(page);
  await page.getByText("raw thermal counts").waitFor();
  expect(
    await difference(await downloaded(page, "Download fused image"), reference("counts", "fused.png")),
  ).toBeLessThanOrEqual(2);
  await page.getByLabel("Black, counts").fill("7200");
  await page.getByLabel("Black, counts").press("Enter");
  await expect.poll(() => page.getByLabel("Black", { exact: true }).inputValue()).toBe("7200");
  await expect
    .poll(async () => difference(await downloaded(page, "Download fused image"), reference("counts", "fused.png")))
    .toBeGreaterThan(257);
});

test("a saved transform aligns a pair of two sizes as the Python package does", async () => {
  const page = await open(browser, url);
  await load(page, "aligned");
  await fused(page);
  await page.getByText("The images differ in size").waitFor();
  await page.getByLabel("Load transform").setInputFiles(reference("aligned", "transform.json"));
  await page.getByText("By transform.json").waitFor();
  await fused(page);
  await expect
    .poll(async () => difference(await downloaded(page, "Download fused image"), reference("aligned", "fused.png")))
    .toBeLessThanOrEqual(1);
  const text = await readFile(reference("aligned", "transform.json"), "utf8");
  expect(JSON.parse(writeTransform(readTransform(text)))).toEqual(JSON.parse(text));
});

test("a shift is noticed, and taken back", async () => {
  const page = await open(browser, url);
  await load(page, "shifted");
  await fused(page);
  await page.getByText("25 pixels to the right and 14 pixels down").waitFor();
  await page.getByRole("button", { name: "Move A back" }).click();
  await expect.poll(() => page.getByLabel("Move A right (pixels of B)").inputValue()).toBe("-25");
  expect(await page.getByLabel("Move A down (pixels of B)").inputValue()).toBe("-14");
  await fused(page);
  expect(await page.getByText("A looks shifted").count()).toBe(0);
});

test("an alignment by hand is saved as a transform that gives the same image", async () => {
  const page = await open(browser, url);
  await load(page, "smoke");
  await fused(page);
  const plain = await downloaded(page, "Download fused image");
  expect(await difference(plain, reference("smoke", "fused.png"))).toBeLessThanOrEqual(1);
  await page.getByLabel("Move A right (pixels of B)").fill("12");
  await page.getByLabel("Move A right (pixels of B)").press("Enter");
  await page.getByRole("button", { name: "Save transform" }).and(page.locator(":enabled")).waitFor();
  const byHand = await downloaded(page, "Download fused image");
  expect(byHand.equals(plain)).toBe(false);
  const transform = await downloaded(page, "Save transform");
  await page
    .getByLabel("Load transform")
    .setInputFiles({ name: "t.json", mimeType: "application/json", buffer: transform });
  await page.getByText("By t.json").waitFor();
  await fused(page);
  expect((await downloaded(page, "Download fused image")).equals(byHand)).toBe(true);
});

test("broken files are refused with advice, and the page goes on", async () => {
  const page = await open(browser, url);
  await load(page, "night_street");
  await fused(page);
  const alert = page.getByRole("alert");
  for (const [name, message] of [
    ["truncated.png", "PNG file cannot be decoded"],
    ["flipped.png", "PNG file cannot be decoded"],
    ["text.png", "is not an image"],
    ["empty.tif", "is empty"],
    ["truncated.tif", "TIFF file cannot be decoded"],
    ["rare.tif", "big-endian differences"],
    ["pages.tif", "several images"],
  ] as const) {
    await choose(page, "A: infrared", reference("broken", name));
    await alert.getByText(name).waitFor();
    expect(await alert.textContent()).toContain(message);
    expect(await alert.textContent()).toMatch(/Copy|Choose|Export/);
    expect(await page.locator("canvas").count()).toBe(0);
  }
  await choose(page, "A: infrared", reference("night_street", "a.png"));
  await fused(page);
  expect(await alert.count()).toBe(0);
});

test("4000 x 3000 pixels are fused in tiles, as by the Python package", async () => {
  const page = await open(browser, url);
  await load(page, "large");
  await fused(page, 2 * PATIENCE);
  expect(
    await difference(await downloaded(page, "Download fused image"), reference("large", "fused.png")),
  ).toBeLessThanOrEqual(1);
});

test("after the first load the page works offline, and is isolated for threads", async () => {
  const page = await open(browser, url);
  await page.evaluate(async () => {
    await navigator.serviceWorker.ready;
  });
  await page.reload();
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
  await page.context().setOffline(true);
  await page.reload();
  await page.getByRole("button", { name: "smoke" }).click();
  await fused(page);
  expect(
    await difference(await downloaded(page, "Download fused image"), reference("sample", "fused.png")),
  ).toBeLessThanOrEqual(1);
});

test("with the keyboard alone: example, divider, zoom, grayscale and download", async () => {
  const page = await open(browser, url);
  const reach = async (name: string) => {
    for (let presses = 0; presses < 40; presses++) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(
        () =>
          document.activeElement?.getAttribute("aria-label") ??
          (document.activeElement as HTMLInputElement).labels?.[0]?.textContent ??
          document.activeElement?.textContent ??
          "",
      );
      if (at.includes(name)) return;
    }
    throw new Error(`the keyboard does not reach '${name}'`);
  };
  await reach("smoke");
  await page.keyboard.press("Enter");
  await fused(page);
  await reach("Color");
  await page.keyboard.press("ArrowDown");
  await reach("Arrow keys move");
  const fit = await page.getByLabel("Zoom factor").textContent();
  await page.keyboard.press("+");
  await page.keyboard.press("ArrowRight");
  expect(await page.getByLabel("Zoom factor").textContent()).not.toBe(fit);
  await reach("Position of the divider");
  await page.keyboard.press("End");
  expect(await page.getByLabel("Position of the divider").inputValue()).toBe("100");
  await reach("Download fused image");
  const [download] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("Enter")]);
  expect(download.suggestedFilename()).toBe("smoke_vi_fused.png");
  expect(
    await difference(await readFile(await download.path()), reference("sample", "fused.png")).catch(
      (error) => error.message,
    ),
  ).toContain("x 1, 8 bits");
});

test.each(["light", "dark"] as const)("axe finds nothing serious, %s", async (colorScheme) => {
  const page = await open(browser, url, { colorScheme });
  const check = async () => {
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate(async () => (globalThis as unknown as { axe: typeof axe }).axe.run());
    const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    return serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(", ")}`);
  };
  expect(await check()).toEqual([]);
  await load(page, "counts", "a.tif");
  await fused(page);
  expect(await check()).toEqual([]);
  await choose(page, "A: infrared", reference("broken", "text.png"));
  await page.getByRole("alert").waitFor();
  expect(await check()).toEqual([]);
  await page.getByRole("button", { name: "Videos" }).click();
  expect(await check()).toEqual([]);
});

test("two videos are fused as they play, paused, and recorded", async () => {
  const page = await open(browser, url);
  await page.getByRole("button", { name: "Videos" }).click();
  await choose(page, "A: infrared", reference("videos", "a.webm"));
  await choose(page, "B: visible", reference("videos", "b.webm"));
  await page.getByText(/frames per second/).waitFor();
  await page.getByRole("button", { name: "Record" }).click();
  await page.waitForTimeout(1500);
  const video = await downloaded(page, "Stop and save");
  expect(video.subarray(0, 4).toString("hex")).toBe("1a45dfa3"); // Matroska
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByRole("button", { name: "Play" }).waitFor();
  await page.getByLabel("Position of the divider").fill("0");
  const shot = async () => (await page.locator("canvas").screenshot()).toString("base64");
  const still = await shot();
  await page.getByLabel("Position in the video").fill("2.6");
  await expect.poll(shot).not.toBe(still);

  const transform = (width: number) => ({
    name: "moved.json",
    mimeType: "application/json",
    buffer: Buffer.from(writeTransform({ ...SHIFT, moving: { width, height: 120 } })),
  });
  await page.getByLabel("Position of the divider").fill("0");
  await expect.poll(() => page.getByText(/frames per second/).count()).toBe(1);
  const unmoved = await shot();
  await page.getByLabel("Load transform").setInputFiles(transform(320));
  await page.getByRole("alert").getByText("another size of A: expected 320 × 120, got 160 × 120").waitFor();
  await page.getByRole("button", { name: "Align by hand instead" }).click();
  await page.getByLabel("Load transform").setInputFiles(transform(160));
  await page.getByText("By moved.json").waitFor();
  await expect.poll(shot).not.toBe(unmoved);
  expect(await page.getByRole("alert").count()).toBe(0);
});

test("two cameras are fused live", async () => {
  const page = await open(browser, url);
  await page.getByRole("button", { name: "Cameras" }).click();
  await page.getByRole("button", { name: "Find cameras" }).click();
  await page.getByText("2 cameras found").waitFor();
  await page.getByRole("button", { name: "Start" }).click();
  await page.getByText(/frames per second/).waitFor();
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByText("Stopped.").waitFor();
  await page.getByRole("button", { name: "Start" }).click();
  await page.getByText(/frames per second/).waitFor();
  await page.getByRole("button", { name: "Images" }).click();
  await page.getByText("Drop an infrared and a visible image").waitFor();
});
