// What the classic engine itself would open: its two ZIP readers, followed step by step with their leniencies (4.12).
import { join, lastIndexOf, number, startsWith, ascii, hex } from "./bytes.js";
import { finding } from "./findings.js";
import { isWeightsName } from "./names.js";
import {
  DIRECTORY, DIRECTORY_SIZE, END64, END64_SIZE, END_SIZE, LOCAL, LOCAL_SIZE, LOCATOR, LOCATOR_SIZE, SENTINEL, ZIP64,
  directoryRecord, extraFields, pathOf,
} from "./records.js";

const WEIGHTS_WINDOW = 65536;
const ZIPOS_WINDOW = 0x11000;
const REACH = 128;
const MOST = 0x7fffffff;
const OFFSET_MOST = 2 ** 63;
const MOST_BYTES = 8 << 20;
const MOST_RECORDS = 8192;
const COMPARED = 64;
const PK = ascii("PK");

/** Findings wherever one of the two readers opens something else than the archive says (LF2042, LF2043). */
export async function compareReaders(source, archive) {
  const findings = [];
  const weights = archive.entries.filter(entry => isWeightsName(entry.path)).slice(0, COMPARED);
  if (weights.length) {
    const found = await weightsDirectory(source);
    const records = found.error ? found : await weightsRecords(source, found);
    compareDirectory("LF2042", archive, found, records.error, findings);
    if (!records.error) for (const entry of weights) compareEntry("LF2042", entry, await pickWeights(source, records, entry), findings);
  }
  const view = await zipos(source);
  compareDirectory("LF2043", archive, view.directory || {}, view.error, findings);
  if (view.directory && !view.error)
    for (const entry of archive.entries) compareEntry("LF2043", entry, view.opened.get(entry.path) || { refused: "nothing" }, findings);
  return findings;
}

function compareDirectory(rule, archive, theirs, error, findings) {
  const { tail } = archive;
  const same = theirs.offset === tail.directoryOffset && theirs.size === tail.directorySize && theirs.count === tail.count;
  if (same && !error) return;
  const found = error || (theirs.count ? `a directory of ${theirs.count} records at byte ${theirs.offset}` : "nothing");
  findings.push(finding(rule, { offset: tail.start, length: tail.end - tail.start, field: "directory" }, { what: "the directory", found }));
}

function compareEntry(rule, entry, opened, findings) {
  let found = opened.refused;
  if (found === undefined) {
    if (opened.offset === entry.dataOffset && opened.size === entry.compressed && opened.method === entry.method) return;
    found = `${opened.size} bytes at byte ${opened.offset}, method ${opened.method}`;
  } else if (found.startsWith("EACCES")) return; // hidden from the engine, not different for it
  findings.push(finding(rule, { offset: entry.headerOffset, member: entry.path }, { what: entry.path, found }));
}

/** Offsets at or before `start` with the signature of an end record or locator, last first; `window` may change meanwhile. */
function* signatures(window, start) {
  for (let at = lastIndexOf(window, PK, start); at >= 0; at = lastIndexOf(window, PK, at - 1)) {
    const [third, fourth] = [window[at + 2], window[at + 3]];
    if ((third === 5 && fourth === 6) || (third === 6 && fourth === 7)) yield at;
  }
}

async function weightsDirectory(source) {
  const start = Math.max(0, source.size - WEIGHTS_WINDOW);
  const window = (await source.read(start, source.size - start)).slice();
  for (const at of signatures(window, window.length - LOCATOR_SIZE)) {
    if (window[at + 2] === 6 && at + LOCATOR_SIZE <= window.length) {
      const record = await source.read(number(window, at + 8, 8), END64_SIZE);
      window.set(record.subarray(0, window.length)); // as upstream: the look overwrites the start of the window
      const found = wideDirectory(record);
      if (found) return found;
    }
    if (window[at + 2] === 5 && at + END_SIZE <= window.length) {
      const [onDisk, count] = [number(window, at + 8, 2), number(window, at + 10, 2)];
      const [size, offset] = [number(window, at + 12, 4), number(window, at + 16, 4)];
      if (onDisk === count && count && size <= MOST && offset !== SENTINEL) return { offset, size, count };
    }
  }
  return { error: "not a pkzip archive" };
}

