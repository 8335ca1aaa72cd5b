// What the page asks of the device: everything that speaks HTTP is here.

const patience = 3; // times that a busy device is asked again

// Problem is an answer that is none, as RFC 9457 has it. status is 0 where there
// was no answer at all.
export class Problem extends Error {
  constructor({ status = 0, detail, code = "", retryAfter = 0 }) {
    super(detail);
    Object.assign(this, { status, detail, code, retryAfter });
  }
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { ...options, cache: "no-store", redirect: "error" });
  } catch (cause) {
    if (options.signal?.aborted) throw cause;
    throw new Problem({
      detail: "It may have been stopped or be starting again, or this browser has left its network. Try again in a moment.",
      code: "unreachable",
    });
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function problemOf(response) {
  let told = {};
  try {
    if (/json/.test(response.headers.get("Content-Type") ?? "")) told = await response.json();
  } catch {
    told = {}; // cut off
  }
  return new Problem({
    status: response.status,
    detail: told.detail || told.title || `It answered with status ${response.status}.`,
    code: told.code || "",
    retryAfter: Number(response.headers.get("Retry-After")) || 0,
  });
}

// segment sends a slice and returns the result document and the mask's PNG.
export async function segment(file, options) {
  const document = await send("/", file, options);
  return { document, mask: bytesOf(document.mask.base64) };
}

// segmentScan sends a whole scan and returns the result document and the files of
// the kinds that were asked for, by kind.
export async function segmentScan(file, kinds, options) {
  const document = await send(`/v1/scans?kinds=${kinds.join(",")}`, file, options);
  return { document, files: Object.fromEntries(document.scan.files.map((f) => [f.kind, bytesOf(f.base64)])) };
}

// send returns the document with which a file is answered. A busy device is asked
// again, as late as it says; tell is called with what people are told meanwhile.
async function send(path, file, { signal, tell }) {
  for (let tried = 1; ; tried++) {
    try {
      const response = await ask(path, { method: "POST", body: file, signal, headers: { "Content-Type": typeOf(file), Accept: "application/json" } });
      return await response.json();
    } catch (problem) {
      if (!(problem instanceof Problem) || (problem.status !== 429 && problem.status !== 503) || tried > patience) throw problem;
      const seconds = Math.min(Math.max(problem.retryAfter, 1), 30);
      tell(`The device is busy. ${file.name} is sent again in ${seconds} s`);
      await pause(1000 * seconds, signal);
    }
  }
}

// typeOf goes by the name, which browsers know no better.
function typeOf({ name, type }) {
  const [, known] = types.find(([end]) => end.test(name)) ?? [];
  return known ?? (type || "application/octet-stream");
}

const types = [[/\.png$/i, "image/png"], [/\.jpe?g$/i, "image/jpeg"], [/\.gz$/i, "application/gzip"], [/\.nii$/i, "application/x-nifti"], [/\.zip$/i, "application/zip"]];

function bytesOf(base64) {
  const binary = atob(base64);
  return Uint8Array.from(binary, (c) => c.charCodeAt(0));
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });
}

// watch calls onActivity with whatever the device tells of itself, and onLost when
// it does not, until what it returns is called.
export function watch(onActivity, onLost) {
  let events, again;
  const connect = () => {
    events = new EventSource("/page/activity");
    events.onmessage = (event) => onActivity(JSON.parse(event.data));
    events.onerror = () => {
      onLost();
      // It connects again by itself, unless it was answered something else.
      if (events.readyState === EventSource.CLOSED) again = setTimeout(connect, 10_000);
    };
  };
  connect();
  return () => { clearTimeout(again); events.close(); };
}
