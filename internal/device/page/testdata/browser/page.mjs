// Drives the page in a real browser. browser_test.go starts it and reads from its
// standard output a line of JSON for every check: { name, error }.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

// url is the page's, control the test's own server; files has inputs and what is
// expected of them; screenshots is "" or a folder.
const { url, control, files, modules, chromium: executablePath, screenshots } = JSON.parse(process.env.PAGE_TEST);
const require = createRequire(join(modules, "index.js"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const limit = 60_000;
const desktop = { width: 1280, height: 900 }, phone = { width: 390, height: 844 };
const outside = [], complaints = [];

// check ends everything where it fails: later ones build on it.
async function check(name, body) {
  try {
    await body();
  } catch (e) {
    console.log(JSON.stringify({ name, error: e.stack ?? String(e) }));
    await browser.close();
    process.exit(1);
  }
  console.log(JSON.stringify({ name, error: "" }));
}

const browser = await chromium.launch({
  executablePath, timeout: limit,
  // No name can be resolved: the network is off, but for this machine itself.
  args: ["--enable-unsafe-swiftshader", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", ...(process.getuid() === 0 ? ["--no-sandbox"] : [])],
});

async function open(options, { silent = false } = {}) {
  const context = await browser.newContext({ viewport: desktop, reducedMotion: "reduce", bypassCSP: false, ...options });
  context.setDefaultTimeout(limit);
  const page = await context.newPage();
  if (!silent) {
    page.on("request", (r) => { if (!r.url().startsWith(url) && !/^(blob|data):/.test(r.url())) outside.push(r.url()); });
    page.on("pageerror", (e) => complaints.push(e.stack));
    page.on("console", (m) => { if (m.type() === "error" && !/status of (4\d\d|503)|net::ERR/.test(m.text())) complaints.push(m.text()); });
  }
  await page.goto(url);
  return page;
}

const inputs = (name) => ({ name, mimeType: "", buffer: readFileSync(join(files, name)) });
const expected = (name) => JSON.parse(readFileSync(join(files, name + ".json"), "utf8"));
const choose = (page, ...names) => page.setInputFiles("#file", names.map(inputs));

async function shown(page, name) {
  await page.waitForFunction((name) => document.getElementById("result-title").textContent === name && document.getElementById("work").hidden, name);
}

async function drop(page, name) {
  const transfer = await page.evaluateHandle(([name, base64]) => {
    const t = new DataTransfer();
    t.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name, { type: "image/png" }));
    return t;
  }, [name, readFileSync(join(files, name)).toString("base64")]);
  await page.dispatchEvent("#drop", "dragover", { dataTransfer: transfer });
  await page.dispatchEvent("#drop", "drop", { dataTransfer: transfer });
}

// pixels reads a canvas: { width, height, data } with four bytes a pixel.
async function pixels(page, id) {
  const read = await page.evaluate((id) => {
    const canvas = document.getElementById(id);
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let text = "";
    for (let i = 0; i < data.length; i += 8192) text += String.fromCharCode(...data.subarray(i, i + 8192));
    return { width: canvas.width, height: canvas.height, data: btoa(text) };
  }, id);
  return { ...read, data: Buffer.from(read.data, "base64") };
}

// same compares a canvas with what each pixel should be, to the given difference.
function same(canvas, want, wanted, tolerance) {
  assert.deepEqual([canvas.width, canvas.height], [want.width, want.height]);
  for (let i = 0; i < want.width * want.height; i++) {
    const [r, g, b] = wanted(i), at = canvas.data.subarray(4 * i, 4 * i + 4);
    if (Math.max(Math.abs(at[0] - r), Math.abs(at[1] - g), Math.abs(at[2] - b)) > tolerance || at[3] !== 255) {
      assert.fail(`pixel ${i} is ${[...at]}, want ${[r, g, b]}`);
    }
  }
}

function picture(name) {
  const want = expected(name);
  const classes = Buffer.from(want.classes, "base64"), grey = Buffer.from(want.grey, "base64");
  const colour = (v) => [1, 3, 5].map((at) => parseInt(want.colours[v].slice(at, at + 2), 16));
  return {
    ...want,
    mask: (i) => (classes[i] === 0 ? [0, 0, 0] : colour(classes[i])),
    image: (i) => [grey[i], grey[i], grey[i]],
    overlay: (opacity) => (i) => (classes[i] === 0 ? [grey[i], grey[i], grey[i]] : colour(classes[i]).map((c) => opacity * c + (1 - opacity) * grey[i])),
    without: (hidden) => (i) => (classes[i] === 0 || classes[i] === hidden ? [0, 0, 0] : colour(classes[i])),
  };
}

async function accessible(page) {
  await page.evaluate((source) => { if (!window.axe) (0, eval)(source); }, axe).catch(() => page.addScriptTag({ content: axe }));
  const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" ")}`), []);
}

async function fits(page) {
  const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= room, `${wide} pixels wide on ${room}`);
}

// photograph leaves a picture of the page as WebP, which is a third of a PNG.
async function photograph(page, name, size) {
  const before = page.viewportSize();
  await page.setViewportSize(size);
  await page.evaluate(() => scrollTo(0, 0));
  const taken = await page.screenshot();
  await page.setViewportSize(before);
  const blank = await (await browser.newContext()).newPage();
  const small = await blank.evaluate(async (base64) => {
    const bitmap = await createImageBitmap(await (await fetch("data:image/png;base64," + base64)).blob());
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: "image/webp", quality: 0.85 })).arrayBuffer());
    return btoa(bytes.reduce((text, b) => text + String.fromCharCode(b), ""));
  }, taken.toString("base64"));
  await blank.context().close();
  writeFileSync(join(screenshots, name + ".webp"), Buffer.from(small, "base64"));
}

const page = await open({});
let chosen = () => {};
page.on("filechooser", (chooser) => chosen(chooser)); // from the start: the browser must know that nobody sees its dialogue

await check("A slice that is dropped is shown as image, mask and overlay", async () => {
  await drop(page, "slice.png");
  await shown(page, "slice.png");
  const want = picture("slice.png");
  same(await pixels(page, "image"), want, want.image, 0);
  same(await pixels(page, "mask"), want, want.mask, 0);
  same(await pixels(page, "overlay"), want, want.overlay(0.5), 2);
});

await check("Shares and pixels of the tissues are those of the mask", async () => {
  const rows = await page.locator("#tissues tbody tr").allInnerTexts();
  const want = expected("slice.png");
  assert.equal(rows.length, want.tissues.length);
  want.tissues.forEach((t, i) => {
    assert.ok(rows[i].includes(`${(100 * t.share).toFixed(1)} %`), rows[i]);
    assert.ok(rows[i].includes(t.pixels.toLocaleString("en-GB")), rows[i]);
  });
  const details = await page.locator("#details").innerText();
  for (const text of [want.model, "Network", "Altogether", `${want.width} × ${want.height} pixels`]) assert.ok(details.includes(text), details);
});

await check("Opacity and tissues are chosen by the keyboard", async () => {
  const want = picture("slice.png");
  await page.focus("#opacity");
  await page.keyboard.press("Home");
  same(await pixels(page, "overlay"), want, want.image, 0);
  await page.keyboard.press("End");
  same(await pixels(page, "overlay"), want, want.overlay(1), 0);
  assert.equal(await page.locator("#opacity-value").innerText(), "100 %");
  await page.locator("#tissues input").nth(1).focus();
  await page.keyboard.press("Space");
  same(await pixels(page, "mask"), want, want.without(2), 0);
  await page.keyboard.press("Space");
  await page.focus("#opacity");
  for (let i = 0; i < 10; i++) await page.keyboard.press("ArrowLeft");
  same(await pixels(page, "overlay"), want, want.overlay(0.5), 2);
});

await check("The mask that is downloaded is the one that others get", async () => {
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
  assert.equal(download.suggestedFilename(), "slice.mask.png");
  assert.deepEqual(readFileSync(await download.path()), readFileSync(join(files, "slice.png.mask")));
});

if (screenshots) await photograph(page, "page-desktop", { width: 1120, height: 1010 });

await check("A file is chosen by the keyboard", async () => {
  await page.evaluate(() => document.activeElement.blur());
  await page.locator("body").click({ position: { x: 1, y: 1 } });
  let reached = "";
  for (let i = 0; i < 5 && reached !== "file"; i++) {
    await page.keyboard.press("Tab");
    reached = await page.evaluate(() => document.activeElement.id);
  }
  assert.equal(reached, "file");
  const chooser = new Promise((resolve) => { chosen = resolve; });
  await page.keyboard.press("Enter");
  await (await chooser).setFiles([inputs("deep.png"), inputs("turned.jpg")]);
  await shown(page, "turned.jpg");
  assert.equal(await page.locator("#other-list button").count(), 3);
});

await check("A JPEG that says it is turned lies under its mask", async () => {
  const want = picture("turned.jpg");
  same(await pixels(page, "image"), want, want.image, 3);
  same(await pixels(page, "mask"), want, want.mask, 0);
});

await check("A slice of 16 bits is shown in its own range", async () => {
  await page.locator("#other-list button", { hasText: "deep.png" }).click();
  await shown(page, "deep.png");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "deep.png");
  const want = picture("deep.png");
  same(await pixels(page, "mask"), want, want.mask, 0);
  const values = [...Buffer.from(want.grey, "base64")].filter((v) => v > 0).sort((a, b) => a - b);
  const white = values[Math.floor(0.99 * values.length)];
  same(await pixels(page, "image"), want, (i) => want.image(i).map((v) => Math.min(255, (255 * v) / white)), 4);
});

await check("Errors are told in words", async () => {
  await choose(page, "text.png", "black.png");
  await page.locator("#problems div").waitFor();
  const text = await page.locator("#problems").innerText();
  assert.match(text, /text\.png: The image cannot be read/);
  assert.match(text, /Code: image_unreadable/);
  await shown(page, "black.png");
  assert.match(await page.locator("#quality").innerText(), /same value/);
});

await check("What the device does is shown live, whoever asked", async () => {
  const number = () => page.locator("#recent tbody th").first().innerText().then(Number);
  assert.match(await page.locator("#model").innerText(), /^\S+ \d+\.\d+\.\d+$/);
  await page.waitForFunction(() => document.getElementById("state-text").textContent === "Ready");
  const before = await number();
  assert.ok((await fetch(url, { method: "POST", body: readFileSync(join(files, "slice.png")), headers: { "Content-Type": "image/png" } })).ok);
  await page.waitForFunction((before) => Number(document.querySelector("#recent tbody th").textContent) > before, before);
  assert.match(await page.locator("#recent").innerText(), /The image cannot be read/);
});

await check("A device that is busy is asked again", async () => {
  await fetch(control + "/hold", { method: "POST" });
  await choose(page, "slice.png");
  await page.waitForFunction(() => /is busy.*sent again/.test(document.getElementById("work-text").textContent));
  await page.waitForFunction(() => document.getElementById("waiting").textContent.startsWith("2 requests"));
  await fetch(control + "/release", { method: "POST" });
  await shown(page, "slice.png");
  await page.waitForFunction(() => document.getElementById("waiting").textContent === "No request is waiting.");
});

// colours counts the pixels of an element, as it is seen, that have about this colour.
async function pixelsLike(page, selector, [red, green, blue]) {
  const taken = await page.locator(selector).screenshot();
  const blank = await (await browser.newContext()).newPage();
  const count = await blank.evaluate(async ([base64, red, green, blue]) => {
    const bitmap = await createImageBitmap(await (await fetch("data:image/png;base64," + base64)).blob());
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    let count = 0;
    for (let i = 0; i < data.length; i += 4) {
      if (Math.max(Math.abs(data[i] - red), Math.abs(data[i + 1] - green), Math.abs(data[i + 2] - blue)) < 12) count++;
    }
    return count;
  }, [taken.toString("base64"), red, green, blue]);
  await blank.context().close();
  return count;
}

const idle = () => page.waitForFunction(() => document.getElementById("work").hidden);

await check("A scan is segmented, and shown in three planes", async () => {
  await choose(page, "head.nii.gz");
  await page.waitForFunction(() => !document.getElementById("scan-facts").hidden);
  await idle();
  assert.equal(await page.locator("#scan-title").innerText(), "head.nii.gz");
  assert.deepEqual(await page.locator("#places output").allInnerTexts(), ["13 of 24", "15 of 28", "10 of 18", "50 %"]);
  const want = expected("head.nii.gz");
  const rows = await page.locator("#scan-tissues tbody tr").allInnerTexts();
  assert.equal(rows.length, want.tissues.length);
  want.tissues.forEach((t, i) => assert.ok(rows[i].includes(`${t.ml.toFixed(0)} ml`) && rows[i].includes(`${(100 * t.fraction).toFixed(1)} %`), rows[i]));
  assert.match(await page.locator("#scan-quality").innerText(), /Hardly any brain/);
  assert.match(await page.locator("#scan-details").innerText(), /24 × 28 × 18 voxels of 1 × 1 × 1 mm/);
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#scan-download")]);
  assert.equal(download.suggestedFilename(), "head_dseg.nii.gz");
  assert.deepEqual(gunzipSync(readFileSync(await download.path())), gunzipSync(readFileSync(join(files, "head.nii.gz.labels"))));
});

await check("A label map of somebody else is laid over the scan", async () => {
  const grey = [0xe0, 0x7a, 0x5f]; // of the labels that say grey matter
  await choose(page, "head_dseg.nii.gz");
  await idle();
  assert.equal(await page.locator("#scan-title").innerText(), "head.nii.gz");
  await page.focus("#scan-opacity");
  await page.keyboard.press("End");
  assert.ok(await pixelsLike(page, "#planes", grey) > 500);
  await page.keyboard.press("Home");
  assert.equal(await pixelsLike(page, "#planes", grey), 0);
  for (let i = 0; i < 10; i++) await page.keyboard.press("ArrowRight");
  await page.focus("#axial");
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.locator("#axial-value").innerText(), "11 of 18");
});

await check("A zip of DICOM is segmented, and shown as a picture", async () => {
  await fetch(control + "/quick", { method: "POST" }); // it has 500 slices of a millimetre
  await choose(page, "series.zip");
  await page.waitForFunction(() => document.getElementById("scan-title").textContent === "series.zip" && !document.getElementById("scan-facts").hidden);
  await idle();
  await fetch(control + "/slow", { method: "POST" });
  const { data } = await pixels(page, "scan-picture");
  assert.ok(data.some((v, i) => i % 4 < 3 && v > 50));
  assert.equal(await page.locator("#scan-viewer").isVisible(), false);
});

await check("What is no scan is told of in words", async () => {
  await choose(page, "text.nii");
  await page.locator("#problems div").waitFor();
  assert.match(await page.locator("#problems").innerText(), /text\.nii: The image cannot be read/);
});

await check("A page on a desktop has no violation that axe knows", () => accessible(page));
await check("Nothing on a desktop is cut off", () => fits(page));

await check("A dark page has no violation either", async () => {
  await page.emulateMedia({ colorScheme: "dark" });
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), "rgb(17, 22, 28)");
  await accessible(page);
});

await check("Nothing moves for those who want that", async () => {
  assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
});

await check("Scripts from elsewhere do not run", async () => {
  const other = await open({}, { silent: true });
  await other.evaluate(() => {
    window.refused = new Set();
    addEventListener("securitypolicyviolation", (e) => window.refused.add(e.effectiveDirective));
    for (const make of [
      () => { const s = document.createElement("script"); s.textContent = "window.ran = true"; document.head.append(s); },
      () => { document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.ran = true'>"); },
      () => { const s = document.createElement("style"); s.textContent = "body { color: red }"; document.head.append(s); },
      () => { const i = document.createElement("img"); i.src = "http://192.0.2.1/i.png"; document.body.append(i); },
    ]) {
      try { make(); } catch { /* refused at once */ }
    }
  });
  await other.waitForFunction(() => ["require-trusted-types-for", "style-src-elem", "img-src"].every((d) => window.refused.has(d)));
  assert.equal(await other.evaluate(() => window.ran), undefined);
  await other.context().close();
});

const small = await open({ viewport: phone, colorScheme: "dark", hasTouch: true, isMobile: true, deviceScaleFactor: 2 });
await check("A phone has no violation that axe knows, before a slice and after", async () => {
  await accessible(small);
  await choose(small, "slice.png");
  await shown(small, "slice.png");
  const want = picture("slice.png");
  same(await pixels(small, "mask"), want, want.mask, 0);
  await accessible(small);
  await fits(small);
});
if (screenshots) await photograph(small, "page-phone", phone);

await check("Without JavaScript a slice is answered with its mask", async () => {
  const plain = await open({ javaScriptEnabled: false });
  await choose(plain, "slice.png");
  const [answer] = await Promise.all([plain.waitForResponse((r) => r.request().method() === "POST"), plain.click("#send button")]);
  assert.deepEqual([answer.status(), answer.headers()["content-type"]], [200, "image/png"]);
  await plain.context().close();
});

await check("A device that does not answer is told of", async () => {
  await fetch(control + "/stop", { method: "POST" });
  await page.waitForFunction(() => document.getElementById("state-text").textContent === "No connection");
  await choose(page, "slice.png");
  await page.locator("#problems div").waitFor();
  assert.match(await page.locator("#problems").innerText(), /The device does not answer/);
});

await check("Nothing was asked of anybody else", () => assert.deepEqual(outside, []));
await check("The browser had nothing to complain of", () => assert.deepEqual(complaints, []));
await browser.close();
