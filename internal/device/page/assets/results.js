// The results of this page. They live in its memory and end with it.

import { element, make, on } from "./elements.js";
import { showDetails, showQuality, showTissues } from "./facts.js";
import { draw } from "./picture.js";
import * as words from "./words.js";

const most = 20; // results that are kept,
const mostPixels = 32e6; // and their pixels together: each takes five bytes
const results = []; // the newest first
let current = null;

// addResult keeps a result and shows it.
export function addResult({ name, document, image, mask, file }) {
  const tissues = document.tissues ?? [];
  results.unshift({
    name, document, image, mask, url: URL.createObjectURL(file),
    colours: new Map(tissues.map((t) => [t.value, t.colour])),
    shown: new Set(tissues.map((t) => t.value)),
  });
  while (results.length > 1 && (results.length > most || results.reduce((sum, r) => sum + r.mask.values.length, 0) > mostPixels)) {
    URL.revokeObjectURL(results.pop().url);
  }
  show(results[0]);
}

on("opacity", "input", redraw);

function show(result) {
  current = result;
  const { document, name } = result;
  element("result").hidden = false;
  element("result-title").textContent = name;
  element("others").hidden = results.length < 2;
  element("other-list").replaceChildren(...results.map((r) => {
    const button = make("button", { type: "button", textContent: r.name, title: r.name, onclick: () => choose(r) });
    if (r === result) button.setAttribute("aria-current", "true");
    return make("li", {}, button);
  }));
  element("download").href = result.url;
  element("download").download = `${name.replace(/\.[^.]*$/, "")}.mask.png`;
  const tissues = (document.tissues ?? []).filter((t) => t.value > 0);
  showTissues("tissues", tissues.map((t) => ({ ...t, shown: result.shown.has(t.value), amount: words.count(t.pixels) })), (tissue, shown) => {
    result.shown[shown ? "add" : "delete"](tissue.value);
    redraw();
  });
  const size = document.image;
  showQuality("quality", (size?.flags ?? []).map(words.flag), "Nothing odd was found about the image.");
  showDetails("details", document, [
    ["Size", size && `${size.width} × ${size.height} pixels`],
    ["Scale", size?.spacingMm && words.spacing(size.spacingMm, size.spacingFrom)],
    ["Confidence", size?.confidence !== undefined && words.share(size.confidence)],
    ["Note", !result.image && "This browser cannot show the image itself; the mask is right all the same."],
  ]);
  redraw();
}

// choose shows another result; the button that was pressed is made anew, so it is
// given the focus again.
function choose(result) {
  show(result);
  element("other-list").querySelector("[aria-current]").focus();
}

function redraw() {
  const opacity = Number(element("opacity").value);
  element("opacity-value").textContent = `${opacity} %`;
  if (!current) return;
  const canvases = { image: element("image"), mask: element("mask"), overlay: element("overlay") };
  draw(canvases, current, current.shown, opacity / 100);
  const shares = words.shares(current.document.tissues ?? []);
  canvases.image.setAttribute("aria-label", `The image ${current.name}`);
  canvases.mask.setAttribute("aria-label", `Its tissues: ${shares}`);
  canvases.overlay.setAttribute("aria-label", `The image with its tissues, ${opacity} % opaque`);
}
