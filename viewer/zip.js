// The archive at the end of a file: end records, directory, local headers, in one bounded parse (4.2 to 4.6).
import { ascii, equal, lastIndexOf, number, startsWith } from "./bytes.js";
import { finding } from "./findings.js";
import {
  DIGITAL_SIGNATURE, DIRECTORY, DIRECTORY_SIZE, END, END64, END64_SIZE, END_SIZE, LOCAL, LOCAL_SIZE, LOCATOR, LOCATOR_SIZE,
  SENTINEL, directoryRecord, localHeader, pathOf, withZip64,
} from "./records.js";

export const MARK = ascii("llamafile-format/1");
const WINDOW = 65536 + END_SIZE + 4096;
const MOST_RECORDS = 8192;
const MOST_BYTES = 8 << 20;
const MOST_NAME_BYTES = 2 << 20;
const MOST_LONG_HEADERS = 16 << 20;
const SLACK = 64;

/** Tail, directory and local headers: `{tail, entries, findings, readable, capped}`. Bad bytes are findings. */
export async function readArchive(source) {
  const { tail, findings } = await readTail(source);
  if (!tail) return { tail, entries: [], findings, readable: false, capped: false };
  const archive = await readDirectory(source, tail);
  const astray = findings.some(found => found.rule === "LF2009"); // a record that cannot be found explains the distance
  archive.findings = [...findings, ...archive.findings.filter(found => !(astray && found.rule === "LF2007"))];
  return archive;
}

/** The entry of a path: the first one. */
export function entryOf(archive, path) {
  return archive.entries.find(entry => entry.path === path);
}

async function readTail(source) {
  const start = Math.max(0, source.size - WINDOW);
  const window = await source.read(start, source.size - start);
  const candidates = [];
  for (let at = lastIndexOf(window, END); at >= 0; at = lastIndexOf(window, END, at - 1)) candidates.push(at);
  const extent = at => at + END_SIZE + (at + END_SIZE <= window.length ? number(window, at + 20, 2) : 0);
  const fits = at => extent(at) <= window.length;
  const chosen = candidates.find(fits);
  if (chosen === undefined)
    return { tail: undefined, findings: [finding("LF2001", { offset: start, length: window.length }, { size: source.size, window: window.length })] };
  const findings = [];
  const rival = candidates.find(at => at > chosen || (at < chosen && fits(at) && extent(at) > chosen));
  if (rival !== undefined)
    findings.push(finding("LF2003", { offset: start + rival, length: END_SIZE }, { chosen: start + chosen, other: start + rival }));
  const tail = await tailAt(source, start + chosen, findings);
  return { tail, findings };
}

/** The end record at `offset`, with what Zip64 says beside it; faults go to `findings`. */
export async function tailAt(source, offset, findings) {
  const head = await source.read(offset, END_SIZE);
  const comment = await source.read(offset + END_SIZE, number(head, 20, 2));
  const zip64 = await readZip64(source, offset, findings);
  const tail = {
    offset,
    comment,
    zip64,
    disk: number(head, 4, 2),
    directoryDisk: number(head, 6, 2),
    countOnDisk: number(head, 8, 2),
    count16: number(head, 10, 2),
    size32: number(head, 12, 4),
    offset32: number(head, 16, 4),
    start: zip64 ? zip64.offset : offset,
    end: offset + END_SIZE + comment.length,
  };
  tail.directoryOffset = zip64 ? zip64.directoryOffset : tail.offset32;
  tail.directorySize = zip64 ? zip64.directorySize : tail.size32;
  tail.count = zip64 ? zip64.count : tail.count16;
  tail.trailing = source.size - tail.end;
  checkTail(tail, findings);
  return tail;
}

