// Byte strings: numbers in them, text, hex, digests. Numbers of eight bytes become Numbers: beyond 2^53 they are not exact,
// and larger than any file, which is all that anybody asks of them.

export const MIB = 1 << 20;
const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const ENCODER = new TextEncoder();
const CRC_TABLES = crcTables();

/** The little-endian number of `size` bytes (1, 2, 4 or 8) at `at`. */
export function number(data, at, size) {
  let value = 0;
  for (let index = size - 1; index >= 0; index--) value = value * 256 + data[at + index];
  return value;
}

/** `value` as `size` little-endian bytes. */
export function little(size, value) {
  const made = new Uint8Array(size);
  for (let index = 0; index < size; index++) {
    made[index] = value % 256;
    value = Math.floor(value / 256);
  }
  return made;
}

/** Byte strings, one behind the other; a number stands for that many zeros. */
export function join(...parts) {
  const made = new Uint8Array(parts.reduce((sum, part) => sum + (typeof part === "number" ? part : part.length), 0));
  let at = 0;
  for (const part of parts) {
    if (typeof part === "number") at += part;
    else {
      made.set(part, at);
      at += part.length;
    }
  }
  return made;
}

/** The offset of the first byte in which two byte strings differ; -1 if they are equal. */
export function difference(one, other) {
  const most = Math.min(one.length, other.length);
  for (let at = 0; at < most; at++) if (one[at] !== other[at]) return at;
  return one.length === other.length ? -1 : most;
}

export function equal(one, other) {
  return one.length === other.length && difference(one, other) < 0;
}

/** True if `data` has the bytes of `wanted` at `at`. */
export function startsWith(data, wanted, at = 0) {
  return at >= 0 && at + wanted.length <= data.length && wanted.every((byte, index) => data[at + index] === byte);
}

/** The last place at or before `from` where `wanted` stands in `data`; -1 if there is none. */
export function lastIndexOf(data, wanted, from = data.length) {
  for (let at = Math.min(from, data.length - wanted.length); at >= 0; at--) {
    at = data.lastIndexOf(wanted[0], at);
    if (at < 0 || startsWith(data, wanted, at)) return at;
  }
  return -1;
}

/** The first place from `from` on where `wanted` stands in `data`; -1 if there is none. */
export function indexOf(data, wanted, from = 0) {
  for (let at = from; at + wanted.length <= data.length; at++) {
    at = data.indexOf(wanted[0], at);
    if (at < 0 || startsWith(data, wanted, at)) return at;
  }
  return -1;
}

export function allZero(data) {
  return data.every(byte => byte === 0);
}

/** Text as UTF-8. */
export function utf8(text) {
  return ENCODER.encode(text);
}

/** Bytes of ASCII text, for signatures. */
export function ascii(text) {
  return Uint8Array.from(text, character => character.charCodeAt(0));
}

/** Bytes as text, each as the character of its number: what is searched by patterns. */
export function latin(data) {
  let text = "";
  for (let at = 0; at < data.length; at += 8192) text += String.fromCharCode(...data.subarray(at, at + 8192));
  return text;
}

/** UTF-8 as text; undefined if it is not UTF-8. */
export function textOf(data) {
  try {
    return STRICT.decode(data);
  } catch {
    return undefined;
  }
}

/** UTF-8 as text, with `\xNN` for each byte that is none, or what `strange` makes of it. */
export function shownText(data, strange = byte => `\\x${hex([byte])}`) {
  const whole = textOf(data);
  if (whole !== undefined) return whole;
  let shown = "";
  for (let at = 0; at < data.length; ) {
    const length = [1, 2, 3, 4].find(size => at + size <= data.length && textOf(data.subarray(at, at + size)) !== undefined);
    shown += length ? textOf(data.subarray(at, at + length)) : strange(data[at]);
    at += length || 1;
  }
  return shown;
}

/** How two texts are ordered by code points, which is how their UTF-8 is ordered: negative, 0, positive. */
export function byCodePoints(one, other) {
  const [a, b] = [utf8(one), utf8(other)];
  const at = difference(a, b);
  return at < 0 ? 0 : (a[at] ?? -1) - (b[at] ?? -1);
}

export function hex(data) {
  return Array.from(data, byte => byte.toString(16).padStart(2, "0")).join("");
}

export function unhex(text) {
  return Uint8Array.from(text.match(/../g) || [], pair => parseInt(pair, 16));
}

/** SHA-256 (or another digest of WebCrypto) of bytes, as bytes. */
export async function digest(data, name = "SHA-256") {
  return new Uint8Array(await crypto.subtle.digest(name, data));
}

/** SHA-256 in hex. */
export async function sha256(data) {
  return hex(await digest(data));
}

/** CRC-32 (2.1.4) of bytes, four at a time; `before` is that of the bytes in front of them. */
export function crc32(data, before = 0) {
  const [first, second, third, fourth] = CRC_TABLES;
  let crc = ~before;
  let at = 0;
  for (const end = data.length - 3; at < end; at += 4) {
    crc ^= data[at] | (data[at + 1] << 8) | (data[at + 2] << 16) | (data[at + 3] << 24);
    crc = fourth[crc & 255] ^ third[(crc >>> 8) & 255] ^ second[(crc >>> 16) & 255] ^ first[crc >>> 24];
  }
  for (; at < data.length; at++) crc = first[(crc ^ data[at]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

function crcTables() {
  const tables = [0, 1, 2, 3].map(() => new Int32Array(256));
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    tables[0][byte] = crc;
  }
  for (let byte = 0; byte < 256; byte++)
    for (let more = 1; more < 4; more++) {
      const before = tables[more - 1][byte];
      tables[more][byte] = (before >>> 8) ^ tables[0][before & 255];
    }
  return tables;
}
