// The header of a GGUF (7.2 to 7.4), read forward by ranges: keys, arrays stepped over, the tensor table. Nothing here judges what is in
// it; where its extent is not known reading stops, and the result says so. A number of the file is compared with what remains first.
import { latin, number, startsWith, textOf, ascii } from "./bytes.js";
import { partOf } from "./source.js";

export const QUICK_HEADER = 64 << 20;
const FIRST_WINDOW = 64 << 10;
const WINDOW = 1 << 20;
const MOST = { tensors: 65536, keys: 16384, keyBytes: 1 << 20, metadata: 128 << 20, strings: 3 << 20, tokens: 1 << 20, key: 65535, string: 64 << 20, inline: 4096, inlines: 1 << 20 };
const LEAST = { 1: { key: 9, tensor: 20 }, 2: { key: 13, tensor: 24 }, 3: { key: 13, tensor: 24 } };
const TYPES = ["UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32", "FLOAT32", "BOOL", "STRING", "ARRAY", "UINT64", "INT64", "FLOAT64"];
const WIDTHS = { UINT8: 1, INT8: 1, UINT16: 2, INT16: 2, UINT32: 4, INT32: 4, FLOAT32: 4, BOOL: 1, UINT64: 8, INT64: 8, FLOAT64: 8 };
const GETTERS = { UINT8: "getUint8", INT8: "getInt8", UINT16: "getUint16", INT16: "getInt16", UINT32: "getUint32", INT32: "getInt32", FLOAT32: "getFloat32", BOOL: "getUint8", UINT64: "getBigUint64", INT64: "getBigInt64", FLOAT64: "getFloat64" };
export const TOKENS = "tokenizer.ggml.tokens";
const HEAD_OF_TEXT = 256;
const KEPT = 32;
const headers = new WeakMap();

/** Reading cannot go on: `reason` is `fault`, `cap` or `budget`. */
class Stop extends Error {}

/** The header of a member that is stored and lies inside; read once for a file, as long as no more than a few are asked for. */
export async function headerOf(source, { offset, size }, budget = Infinity) {
  if (!headers.has(source)) headers.set(source, new Map());
  const kept = headers.get(source);
  const key = `${offset} ${size}`;
  const known = kept.get(key);
  if (known && !(known.stopped === "budget" && budget === Infinity)) return known;
  const read = await readGguf(partOf(source, offset, size), budget);
  if (kept.size < KEPT || known) kept.set(key, read);
  return read;
}

/** What a GGUF says, as far as it could be read: `version`, `big`, `entries` (a Map of `{key, type, value, offset, length}`), `tensors`, `dataOffset`,
 * `declaredTensors`, and `stopped`, which is empty if that is all. A string is `{head, offset, length, text}`, an array `{element, count, offset, length}`. */
export async function readGguf(source, budget = Infinity) {
  const cursor = { source, budget, size: source.size, data: new Uint8Array(0), start: 0, at: 0, fetched: 0, next: FIRST_WINDOW };
  const made = { version: 0, big: false, entries: new Map(), tensors: [], alignment: 32, dataOffset: 0, declaredTensors: 0, declaredKeys: 0, stopped: "" };
  try {
    await readHead(cursor, made);
    await readEntries(cursor, made);
    made.alignment = alignmentOf(made.entries.get("general.alignment"));
    await readTensors(cursor, made);
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
    made.stopped = error.message;
  }
  made.dataOffset = Math.ceil(placeOf(cursor) / made.alignment) * made.alignment;
  return made;
}

function alignmentOf(entry) {
  const value = entry && entry.type === "UINT32" ? entry.value : 32;
  return value >= 8 && value <= 65536 && (value & (value - 1)) === 0 ? value : 32;
}

// ---- the cursor: bounded windows, each read compared with what remains

const placeOf = cursor => cursor.start + cursor.at;
const remaining = cursor => cursor.size - placeOf(cursor);

async function fill(cursor, count) {
  if (cursor.at + count <= cursor.data.length) return;
  const place = placeOf(cursor);
  if (count > cursor.size - place) throw new Stop("fault");
  if (place + count > MOST.metadata) throw new Stop("cap");
  let window = Math.min(Math.max(cursor.next, count), cursor.size - place);
  window = Math.min(window, Math.max(count, cursor.budget - cursor.fetched));
  if (cursor.fetched + window > cursor.budget) throw new Stop("budget");
  cursor.next = Math.min(cursor.next * 4, WINDOW);
  const kept = Math.max(0, cursor.data.length - cursor.at);
  cursor.data = await cursor.source.read(place, window);
  if (cursor.data.length < count) throw new Stop("fault");
  cursor.fetched += window - kept;
  cursor.start = place;
  cursor.at = 0;
}

