// Draws image, mask and overlay.

import { readGrey } from "./png.js";

// readImage returns a canvas with the image in its stored orientation, as the
// service reads it; null where this browser cannot show it.
export async function readImage(file) {
  try {
    const grey = await readGrey(new Uint8Array(await file.arrayBuffer()));
    if (grey?.depth === 16) return windowed(grey);
    const bitmap = await createImageBitmap(await withoutOrientation(file), { colorSpaceConversion: "none" });
    const canvas = blank(bitmap.width, bitmap.height);
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
    return canvas;
  } catch {
    return null;
  }
}

function blank(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

// windowed shows 16 bits as 8, from the darkest to what 99 % of the pixels that are
// not the darkest do not pass: scanners use a small part of the range.
function windowed({ width, height, values }) {
  const histogram = new Uint32Array(1 << 16);
  for (const v of values) histogram[v]++;
  const low = histogram.findIndex((n) => n > 0);
  let high = low;
  for (let left = 0.99 * (values.length - histogram[low]); high < 0xffff && left > 0; ) left -= histogram[++high];
  const canvas = blank(width, height), context = canvas.getContext("2d"), pixels = context.createImageData(width, height);
  for (let i = 0; i < values.length; i++) {
    const v = high > low ? (255 * (values[i] - low)) / (high - low) : 0;
    pixels.data.set([v, v, v, 255], 4 * i);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

// withoutOrientation cuts what cameras say of their position out of a JPEG: the
// service does not turn images, and the mask must lie on what is shown.
async function withoutOrientation(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return file;
  const kept = [bytes.subarray(0, 2)];
  let at = 2;
  while (at + 4 <= bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda) {
    const end = at + 2 + ((bytes[at + 2] << 8) | bytes[at + 3]);
    if (bytes[at + 1] !== 0xe1) kept.push(bytes.subarray(at, end));
    at = end;
  }
  return new Blob([...kept, bytes.subarray(at)], { type: "image/jpeg" });
}

// readMask returns { width, height, values }: a class a pixel.
export const readMask = readGrey;

// colour returns a canvas with the classes that shown has, by their colours, and
// nothing elsewhere. colours and shown go by class.
function coloured(mask, colours, shown) {
  const canvas = blank(mask.width, mask.height), context = canvas.getContext("2d");
  const pixels = context.createImageData(mask.width, mask.height);
  const words = new Uint32Array(pixels.data.buffer);
  const table = new Uint32Array(256);
  new Uint8Array(table.buffer).set([...Array(256).keys()].flatMap((v) => (v > 0 && shown.has(v) ? [...rgb(colours.get(v)), 255] : [0, 0, 0, 0])));
  for (let i = 0; i < mask.values.length; i++) words[i] = table[mask.values[i]];
  context.putImageData(pixels, 0, 0);
  return canvas;
}

function rgb(colour) {
  const n = parseInt(colour?.slice(1) ?? "888888", 16);
  return [n >> 16, (n >> 8) & 255, n & 255];
}

// draw fills the three canvases with a result. opacity is from 0 to 1.
export function draw(canvases, { image, mask, colours }, shown, opacity) {
  const tissues = coloured(mask, colours, shown);
  const layers = {
    image: [[image, 1]],
    mask: [[tissues, 1]],
    overlay: [[image, 1], [tissues, opacity]],
  };
  for (const [name, canvas] of Object.entries(canvases)) {
    canvas.width = mask.width;
    canvas.height = mask.height;
    const context = canvas.getContext("2d");
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    for (const [layer, alpha] of layers[name]) {
      if (!layer) continue;
      context.globalAlpha = alpha;
      context.drawImage(layer, 0, 0, canvas.width, canvas.height);
    }
  }
}
