// The same work as c/contestant.c, as a Node program would do it: sharp for the
// pictures, onnxruntime-node for the network, one thread each.
//
//   node contestant.mjs MODEL.onnx SIZE_MULTIPLE LOW HIGH IGNORE
import { open, rename } from "node:fs/promises";
import { createInterface } from "node:readline";
import ort from "onnxruntime-node";
import sharp from "sharp";

const [model, ...numbers] = process.argv.slice(2);
const [multiple, low, high, ignore] = numbers.map(Number);

sharp.concurrency(1);
sharp.cache(false);
const session = await ort.InferenceSession.create(model, {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  graphOptimizationLevel: "all",
});

let feeds;

async function run() {
  return (await session.run(feeds)).mask.data;
}

// percentileWindow follows the rule of internal/segmentation/window.go.
function percentileWindow(pixels) {
  const histogram = new Uint32Array(256);
  for (let i = 0; i < pixels.length; i++) histogram[pixels[i]]++;
  let counted = 0;
  for (let v = ignore + 1; v < 256; v++) counted += histogram[v];
  if (counted === 0) return [0, 255];
  const at = (share) => {
    const index = Math.floor(share * (counted - 1));
    let seen = 0;
    for (let v = ignore + 1; v < 256; v++) if ((seen += histogram[v]) > index) return v;
  };
  const l = at(low);
  return [l, Math.max(at(high), l + 1)];
}

async function slice(input, output) {
  const { data, info } = await sharp(input).toColourspace("b-w").raw().toBuffer({ resolveWithObject: true });
  const { width, height } = info;
  const paddedWidth = Math.ceil(width / multiple) * multiple;
  const paddedHeight = Math.ceil(height / multiple) * multiple;
  const image = new Uint8Array(paddedWidth * paddedHeight);
  for (let y = 0; y < height; y++) image.set(data.subarray(y * width, (y + 1) * width), y * paddedWidth);
  feeds = {
    image: new ort.Tensor("uint8", image, [1, 1, paddedHeight, paddedWidth]),
    window: new ort.Tensor("float32", Float32Array.from(percentileWindow(data)), [2]),
  };
  const padded = await run();
  let mask = padded;
  if (paddedWidth !== width || paddedHeight !== height) {
    mask = new Uint8Array(width * height);
    for (let y = 0; y < height; y++) mask.set(padded.subarray(y * paddedWidth, y * paddedWidth + width), y * width);
  }
  const png = await sharp(mask, { raw: { width, height, channels: 1 } })
    .toColourspace("b-w")
    .png({ compressionLevel: 1, adaptiveFiltering: false })
    .toBuffer();
  const file = await open(output + ".tmp", "wx", 0o640);
  try {
    await file.write(png);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(output + ".tmp", output);
}

for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...rest] = line.split(" ");
  const times = [];
  const measure = async (work) => {
    const start = process.hrtime.bigint();
    await work();
    times.push(process.hrtime.bigint() - start);
  };
  if (command === "slice") {
    await measure(() => slice(rest[0], rest[1]));
  } else if (command === "run") {
    for (let i = 0; i < Number(rest[0]); i++) await measure(run);
  } else {
    throw new Error(`unknown command ${command}`);
  }
  process.stdout.write(times.join(" ") + "\n");
}
