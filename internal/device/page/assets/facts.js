// Shows what an answer says beside its pictures: tissues, quality, how it was made.

import { element, make } from "./elements.js";
import * as words from "./words.js";

// showTissues fills a table. Each tissue has name, colour, share (0 to 1) and amount
// (a text). Where onShown is given, a tissue can be hidden: it is called with the
// tissue and whether it is shown.
export function showTissues(id, tissues, onShown) {
  element(id).tBodies[0].replaceChildren(...tissues.map((tissue) => {
    const swatch = make("span", { className: "swatch" }), bar = make("span"), track = make("span", { className: "track" }, bar);
    swatch.style.background = bar.style.background = tissue.colour;
    bar.style.width = `${(100 * tissue.share).toFixed(1)}%`;
    track.setAttribute("aria-hidden", "true");
    const name = make(onShown ? "label" : "span", { className: "tissue" }, swatch, words.tissue(tissue.name));
    if (onShown) {
      const box = make("input", { type: "checkbox", checked: tissue.shown });
      box.addEventListener("change", () => onShown(tissue, box.checked));
      name.prepend(box);
    }
    return make("tr", {},
      make("th", { scope: "row" }, name),
      make("td", { className: "number", textContent: words.share(tissue.share) }),
      make("td", { className: "bar" }, track),
      make("td", { className: "number", textContent: tissue.amount }));
  }));
}

// showQuality fills a list with what is odd, or says that nothing is.
export function showQuality(id, flags, nothing) {
  element(id).replaceChildren(...(flags.length > 0 ? flags : [nothing]).map((text) => make("li", { textContent: text })));
}

// showDetails fills a list of terms with pairs, without those that have no text, and
// with model and timings of the document.
export function showDetails(id, document, pairs) {
  const { model, timings } = document;
  const all = [...pairs];
  if (model) all.push(["Model", `${model.name} ${model.version}`]);
  if (model?.sha256) all.push(["Its checksum", model.sha256.slice(0, 16)]);
  for (const [name, value] of Object.entries(timings ?? {})) {
    if (value > 0) all.push([words.step(name), words.milliseconds(value)]);
  }
  element(id).replaceChildren(...all.filter(([, text]) => text).flatMap(([term, text]) => [make("dt", { textContent: term }), make("dd", { textContent: text })]));
}
