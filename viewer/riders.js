// What rides in a program: a pickle, a script, an archive, weights, another program (14.8.5). A magic number alone proves nothing: what
// stands behind it is read too, as far as only the format itself can have it. Nothing is unpickled or run.
import { ascii, crc32, indexOf, latin, number } from "./bytes.js";
import { formatOf } from "./formats.js";
import { Broken, inflate } from "./inflate.js";
import { elfHeader, machoRanges, peImage, viewOf } from "./native.js";

const PIECE = 4096;
const OPENING = 1024;
const ENOUGH = 24;
const MACHINES = new Set([3, 8, 20, 21, 22, 40, 62, 183, 243, 258]);
const CPUS = new Set([0x01000007, 0x0100000c, 7, 12]);
const OPCODES = /\x80(?:[\x04\x05]\x95|[\x02\x03][}\](cX\x8a])|c(?:os|posix|nt|subprocess|builtins|__builtin__)\n/g;
/** How long the argument of each opcode of a pickle is: a number of bytes, or how it is written. */
const ARGUMENTS = {
  ...Object.fromEntries([..."Naeldstu]}()012oRb.Q\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94\x97\x98"].map(one => [one, 0])),
  ...{ K: 1, h: 1, q: 1, "\x80": 1, "\x82": 1, M: 2, "\x83": 2, J: 4, j: 4, r: 4, "\x84": 4, G: 8, "\x95": 8 },
  ...{ U: "1", C: "1", "\x8c": "1", "\x8a": "1", T: "4", B: "4", X: "4", "\x8b": "4", "\x8e": "8", "\x96": "8", "\x8d": "8" },
  ...{ I: "integer", L: "integer", g: "integer", p: "integer", F: "line", S: "quoted", V: "line", P: "line", c: "pair", i: "pair" },
};