async function take(cursor, count) {
  await fill(cursor, count);
  cursor.at += count;
  return cursor.data.subarray(cursor.at - count, cursor.at);
}

function skip(cursor, count) {
  const place = placeOf(cursor) + count;
  cursor.at = place - cursor.start;
  if (cursor.at > cursor.data.length) Object.assign(cursor, { start: place, data: new Uint8Array(0), at: 0 });
}

/** The next number of a type; one of eight bytes is a BigInt where a Number would not be exact. */
async function scalar(cursor, big, type) {
  const width = WIDTHS[type];
  const data = await take(cursor, width);
  return scalarIn(data, 0, big, type);
}

function scalarIn(data, at, big, type) {
  const value = new DataView(data.buffer, data.byteOffset + at, WIDTHS[type])[GETTERS[type]](0, !big);
  if (type === "BOOL") return value !== 0;
  return typeof value === "bigint" && value <= Number.MAX_SAFE_INTEGER && value >= Number.MIN_SAFE_INTEGER ? Number(value) : value;
}

/** Type of lengths, counts and dimensions. */
const lengthType = ({ version }) => (version === 1 ? "UINT32" : "UINT64");

const length = (cursor, made) => scalar(cursor, made.big, lengthType(made));

// ---- magic, version, counts

async function readHead(cursor, made) {
  if (!startsWith(await take(cursor, 4), ascii("GGUF"))) throw new Stop("fault");
  const version = await take(cursor, 4);
  const [one, other] = [false, true].map(big => scalarIn(version, 0, big, "UINT32"));
  made.big = other in LEAST;
  if (!made.big && !(one in LEAST)) throw new Stop("fault");
  made.version = made.big ? other : one;
  made.declaredTensors = await countOf(cursor, made, MOST.tensors, LEAST[made.version].tensor);
  made.declaredKeys = await countOf(cursor, made, MOST.keys, LEAST[made.version].key);
}

async function countOf(cursor, made, limit, least) {
  const count = await length(cursor, made);
  if (count > Math.floor(remaining(cursor) / least)) throw new Stop("fault");
  if (count > limit) throw new Stop("cap");
  return count;
}

// ---- keys and values

async function readEntries(cursor, made) {
  const kept = { keys: 0, inlines: 0, strings: 0 };
  for (let index = 0; index < made.declaredKeys; index++) {
    const key = await readKey(cursor, made, kept, index);
    const type = TYPES[await scalar(cursor, made.big, "UINT32")];
    if (!type) throw new Stop("fault");
    const offset = placeOf(cursor);
    const value = await readValue(cursor, made, kept, key, type);
    if (!made.entries.has(key)) made.entries.set(key, { key, type, value, offset, length: placeOf(cursor) - offset });
  }
}

async function readKey(cursor, made, kept, index) {
  const size = await length(cursor, made);
  if (size > remaining(cursor)) throw new Stop("fault");
  if (size > MOST.key) {
    skip(cursor, size);
    return `... (key ${index})`; // no key of any table
  }
  kept.keys += size;
  if (kept.keys > MOST.keyBytes) throw new Stop("cap");
  return spelt(await take(cursor, size));
}

/** UTF-8; what is none, as its bytes: such a name is a fault (7.4), and nobody looks for it. */
function spelt(data) {
  return textOf(data) ?? latin(data);
}

async function readValue(cursor, made, kept, key, type) {
  if (type === "STRING") return readString(cursor, made, kept);
  if (type === "ARRAY") return readArray(cursor, made, kept, key);
  return scalar(cursor, made.big, type);
}

async function readString(cursor, made, kept) {
  const size = await length(cursor, made);
  if (size > remaining(cursor)) throw new Stop("fault");
  const offset = placeOf(cursor);
  if (size <= MOST.inline && kept.inlines + size <= MOST.inlines) {
    kept.inlines += size;
    let data = await take(cursor, size);
    if (made.version === 1 && data[data.length - 1] === 0) data = data.subarray(0, -1); // some writers of version 1 counted a final NUL
    const text = textOf(data);
    return { text, head: data.slice(0, HEAD_OF_TEXT), offset, length: data.length };
  }
  const head = (await take(cursor, Math.min(size, HEAD_OF_TEXT))).slice();
  if (size > MOST.string) skip(cursor, size - head.length);
  else for (let left = size - head.length; left; ) left -= (await take(cursor, Math.min(left, WINDOW))).length;
  return { text: undefined, head, offset, length: size };
}

