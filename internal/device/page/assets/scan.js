// Whole scans, in three planes, by NiiVue: NIfTI is shown at once, and the labels are
// laid over it when the device sends them. DICOM, in a zip, is shown as the picture
// that the device makes of it.

import { element, on } from "./elements.js";
import { showDetails, showQuality, showTissues } from "./facts.js";
import { Problem, segmentScan } from "./service.js";
import * as words from "./words.js";

// Those of label maps that are opened by themselves, which say none: the shipped
// model's.
const usual = [
  { value: 1, name: "csf", colour: "#3b82f6" }, { value: 2, name: "grey-matter", colour: "#e07a5f" }, { value: 3, name: "white-matter", colour: "#f4f1de" },
];

const axes = ["sagittal", "coronal", "axial"]; // of x, y and z, from left, back and bottom

const isNIfTI = (file) => /\.nii(\.gz)?$/i.test(file.name);
export const isScan = (file) => isNIfTI(file) || /\.zip$/i.test(file.name);
// isLabelMap goes by the name that BIDS gives label maps.
export const isLabelMap = (file) => isNIfTI(file) && /_dseg\.nii/i.test(file.name);

let loading = null; // a Promise of the viewer

// viewer loads NiiVue, most of the bytes of this page, when the first scan needs it.
async function viewer() {
  if (!document.createElement("canvas").getContext("webgl2")) {
    throw new Problem({ code: "no_webgl", detail: "Scans are drawn by WebGL 2, which this browser does not have, or has switched off. Slices need none." });
  }
  element("scan").hidden = element("scan-viewer").hidden = false; // it measures its canvas
  await import("/page/niivue.js"); // no module: it leaves its name behind
  const { Niivue, SHOW_RENDER } = globalThis.niivue;
  const made = new Niivue({
    multiplanarShowRender: SHOW_RENDER.NEVER, crosshairWidth: 1, crosshairColor: [1, 0.8, 0.2, 0.7], backColor: [0, 0, 0, 1], fontColor: [0.8, 0.8, 0.8, 1],
    dragAndDropEnabled: false, logLevel: "silent", loadingText: "", sliceType: 3,
  });
  await made.attachToCanvas(element("planes"));
  made.onLocationChange = place;
  return made;
}

// takeScan shows a scan and has it segmented, or lays a label map over what is shown.
// It returns what became of it, in words.
export async function takeScan(file, { signal, tell }) {
  if (isLabelMap(file)) {
    await showLabels(file, usual);
    return `${file.name} is shown.`;
  }
  element("scan-facts").hidden = true;
  element("scan-picture").hidden = true;
  // What NiiVue cannot draw here, the device may still read.
  const drawn = isNIfTI(file) && await showVolume(file).then(() => true, () => false);
  if (!drawn) {
    element("scan").hidden = true;
    const before = await loading?.catch(() => null); // or a label map would be laid over the scan before
    while (before?.volumes.length > 0) before.removeVolume(before.volumes.at(-1));
  }
  tell(`The device is segmenting ${file.name}, which takes a while`);
  const { document, files } = await segmentScan(file, drawn ? ["labels"] : ["labels", "picture"], { signal, tell });
  element("scan").hidden = false;
  if (drawn) await showLabels(new File([files.labels], "labels.nii.gz"), document.scan.tissues);
  else await showPicture(file, files.picture);
  showFacts(document);
  const link = element("scan-download");
  URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(new Blob([files.labels], { type: "application/gzip" }));
  link.download = `${file.name.replace(/\.(nii(\.gz)?|zip)$/i, "")}_dseg.nii.gz`;
  return `${file.name} is segmented: ${words.shares(document.scan.tissues)}.`;
}

async function open(file) {
  const shown = await (loading ??= viewer().catch((problem) => { loading = null; throw problem; }));
  element("scan-viewer").hidden = false;
  try {
    return [shown, await globalThis.niivue.NVImage.loadFromFile({ file, name: file.name })];
  } catch {
    throw new Problem({ code: "scan_unreadable", detail: "It is no NIfTI file, or it is damaged." });
  }
}

async function showVolume(file) {
  const [shown, image] = await open(file);
  while (shown.volumes.length > 0) shown.removeVolume(shown.volumes.at(-1));
  shown.addVolume(image);
  element("scan").hidden = false;
  element("scan-title").textContent = file.name;
  element("scan-labels").hidden = true;
  axes.forEach((axis, i) => { element(axis).max = image.dimsRAS[i + 1]; });
  shown.scene.crosshairPos = [0.5, 0.5, 0.5];
  draw(shown);
  place();
}

// showLabels lays a label map over the scan, in the colours of tissues; where none is
// shown, the label map is.
async function showLabels(file, tissues) {
  if (!(await loading)?.volumes.length) await showVolume(file);
  const [shown, image] = await open(file);
  while (shown.volumes.length > 1) shown.removeVolume(shown.volumes.at(-1));
  const table = { I: [0], labels: ["background"], R: [0], G: [0], B: [0], A: [0] };
  for (const { value, name, colour } of tissues) {
    table.I.push(value);
    table.labels.push(words.tissue(name));
    table.A.push(255);
    ["R", "G", "B"].forEach((channel, i) => table[channel].push(parseInt(colour.slice(1 + 2 * i, 3 + 2 * i), 16)));
  }
  image.setColormapLabel(table);
  shown.addVolume(image);
  element("scan-labels").hidden = false;
  draw(shown);
}

async function showPicture(file, bytes) {
  element("scan-title").textContent = file.name;
  element("scan-viewer").hidden = true;
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" })), canvas = element("scan-picture");
  canvas.hidden = false;
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
}

function showFacts(document) {
  const { scan } = document;
  element("scan-facts").hidden = false;
  showTissues("scan-tissues", (scan.tissues ?? []).map((t) => ({ ...t, share: t.fraction, amount: words.millilitres(t.ml) })));
  showQuality("scan-quality", scan.quality.flags.map(words.scanFlag), "Nothing odd was found about the scan.");
  showDetails("scan-details", document, [
    ["Brain", words.millilitres(scan.brainMl)],
    ["Grid", scan.grid && `${scan.grid.size.join(" × ")} voxels of ${scan.grid.spacingMm.map((mm) => Number(mm.toFixed(3))).join(" × ")} mm`],
    ["Planes agree", scan.quality.agreement && `on ${words.share(scan.quality.agreement)} of the tissue`],
    ["Read with", scan.warnings?.join(", ")],
  ]);
}

async function draw(shown) {
  if (shown.volumes.length > 1) shown.setOpacity(1, Number(element("scan-opacity").value) / 100);
  shown.updateGLVolume();
}

// place tells where the cross-hairs are.
async function place() {
  const shown = await loading;
  axes.forEach((axis, i) => {
    const field = element(axis), count = Number(field.max);
    field.value = Math.min(count, 1 + Math.floor(shown.scene.crosshairPos[i] * count));
    element(`${axis}-value`).textContent = `${field.value} of ${count}`;
  });
}

for (const axis of axes) {
  on(axis, "input", async () => {
    const shown = await loading;
    shown.scene.crosshairPos = axes.map((a) => (Number(element(a).value) - 0.5) / Number(element(a).max));
    shown.drawScene();
    place();
  });
}

on("scan-opacity", "input", async () => {
  element("scan-opacity-value").textContent = `${element("scan-opacity").value} %`;
  draw(await loading);
});