function wideDirectory(record) {
  if (record.length < END64_SIZE || !startsWith(record, END64)) return undefined;
  const [onDisk, count] = [hex(record.subarray(24, 32)), hex(record.subarray(32, 40))];
  const [size, offset] = [number(record, 40, 8), number(record, 48, 8)];
  const kept = number(record, 32, 4); // in an unsigned int
  return onDisk === count && size <= MOST && kept ? { offset, size, count: kept } : undefined;
}

async function weightsRecords(source, directory) {
  if (directory.offset + directory.size > source.size || directory.size > MOST_BYTES) return { error: "failed to pread zip cdir" };
  const data = await source.read(directory.offset, directory.size);
  if (!startsWith(data, DIRECTORY)) return { error: "failed to locate zip central directory" };
  const records = [];
  for (let at = 0; records.length < Math.min(directory.count, MOST_RECORDS) && at + DIRECTORY_SIZE <= data.length; ) {
    const record = directoryRecord(data, at);
    if (!record.whole) break;
    if (!startsWith(data, DIRECTORY, at)) return { error: "corrupted zip central directory entry magic" };
    records.push(record);
    at += record.length;
  }
  return records;
}

async function pickWeights(source, records, entry) {
  const found = records.filter(record => hex(record.name) === hex(entry.record.name));
  if (found.length !== 1) return { refused: `${found.length ? "multiple" : "no"} ${entry.path} files found in zip archive` };
  const [record] = found;
  const at = zip64Of(record.extra, record.headerOffset, record.size, record.compressed);
  const size = zip64Of(record.extra, record.compressed, record.size);
  if (record.method !== 0) return { refused: "weights stored in the zip executable can't be stored using compression" };
  if (at < 0 || at + LOCAL_SIZE > source.size) return { refused: "failed to pread lfile" };
  const head = await source.read(at, LOCAL_SIZE);
  if (!startsWith(head, LOCAL)) return { refused: "corrupted zip local file magic" };
  const offset = at + LOCAL_SIZE + number(head, 26, 2) + number(head, 28, 2);
  if (size < 0 || offset + size > source.size) return { refused: "failed to map zip file" };
  return { offset, size, method: 0 };
}

async function zipos(source) {
  const directory = await ziposDirectory(source);
  if (directory.error) return { error: directory.error };
  if (directory.size > MOST_BYTES || directory.count > MOST_RECORDS) return { directory, error: "central directory is too large to be emulated" };
  const data = await source.read(directory.offset, directory.size);
  const opened = new Map();
  let at = 0;
  for (let index = 0; index < directory.count; index++) {
    const record = at + DIRECTORY_SIZE <= data.length ? directoryRecord(data, at) : { whole: false };
    if (!record.whole) return { directory, error: "a directory record runs out of the directory" };
    at += record.length;
    const path = pathOf(record);
    if (!opened.has(path)) opened.set(path, await openZipos(source, record));
  }
  return { directory, opened };
}

async function ziposDirectory(source) {
  const start = Math.max(0, source.size - ZIPOS_WINDOW - 1);
  const window = await source.read(start, source.size - start);
  let error = "end of central directory not found";
  for (const at of signatures(window, window.length - 4)) {
    const found = window[at + 2] === 6 ? await located(source, window, at) : plain(window, at, start + at);
    if (found.error) error = found.error;
    if (found.error || window[at + 2] === 6) {
      if (!found.error) return found;
      continue;
    }
    for (let back = at; back > Math.max(-1, at - REACH); back--)
      if (startsWith(window, LOCATOR, back)) {
        const wide = await located(source, window, back);
        if (!wide.error) return wide;
      }
    return found;
  }
  return { error };
}

