// Uses the page as a person would, in headless Chromium: node drive_page.mjs MODULES CHROMIUM URL WAV OUT [RATE ...]
//
// Writes what the page offers to OUT: RATE.json (its download) and RATE.wav (what its player plays); prints its status.

import { createRequire } from "node:module";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

const [modules, executablePath, url, wav, out, ...rates] = process.argv.slice(2);
const { chromium } = createRequire(join(modules, "from-here.js"))("playwright-core");

const quiet = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const browser = await chromium.launch({ executablePath, headless: true, args: quiet });
try {
  const page = await browser.newPage({ viewport: { width: 800, height: 1300 } });
  page.setDefaultTimeout(60_000);
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  const until = (...states) =>
    page.waitForFunction((wanted) => wanted.includes(document.body.dataset.state), states);
  const choose = () => page.setInputFiles("#file", wav);

  await page.goto(url);
  await page.waitForFunction(
    () => !document.getElementById("file").disabled || document.body.dataset.state === "error",
  );
  if (await page.isDisabled("#file")) throw new Error(await page.textContent("#status"));
  await choose();
  await until("done", "error");
  for (const rate of rates) {
    await page.evaluate(() => (document.body.dataset.state = ""));
    const radio = page.getByRole("radio", { name: rate });
    await ((await radio.isChecked()) ? choose() : radio.check());
    await until("done", "error");
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: /Download/ }).click();
    await (await download).saveAs(join(out, `${rate}.json`));
    const played = await page.evaluate(async () => {
      const response = await fetch(document.getElementById("decoded").src);
      return Array.from(new Uint8Array(await response.arrayBuffer()));
    });
    await writeFile(join(out, `${rate}.wav`), Buffer.from(played));
  }
  await page.screenshot({ path: join(out, "page.png") });
  const [status, numbers] = [await page.textContent("#status"), await page.innerText("#numbers")];
  console.log(JSON.stringify({ status, numbers, complaints }));
} finally {
  await browser.close();
}