async function readArray(cursor, made, kept, key) {
  const element = TYPES[await scalar(cursor, made.big, "UINT32")];
  if (!element || element === "ARRAY") throw new Stop("fault");
  const count = await length(cursor, made);
  const width = WIDTHS[element === "STRING" ? lengthType(made) : element];
  if (count > Math.floor(remaining(cursor) / width)) throw new Stop("fault");
  const offset = placeOf(cursor);
  if (element !== "STRING") skip(cursor, count * width);
  else {
    kept.strings += count;
    if (kept.strings > MOST.strings || (key === TOKENS && count > MOST.tokens)) throw new Stop("cap");
    await skipStrings(cursor, made, count);
  }
  return { element, count, offset, length: placeOf(cursor) - offset };
}

/** Behind `count` strings, a window at a time; one that leaves its window is stepped over by itself. */
async function skipStrings(cursor, made, count) {
  const width = WIDTHS[lengthType(made)];
  for (let left = count; left; ) {
    await fill(cursor, width);
    const { data } = cursor;
    for (; left && cursor.at + width <= data.length; left--) {
      const size = lengthIn(data, cursor.at, made.big, width);
      if (size > data.length - cursor.at - width) break;
      cursor.at += width + size;
    }
    if (!left || cursor.at + width > data.length) continue;
    const size = await length(cursor, made);
    if (size > remaining(cursor)) throw new Stop("fault");
    skip(cursor, size);
    left--;
  }
}

function lengthIn(data, at, big, width) {
  return big ? Number(scalarIn(data, at, true, width === 4 ? "UINT32" : "UINT64")) : number(data, at, width);
}

// ---- the tensor table

async function readTensors(cursor, made) {
  for (let index = 0; index < made.declaredTensors; index++) {
    const place = placeOf(cursor);
    const size = await length(cursor, made);
    if (size > remaining(cursor)) throw new Stop("fault");
    const data = await take(cursor, Math.min(size, 64));
    const name = size > 63 ? `${spelt(data)}... (tensor ${index})` : spelt(data);
    skip(cursor, size - data.length);
    const rank = await scalar(cursor, made.big, "UINT32");
    if (rank > 4) throw new Stop("fault");
    await take(cursor, rank * WIDTHS[lengthType(made)]);
    const type = await scalar(cursor, made.big, "UINT32");
    made.tensors.push({ name, type, offset: BigInt(await scalar(cursor, made.big, "UINT64")), place });
  }
}

// ---- what was read

/** The string under `key`, of a long one at most `limit` bytes; undefined if there is none. */
export function textIn({ entries }, key, limit = HEAD_OF_TEXT) {
  const entry = entries.get(key);
  if (!entry || entry.type !== "STRING") return undefined;
  return entry.value.text ?? spelt(entry.value.head.subarray(0, limit));
}

/** The number under `key` if its type is one of whole numbers, else undefined. */
export function integerIn({ entries }, key) {
  const entry = entries.get(key);
  return entry && /INT/.test(entry.type) ? entry.value : undefined;
}

/** The number under `key`, whole or not, else undefined. */
export function numberIn({ entries }, key) {
  const entry = entries.get(key);
  return entry && /INT|FLOAT/.test(entry.type) ? entry.value : undefined;
}

/** The array under `key`, else undefined. */
export function arrayIn({ entries }, key) {
  const entry = entries.get(key);
  return entry && entry.type === "ARRAY" ? entry.value : undefined;
}

/** The strings of an array of a GGUF, in order, some at a time, cut to `longest` bytes, each byte as a character. */
export async function* stringsIn(source, made, array, longest) {
  const width = WIDTHS[lengthType(made)];
  const end = array.offset + array.length;
  for (let place = array.offset, left = array.count; left; ) {
    const data = await source.read(place, Math.min(WINDOW, end - place));
    const some = [];
    let at = 0;
    for (; left && at + width <= data.length; left--) {
      const size = lengthIn(data, at, made.big, width);
      if (at && at + width + Math.min(size, longest) > data.length) break;
      some.push(latin(data.subarray(at + width, at + width + Math.min(size, longest))));
      at += width + size; // which may lie behind what was read
    }
    if (!some.length) return; // the file is shorter than it was
    yield some;
    place += at;
  }
}
