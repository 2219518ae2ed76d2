/* The last bytes of the formats that have an end of their own, by which a whole file is known. */

const ENDS = {
  "application/vnd.apache.parquet": [0, [0x50, 0x41, 0x52, 0x31]], // "PAR1"
  "application/vnd.apache.arrow.stream": [0, [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]],
  // The record of a ZIP archive's end has 22 bytes, and begins so.
  "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": [18, [0x50, 0x4b, 5, 6]],
  "application/json": [0, [0x5d]], // "]"
};

/** Return true unless the end of the format is missing; CSV and NDJSON have none. */
export async function isWhole(blob, media) {
  if (!(media in ENDS)) return true;
  const [behind, bytes] = ENDS[media];
  const place = blob.size - behind;
  const found = new Uint8Array(await blob.slice(Math.max(place - bytes.length, 0), place).arrayBuffer());
  return found.length === bytes.length && bytes.every((byte, at) => byte === found[at]);
}
