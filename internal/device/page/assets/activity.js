// What the device is doing, live: its model, the queue, the last requests.

import { element, make } from "./elements.js";
import { watch } from "./service.js";
import * as words from "./words.js";

// watchActivity follows the device while the page is looked at: a page in the
// background holds no connection.
export function watchActivity() {
  let stop = null;
  const look = () => {
    stop?.();
    stop = document.hidden ? null : watch(show, lost);
  };
  document.addEventListener("visibilitychange", look);
  look();
}

const states = { starting: "Starting", ready: "Ready", busy: "Working", stopping: "Stopping" };

function show({ state, model, waiting, progress, recent }) {
  element("state").className = state;
  element("state-text").textContent = states[state] ?? state;
  element("model").textContent = model ? `${model.name} ${model.version}` : "";
  element("waiting").textContent = words.waiting(waiting, progress);
  element("recent").hidden = recent.length === 0;
  element("recent").tBodies[0].replaceChildren(...recent.map((r) => make("tr", {},
    make("th", { scope: "row", textContent: r.number }),
    make("td", { textContent: words.time(r.answered) }),
    make("td", { textContent: r.code ? words.problem(r.code) : "Segmented" }),
    make("td", { textContent: r.milliseconds === undefined ? "" : words.milliseconds(r.milliseconds) }))));
}

function lost() {
  element("state").className = "lost";
  element("state-text").textContent = "No connection";
  element("waiting").textContent = "What the device is doing is not known at the moment.";
  element("recent").hidden = true;
}
