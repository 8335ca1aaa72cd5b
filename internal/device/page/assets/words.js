// What the service says in names, in words for people. Names that are not known
// here are shown as they are: a newer model or service may have more.

const tissues = { background: "Background", csf: "Fluid (CSF)", "grey-matter": "Grey matter", "white-matter": "White matter" };

const flags = {
  "inverted-likely": "The border is as bright as the brightest tissue: inverted grey values, or a white page around the slice. Look at the mask.",
  "inverted": "The grey values are inverted. The mask was made of the slice turned round.",
  "bytes-swapped": "The 16-bit values had their bytes the wrong way round, and were read the other way.",
  "outlying-values": "A few values lie far from all others (a spike, or a bright marker), and were cut off.",
  "alpha-ignored": "The image says that it is transparent all over, which was ignored.",
  "unfamiliar": "This does not look like a T1 slice of a head, which is all that the model knows. Do not trust the mask.",
  "no-contrast": "All pixels have the same value: there is nothing to see, and the mask is empty.",
};

// Of whole scans.
const scanFlags = {
  "not-a-head": "Hardly any brain was found: this may not be a head, or not its upper part.",
  "odd-volume": "There is less brain than grown-ups have, or more.",
  "not-T1": "White matter is not brighter than grey, or grey not brighter than fluid: this may not be a T1 scan.",
  "cut-off": "The brain reaches the edge of the scan: volumes may be too small.",
  "thick-slices": "The slices are thick: they were segmented one by one, and volumes are less sure.",
  "low-agreement": "The three planes agree on less of the tissue than those of good scans.",
};

const problems = {
  cancelled: "It was called off", conflict: "Another request has this id", poisoned: "It brought the device down before", inference_timeout: "The model did not come to an end with it", invalid_request: "The request was not understood", unsupported_media_type: "This is no kind of file that can be segmented",
  image_too_large: "The image is too large", image_unreadable: "The image cannot be read",
  image_not_found: "The image was not found", image_not_allowed: "The image may not be read", output_not_allowed: "The mask may not be written there",
  output_is_input: "The mask would replace the image", output_exists: "The mask would replace a file", output_failed: "The mask could not be written",
  storage_unavailable: "The storage does not answer", result_too_large: "The result is too large",
  busy: "The device is busy", stopping: "The device is being stopped", starting: "The model is not loaded yet", too_slow: "The connection is too slow",
  unauthorised: "Only those with the token are let in", forbidden: "This page may not ask here", internal: "The device failed on this",
  unreachable: "The device does not answer", no_webgl: "This browser cannot show scans", scan_unreadable: "The scan cannot be read", not_found: "This device does not do that",
};

const sources = { request: "as the request says", file: "as the file says", guessed: "guessed", assumed: "as the model assumes" };

const steps = { queueMs: "Waiting", readMs: "Reading", decodeMs: "Decoding", inferenceMs: "Network", encodeMs: "Encoding", writeMs: "Writing", totalMs: "Altogether" };

export const tissue = (name) => tissues[name] ?? name;
export const flag = (name) => flags[name] ?? name;
export const problem = (code) => problems[code] ?? code;
export const step = (name) => steps[name] ?? name;
export const share = (value) => `${(100 * value).toFixed(1)} %`;
export const count = (value) => value.toLocaleString("en-GB");
export const shares = (tissues) => tissues.filter((t) => t.value > 0).map((t) => `${tissue(t.name)} ${share(t.share ?? t.fraction)}`).join(", ");
export const scanFlag = (name) => scanFlags[name] ?? name;
export const millilitres = (value) => `${value.toFixed(0)} ml`;
export const spacing = ([across, down], from) => `${across} × ${down} mm a pixel, ${sources[from] ?? from}`;
export const time = (text) => new Date(text).toLocaleTimeString();

export function milliseconds(value) {
  if (value >= 10_000) return `${(value / 1000).toFixed(0)} s`;
  return `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`;
}

export function waiting(number, progress) {
  if (number === 0) return "No request is waiting.";
  const all = number === 1 ? "One request is waiting or in work." : `${count(number)} requests are waiting or in work.`;
  return progress ? `${all} Of a scan, ${Math.floor(100 * progress)} % are segmented.` : all;
}