async function located(source, window, at) {
  if (at + LOCATOR_SIZE > window.length) return { error: "end of central directory not found" };
  const offset = number(window, at + 8, 8);
  if (offset + END64_SIZE > source.size) return { error: "zip64 end record lies outside the file" };
  const record = await source.read(offset, END64_SIZE);
  if (!startsWith(record, END64)) return { error: "zip64 end record magic not found" };
  const back = offset + 12 + number(record, 4, 8);
  if (back + LOCATOR_SIZE > source.size) return { error: "zip64 end record size overflows the file" };
  const locator = await source.read(back, LOCATOR_SIZE);
  if (!startsWith(locator, LOCATOR)) return { error: "zip64 locator magic not found behind its record" };
  if (number(locator, 8, 8) !== offset) return { error: "zip64 locator points elsewhere" };
  const directory = { count: number(record, 32, 8), size: number(record, 40, 8), offset: number(record, 48, 8) };
  if (directory.offset + directory.size > offset) return { error: "central directory runs past its end record" };
  if (directory.count * DIRECTORY_SIZE > directory.size) return { error: "more records than the central directory can hold" };
  return directory;
}

function plain(window, at, here) {
  if (at + END_SIZE > window.length) return { error: "end record is cut off" };
  if (at + END_SIZE + number(window, at + 20, 2) > window.length) return { error: "end record comment overflows the file" };
  if (number(window, at + 4, 2) !== number(window, at + 6, 2)) return { error: "end record disks differ" };
  if (number(window, at + 8, 2) !== number(window, at + 10, 2)) return { error: "end record counts differ" };
  const directory = { count: number(window, at + 10, 2), size: number(window, at + 12, 4), offset: number(window, at + 16, 4) };
  if (directory.count * DIRECTORY_SIZE > directory.size || directory.offset === SENTINEL) return { error: "more records than the central directory can hold" };
  if (directory.offset + directory.size > here) return { error: "central directory runs past its end record" };
  return directory;
}

async function openZipos(source, record) {
  const at = zip64Of(record.extra, record.headerOffset, record.size, record.compressed);
  if (at < 0 || at + LOCAL_SIZE > source.size) return { refused: "its local header lies outside the file (upstream crashes)" };
  const head = await source.read(at, LOCAL_SIZE);
  if (!startsWith(head, LOCAL)) return { refused: "its local header has no signature" };
  const mode = record.versionMade >> 8 === 3 ? record.external >>> 16 : 0o644;
  if (!(mode & 0o444)) return { refused: "EACCES: no read bit in its mode" };
  const [method, compressed, size] = [number(head, 8, 2), number(head, 18, 4), number(head, 22, 4)];
  const extras = number(head, 28, 2);
  const offset = at + LOCAL_SIZE + number(head, 26, 2) + extras;
  const extra = compressed === SENTINEL || size === SENTINEL ? await source.read(offset - extras, extras) : join();
  if (method !== 0 && method !== 8) return { refused: "EIO: unknown compression method" };
  const stored = method === 0 ? zip64Of(extra, size) : zip64Of(extra, compressed, size);
  if (stored < 0 || offset + stored > source.size) return { refused: "its data lies outside the file (upstream crashes)" };
  return { offset, size: stored, method };
}

/** `value`, or its Zip64 value if it is the sentinel, -1 if there is none. `before` are the fields that stand in front. */
function zip64Of(extra, value, ...before) {
  if (value !== SENTINEL) return value;
  const skip = 8 * before.filter(field => field === SENTINEL).length;
  for (const [kind, body] of extraFields(extra))
    if (kind === ZIP64 && skip + 8 <= body.length) {
      const wide = number(body, skip, 8);
      return wide < OFFSET_MOST ? wide : -1;
    }
  return -1;
}
