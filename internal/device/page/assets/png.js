// Reads grey PNGs of 8 and 16 bits to the value. A canvas would not do: it has 8
// bits, and some browsers change what is read from it so that it tells less of them.

const signature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

// readGrey returns { width, height, depth, values }, or null where the bytes are
// another kind of image (colour, a palette, fewer bits, interlaced, a JPEG).
export async function readGrey(bytes) {
  if (bytes.length < 33 || signature.some((b, i) => bytes[i] !== b)) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const width = view.getUint32(16), height = view.getUint32(20), depth = bytes[24];
  const grey = bytes[25] === 0, interlaced = bytes[28] !== 0;
  if (!grey || interlaced || (depth !== 8 && depth !== 16)) return null;
  const packed = [];
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at), kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (kind === "IDAT") packed.push(bytes.subarray(at + 8, at + 8 + length));
    if (kind === "IEND") break;
    at += 12 + length;
  }
  const rows = new Uint8Array(await new Response(new Blob(packed).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer());
  const size = depth / 8, stride = width * size;
  if (rows.length < height * (stride + 1)) throw new Error("the PNG is cut off");
  const flat = unfilter(rows, height, stride, size);
  if (depth === 8) return { width, height, depth, values: flat };
  const values = new Uint16Array(width * height);
  for (let i = 0; i < values.length; i++) values[i] = (flat[2 * i] << 8) | flat[2 * i + 1];
  return { width, height, depth, values };
}

// unfilter undoes the filters of PNG: each byte is the difference to what its
// neighbours left, above and left above foretell.
function unfilter(rows, height, stride, size) {
  const out = new Uint8Array(height * stride);
  for (let y = 0; y < height; y++) {
    const from = y * (stride + 1) + 1, filter = rows[from - 1], to = y * stride;
    for (let x = 0; x < stride; x++) {
      const left = x >= size ? out[to + x - size] : 0;
      const up = y > 0 ? out[to + x - stride] : 0;
      const corner = x >= size && y > 0 ? out[to + x - stride - size] : 0;
      const foretold = filter === 0 ? 0 : filter === 1 ? left : filter === 2 ? up : filter === 3 ? (left + up) >> 1 : paeth(left, up, corner);
      out[to + x] = rows[from + x] + foretold;
    }
  }
  return out;
}

function paeth(left, up, corner) {
  const p = left + up - corner, a = Math.abs(p - left), b = Math.abs(p - up), c = Math.abs(p - corner);
  return a <= b && a <= c ? left : b <= c ? up : corner;
}
