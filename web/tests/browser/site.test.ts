import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launch, PATIENCE } from "./harness";

const HOME = join(import.meta.dirname, "..", "..", "..", "out", "site", "index.html");

let browser: Browser;

beforeAll(async () => {
  browser = await launch();
});

afterAll(() => browser?.close());

test.skipIf(!existsSync(HOME)).each([
  ["16-bit thermal", "16-bit thermal images"],
  ["which weights", "Which weights"],
])("the documentation, opened as a file: '%s' is the first that the search finds", async (query, title) => {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  await page.goto(pathToFileURL(HOME).href);
  await page.getByPlaceholder("Search").pressSequentially(query); // the search listens to keys, not to the value
  const first = page.locator(".md-search-result__link").first();
  await first.click();
  await expect.poll(() => page.locator("article h1").textContent()).toContain(title);
  await page.close();
});