async function readZip64(source, end, findings) {
  const at = end - LOCATOR_SIZE;
  const locator = await source.read(at, LOCATOR_SIZE);
  if (at < 0 || !startsWith(locator, LOCATOR)) return undefined;
  const offset = number(locator, 8, 8);
  const broken = why => void findings.push(finding("LF2009", { offset: at, length: LOCATOR_SIZE, field: "zip64" }, { why, offset }));
  if (offset + END64_SIZE > at) return broken("it points past itself");
  const record = await source.read(offset, END64_SIZE);
  if (!startsWith(record, END64)) return broken("there is no Zip64 end record where it points");
  const length = number(record, 4, 8);
  if (offset + 12 + length !== at || length !== END64_SIZE - 12)
    return broken("the Zip64 end record does not end where the locator starts, or has bytes of its own behind its fields");
  return {
    offset,
    locatorOffset: at,
    disk: number(record, 16, 4),
    directoryDisk: number(record, 20, 4),
    countOnDisk: number(record, 24, 8),
    count: number(record, 32, 8),
    directorySize: number(record, 40, 8),
    directoryOffset: number(record, 48, 8),
    locatorDisk: number(locator, 4, 4),
    disks: number(locator, 16, 4),
  };
}

function checkTail(tail, findings) {
  const where = { offset: tail.start, length: tail.end - tail.start };
  const wide = tail.zip64;
  let odd = tail.disk || tail.directoryDisk || tail.countOnDisk !== tail.count16;
  if (wide) {
    odd = odd || wide.disk || wide.directoryDisk || wide.locatorDisk || wide.countOnDisk !== wide.count || wide.disks !== 1;
    for (const [field, plain, sentinel, value] of [
      ["count", tail.count16, 0xffff, wide.count],
      ["size", tail.size32, SENTINEL, wide.directorySize],
      ["offset", tail.offset32, SENTINEL, wide.directoryOffset],
    ])
      if (plain !== sentinel && plain !== value)
        findings.push(finding("LF2010", { ...where, field: `eocd.${field}` }, { field, plain, wide: value }));
  } else if (tail.size32 === SENTINEL || tail.offset32 === SENTINEL)
    findings.push(finding("LF2012", where, { what: "the end record" }));
  if (odd) findings.push(finding("LF2005", where, { disk: tail.disk }));
}

/** The directory that a tail names, and its local headers if `headers` is true. */
export async function readDirectory(source, tail, headers = true) {
  const findings = [];
  const archive = { tail, entries: [], findings, readable: false, capped: false };
  const data = await directoryBytes(source, tail, findings);
  if (data) {
    const { records, whole } = walk(data, tail, findings);
    archive.readable = whole;
    archive.entries = records.map(([offset, record], index) => entryFrom(index, offset, record, findings));
    const capped = findings.some(found => found.rule === "LF2014");
    if ((whole && records.length !== tail.count) || (capped && records.length > tail.count))
      findings.push(finding("LF2006", { offset: tail.directoryOffset, length: tail.directorySize, field: "eocd.count" }, { count: tail.count, records: records.length }));
    if (headers) await locate(source, archive.entries, findings);
  }
  archive.capped = findings.some(found => found.rule === "LF2014");
  return archive;
}

async function directoryBytes(source, tail, findings) {
  const { directoryOffset: offset, directorySize: size } = tail;
  const where = { offset: tail.start, length: tail.end - tail.start, field: "eocd.offset" };
  if (offset + size !== tail.start) {
    const real = tail.start - size;
    const starts = async at => startsWith(await source.read(at, 4), DIRECTORY);
    // Readers that compensate see an archive here; the engine, which does not, sees none.
    if (real !== offset && size && real >= 0 && (await starts(real)) && !(await starts(offset))) {
      findings.push(finding("LF2008", where, { offset, real, shift: real - offset }));
      return undefined;
    }
    const slack = offset + size <= tail.start ? await source.read(offset + size, Math.min(4, tail.start - offset - size)) : [];
    if (equal(slack, DIGITAL_SIGNATURE)) findings.push(finding("LF2029", { offset: offset + size, length: 4 }, { what: "a digital signature record" }));
    else findings.push(finding("LF2007", where, { offset, size, end: tail.start }));
    if (offset + size > tail.start) return undefined;
  }
  if (size <= MOST_BYTES) return source.read(offset, size);
  findings.push(pastCap("bytes of the directory", size, MOST_BYTES, where));
  if (startsWith(await source.read(offset, 4), DIRECTORY)) return source.read(offset, MOST_BYTES);
  findings.push(finding("LF2013", { offset, length: 4 }, { index: 0 }));
  return undefined;
}

