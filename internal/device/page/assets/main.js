// The page: takes files, sends them one after another, and shows what comes back.

import { watchActivity } from "./activity.js";
import { element, make, on } from "./elements.js";
import { readImage, readMask } from "./picture.js";
import { addResult } from "./results.js";
import { isLabelMap, isScan, takeScan } from "./scan.js";
import { Problem, segment } from "./service.js";
import * as words from "./words.js";

const files = []; // that wait to be sent
let sending = null; // the AbortController of what is on its way

on("file", "change", () => {
  take(element("file").files);
  element("file").value = ""; // so that the same file can be chosen again
});
on("cancel", "click", () => {
  files.length = 0;
  sending?.abort();
});

// The whole page takes what is dropped: a file that misses the field would replace it.
addEventListener("dragover", (event) => {
  event.preventDefault();
  element("drop").classList.add("over");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) element("drop").classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  element("drop").classList.remove("over");
  take(event.dataTransfer.files);
});

function take(list) {
  files.push(...[...list].sort((a, b) => isLabelMap(a) - isLabelMap(b))); // a scan before its labels
  if (!sending) sendAll();
}

async function sendAll() {
  element("problems").replaceChildren();
  while (files.length > 0) {
    const file = files.shift();
    sending = new AbortController();
    tell(`Sending ${file.name}`);
    try {
      await send(file, sending.signal);
    } catch (problem) {
      if (sending.signal.aborted) continue;
      show(file, problem);
    }
  }
  sending = null;
  element("work").hidden = true;
}

async function send(file, signal) {
  if (isScan(file)) {
    element("told").textContent = await takeScan(file, { signal, tell });
    return;
  }
  const [{ document, mask }, image] = await Promise.all([
    segment(file, { signal, tell }),
    readImage(file),
  ]);
  addResult({ name: file.name, document, image, mask: await readMask(mask), file: new Blob([mask], { type: "image/png" }) });
  element("told").textContent = `${file.name} is segmented: ${words.shares(document.tissues)}.`;
}

// tell shows what is being done.
function tell(text) {
  element("work").hidden = false;
  element("work-text").textContent = files.length > 0 ? `${text}, ${files.length} more to go` : text;
}

// show tells an error in words. Other errors than a Problem are faults of the page.
function show(file, problem) {
  const known = problem instanceof Problem;
  const title = known ? words.problem(problem.code) || "This could not be done" : "The answer cannot be shown";
  element("problems").append(make("div", {},
    make("h2", { textContent: `${file.name}: ${title}` }),
    make("p", { textContent: problem.message }),
    make("p", { className: "soft", textContent: problem.code ? `Code: ${problem.code}` : "" })));
}

watchActivity();