/** Opcodes, up to the last one or many of them, and the name of something to be called among them. */
function isPickle(piece) {
  const text = latin(piece.subarray(0, OPENING));
  let [count, named, at] = [0, false, 0];
  while (at < text.length) {
    const code = text[at++];
    const kind = ARGUMENTS[code];
    if (kind === undefined) break;
    const line = () => {
      const end = text.indexOf("\n", at);
      const found = end < 0 ? undefined : text.slice(at, end);
      at = end + 1;
      return found;
    };
    if (typeof kind === "number") at += kind;
    else if (/^\d$/.test(kind)) at += at + Number(kind) <= text.length ? Number(kind) + number(piece, at, Number(kind)) : OPENING;
    else {
      const [first, second] = [line(), kind === "pair" ? line() : ""];
      const wrong = first === undefined || second === undefined || (kind === "integer" && !/^[+-]?\d+L?$/.test(first)) || (kind === "quoted" && !/^(["']).*\1$/.test(first));
      if (wrong) break;
      if (kind === "pair") {
        named = `${first} ${second}`.replace(/ /g, ".").split(".").every(part => /^[A-Za-z_][A-Za-z0-9_]*$/.test(part));
        if (!named) return false;
      }
    }
    if (at > text.length) break;
    count++;
    named = named || (code === "\x93" && count > 2);
    if (code === ".") return named && count > 4;
  }
  return named && count > ENOUGH;
}

function isZip(piece, left) {
  if (piece.length < 30) return false;
  const [version, method, packed, name, extra] = [number(piece, 4, 2) & 255, number(piece, 8, 2), number(piece, 18, 4), number(piece, 26, 2), number(piece, 28, 2)];
  const text = latin(piece.subarray(30, 30 + name));
  if (version > 63 || ![0, 8, 9, 12, 14, 93, 95, 98].includes(method) || !name || name > 1024 || extra > 4096) return false;
  return (packed === 0xffffffff || 30 + name + extra + packed <= left) && text.length === name && !/[\0-\x1f\x7f]/.test(text);
}

/** A header, and a stream that gives something. */
async function isGzip(piece) {
  if (piece.length <= 18 || piece[3] & 0xe0) return false;
  let at = 10;
  if (piece[3] & 4) at += 2 + number(piece, at, 2);
  for (const flag of [8, 16]) if (piece[3] & flag) at = piece.indexOf(0, at) < 0 ? piece.length : piece.indexOf(0, at) + 1;
  if (piece[3] & 2) at += 2;
  let total = 0;
  try {
    for await (const part of inflate({ read: async (from, size) => piece.subarray(from, from + size) }, at, Math.max(0, piece.length - at))) {
      total += part.length;
      if (total >= 64) return true;
    }
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
  }
  return total >= 64;
}

/** A frame header without reserved bits, and two blocks that fit behind one another. */
function isZstd(piece, left) {
  const flags = piece[4];
  if (piece.length < 32 || flags & 0x18) return false;
  const single = (flags >> 5) & 1;
  let at = 5 + (1 - single) + [0, 1, 2, 4][flags & 3] + [single, 2, 4, 8][flags >> 6];
  for (let row = 0; row < 2; row++) {
    const head = at + 3 <= piece.length ? number(piece, at, 3) : 0;
    const [kind, size] = [(head >> 1) & 3, head >> 3];
    at += 3 + (kind === 1 ? 1 : size);
    if (kind === 3 || size < 16 || size > 1 << 17 || at > left) return false;
    if (head & 1 || at + 3 > piece.length) break;
  }
  return true;
}

function isRar(piece) {
  if (piece[6] === 0) return piece[9] === 0x73 && piece[12] === 0x0d && piece[13] === 0;
  const size = piece.length > 32 ? piece[12] : 0;
  return size >= 3 && size < 0x80 && crc32(piece.subarray(12, 13 + size)) === number(piece, 8, 4);
}

function isTar(piece) {
  const digits = latin(piece.subarray(148, 156)).replace(/^[ \0]+|[ \0]+$/g, "");
  if (piece.length < 512 || !/^[0-7]{1,7}$/.test(digits)) return false;
  const sum = piece.subarray(0, 512).reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0);
  return sum === parseInt(digits, 8);
}

function isGguf(piece, left) {
  if (piece.length < 24) return false;
  return [false, true].some(big => {
    const read = (at, size) => number(big ? piece.slice(at, at + size).reverse() : piece.subarray(at, at + size), 0, size);
    const [version, tensors, keys] = [read(4, 4), read(8, 8), read(16, 8)];
    return [1, 2, 3].includes(version) && tensors * 24 <= left && keys > 0 && keys * 8 <= left;
  });
}

function sourceOfPiece(piece) {
  return { size: piece.length, read: async (at, size) => piece.subarray(at, at + size) };
}

function isScript(piece) {
  const lines = latin(piece.subarray(0, PIECE)).split("\0")[0].split("\n");
  if (lines.length < 4 || !/^(?:#! ?\/[\w/.-]{2,60}(?: [\w=./ -]{1,60})?\r?$|<\?php|@echo off\r?$)/.test(lines[0])) return false;
  const rest = `${lines[1]}\n${lines[2]}`;
  return rest.length > 8 && /^[\t\r\n\x20-\x7e\x80-\xff]*$/.test(rest);
}

function isElf(piece, left) {
  const header = elfHeader(piece);
  if (!header || ![1, 2, 3].includes(header.type) || !MACHINES.has(header.machine)) return false;
  const end = Math.max(header.table + header.entry * header.count, header.sections);
  return piece[6] === 1 && [0, 32, 56].includes(header.entry) && end >= 52 && end <= left;
}

async function isPe(piece, left) {
  if (piece.length < 64) return false;
  const image = await peImage(viewOf(sourceOfPiece(piece), piece.length), number(piece, 60, 4));
  return Boolean(image) && image.sections.some(({ size }) => size > 0 && size <= left);
}

async function isMachoProgram(piece) {
  const ranges = await machoRanges(viewOf(sourceOfPiece(piece), piece.length), 0);
  return Boolean(ranges) && ranges.length > 1 && CPUS.has(number(piece, 4, 4));
}

const script = magic => ({ magic, what: "a script", test: isScript });
const KINDS = [
  { magic: "PK\x03\x04", what: "an archive (ZIP)", test: isZip },
  { magic: "\x1f\x8b\x08", what: "an archive (gzip)", test: isGzip },
  { magic: "\xfd7zXZ\0", what: "an archive (xz)", test: piece => piece.length >= 24 && crc32(piece.subarray(6, 8)) === number(piece, 8, 4) && piece[12] !== 0 },
  { magic: "7z\xbc\xaf\x27\x1c", what: "an archive (7-Zip)", test: piece => piece.length >= 32 && crc32(piece.subarray(12, 32)) === number(piece, 8, 4) },
  { magic: "\x28\xb5\x2f\xfd", what: "an archive (zstd)", test: isZstd },
  { magic: "Rar!\x1a\x07", what: "an archive (RAR)", test: isRar },
  { magic: "ustar", what: "an archive (tar)", test: isTar, back: 257 },
  { magic: "1AY&SY", what: "an archive (bzip2)", test: (piece, left) => /^BZh[1-9]/.test(latin(piece.subarray(0, 4))) && left > 64, back: 4 },
  { magic: "GGUF", what: "weights (GGUF)", test: isGguf },
  ...["fmgg", "tjgg", "algg"].map(magic => ({ magic, what: "weights (GGML)", test: async (piece, left) => left > 256 && (await formatOf(sourceOfPiece(piece))) !== "" && piece.subarray(8, 64).includes(0) })),
  { magic: "\x89HDF\r\n\x1a\n", what: "weights (HDF5)", test: (piece, left) => piece[8] <= 3 && left > 96 },
  { magic: "\x93NUMPY", what: "weights (NumPy)", test: piece => piece[6] >= 1 && piece[6] <= 3 && latin(piece.subarray(0, 128)).includes("'descr'") },
  ...["#!", "<?php", "@echo off"].map(script),
].map(kind => ({ back: 0, ...kind, magic: ascii(kind.magic) }));
const PROGRAMS = [
  { magic: "\x7fELF", what: "a program (ELF)", test: isElf },
  { magic: "MZ", what: "a program (PE)", test: isPe },
  { magic: "\xcf\xfa\xed\xfe", what: "a program (Mach-O)", test: isMachoProgram },
].map(kind => ({ back: 0, ...kind, magic: ascii(kind.magic) }));
const OFFSETS = ascii('"data_offsets"');

/** What rides in `program` outside of `own`, ranges that are its business. `found` is a Map of kind and place; `left` are the magic
 * numbers behind which is read, and is at most 0 where more were there. */
export function ridersIn(program, own, { polyglot, isScriptItself, left }) {
  const state = { program, own: merged(own), left, found: new Map() };
  const kinds = [...KINDS, ...(polyglot ? [] : PROGRAMS)].filter(kind => !(isScriptItself && kind.test === isScript));
  state.look = async (data, base) => {
    for (const { magic, what, test, back } of kinds)
      for (let place = indexOf(data, magic); place >= 0 && !state.found.has(what) && state.left > 0; ) {
        const behind = await attempt(state, what, test, data, place - back, base);
        place = indexOf(data, magic, Math.max(place + 1, behind + back));
      }
    await lookForPickles(state, data, base);
    await lookForSafetensors(state, data, base);
  };
  return state;
}

async function lookForPickles(state, data, base) {
  const text = latin(data);
  for (OPCODES.lastIndex = 0; !state.found.has("a pickle") && state.left > 0; ) {
    const found = OPCODES.exec(text);
    if (!found) return;
    OPCODES.lastIndex = Math.max(found.index + 1, await attempt(state, "a pickle", isPickle, data, found.index, base));
  }
}

/** A header of JSON whose length stands in front of it. */
async function lookForSafetensors(state, data, base) {
  const what = "weights (safetensors)";
  const test = (piece, left) => number(piece, 0, 8) >= 2 && number(piece, 0, 8) <= left - 8 && piece[9] === 0x22;
  for (let place = indexOf(data, OFFSETS); place >= 0 && !state.found.has(what) && state.left > 0; place = indexOf(data, OFFSETS, place + PIECE)) {
    const first = Math.max(8, place - PIECE);
    for (const mark of latin(data.subarray(first, place)).matchAll(/\{"/g)) await attempt(state, what, test, data, first + mark.index - 8, base);
  }
}

/** `what` rides at `place` in `data` if `test` says so. Gives where to look on: behind a range of the program's own. */
async function attempt(state, what, test, data, place, base) {
  const at = base + place;
  const left = state.program.size - at;
  const inside = state.own.find(([start, end]) => start <= at && at < end);
  if (inside) return inside[1] - base;
  if (at > 0) {
    state.left--;
    const piece = place >= 0 ? data.subarray(place, place + PIECE) : await state.program.read(at, Math.min(PIECE, left));
    if (await test(piece, left)) if (!state.found.has(what)) state.found.set(what, at);
  }
  return place + 1;
}

function merged(ranges) {
  const found = [];
  for (const [start, end] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const last = found[found.length - 1];
    if (last && start <= last[1]) last[1] = Math.max(last[1], end);
    else if (start < end) found.push([start, end]);
  }
  return found;
}