function pastCap(what, found, limit, where) {
  return finding("LF2014", where, { what, found, limit });
}

function walk(data, tail, findings) {
  const records = [];
  const short = data.length < tail.directorySize;
  const stopped = { records, whole: false };
  let names = 0;
  for (let at = 0; at < data.length; ) {
    const where = { offset: tail.directoryOffset + at, length: data.length - at };
    if (records.length >= MOST_RECORDS) {
      findings.push(pastCap("records of the directory", records.length + 1, MOST_RECORDS, where));
      return stopped;
    }
    if (names > MOST_NAME_BYTES) {
      findings.push(pastCap("bytes of names", names, MOST_NAME_BYTES, where));
      return stopped;
    }
    if (startsWith(data, DIGITAL_SIGNATURE, at)) {
      findings.push(finding("LF2029", { offset: where.offset, length: 4 }, { what: "a digital signature record" }));
      return stopped;
    }
    const record = startsWith(data, DIRECTORY, at) && at + DIRECTORY_SIZE <= data.length ? directoryRecord(data, at) : undefined;
    if (!record || !record.whole) {
      if (!short) findings.push(finding("LF2013", where, { index: records.length }));
      return stopped;
    }
    records.push([where.offset, record]);
    names += record.name.length;
    at += record.length;
  }
  return { records, whole: !short };
}

function entryFrom(index, offset, record, findings) {
  const path = pathOf(record);
  const wide = withZip64(record.extra, [record.size, record.compressed, record.headerOffset]);
  if (!wide) findings.push(finding("LF2012", { offset, length: record.length, member: path }, { what: "a directory record" }));
  const [size, compressed, headerOffset] = wide || [record.size, record.compressed, record.headerOffset];
  const { crc32, method } = record;
  return { index, path, record, recordOffset: offset, header: undefined, headerOffset, dataOffset: -1, size, compressed, crc32, method };
}

/** Local headers of all entries, and where their data lies: `dataOffset` stays -1 where there is none. */
async function locate(source, entries, findings) {
  let budget = MOST_LONG_HEADERS;
  for (const entry of entries) {
    const at = entry.headerOffset;
    const head = await source.read(at, LOCAL_SIZE + entry.record.name.length + SLACK);
    const length = head.length >= LOCAL_SIZE ? LOCAL_SIZE + number(head, 26, 2) + number(head, 28, 2) : 0;
    if (length > head.length) budget -= length;
    if (!startsWith(head, LOCAL) || !length || at + length > source.size || (length > head.length && budget < 0)) {
      findings.push(finding("LF2015", { offset: entry.recordOffset, length: entry.record.length, member: entry.path, field: "header_offset" }, { offset: at, path: entry.path }));
      continue;
    }
    entry.header = localHeader(length > head.length ? await source.read(at, length) : head);
    const end = at + length + entry.compressed;
    if (end > source.size)
      findings.push(finding("LF2016", { offset: at, length, member: entry.path, field: "compressed_size" }, { path: entry.path, end, size: source.size }));
    else entry.dataOffset = at + length;
  }
}

/** Where an entry's data ends. */
export function endOf(entry) {
  return entry.dataOffset + entry.compressed;
}

/** The entries whose data lies in the file, in the order in which they lie in it. */
export function inPlace(entries) {
  return entries.filter(entry => entry.dataOffset >= 0).sort((a, b) => a.headerOffset - b.headerOffset);
}
