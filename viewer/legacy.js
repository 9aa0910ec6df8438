// Legacy llamafiles (chapter 9): habits of the tools that made them are explained, damage and confusion are found.
import { allZero, crc32, indexOf, number } from "./bytes.js";
import { finding } from "./findings.js";
import { EDGE, holes, lostTail } from "./generations.js";
import { Broken, inflate } from "./inflate.js";
import { isWeightsName, nameFaults } from "./names.js";
import { LOCAL, LOCAL_SIZE, SENTINEL, localHeader, localSizes, pathOf } from "./records.js";
import { ZIPALIGN_HOLE, byZipalign, unclaimed } from "./spans.js";
import { endOf, inPlace } from "./zip.js";

const ALIGNMENT = 16384;
const MOST_TRAILING = 4096;
const LOST_BUDGET = 16 << 20;
const ORPHAN_BUDGET = 1 << 20;
const MOST_ORPHANS = 64;
const MOST_UNPACKED = 256 << 20;
const READ = 4 << 20;

/** LF7001 to LF7019 of a file with `generations`, whose program ends at `programEnd` (0 if that is unknown). */
export async function checkLegacy(source, archive, generations, programEnd) {
  const { tail, entries } = archive;
  if (!tail) return checkLostTail(source);
  const findings = await checkTrailing(source, tail);
  if (tail.comment.length) findings.push(finding("LF7004", { offset: tail.end - tail.comment.length, length: tail.comment.length }, { length: tail.comment.length }));
  if (!entries.length) return findings;
  findings.push(...entries.flatMap(oddFields), ...zip64Everywhere(archive), ...weights(entries), ...argumentNames(entries));
  const inside = inPlace(entries).filter(entry => entry.headerOffset < programEnd);
  if (inside.length) findings.push(finding("LF7007", { offset: inside[0].headerOffset }, { count: inside.length, image_end: programEnd }));
  const orphans = await orphansOf(source, archive);
  findings.push(...(await explained(source, archive, generations, orphans, programEnd)));
  if (archive.readable) findings.push(...(await lostMembers(source, archive, generations, orphans)));
  for (const { offset, end, count } of generations) findings.push(finding("LF7009", { offset, length: end - offset }, { count, offset }));
  return findings;
}

/** An append that was cut short leaves an earlier archive far from the end (9.4.4). */
export async function checkLostTail(source) {
  const found = await lostTail(source, LOST_BUDGET);
  return found ? [finding("LF7018", { offset: found.offset, length: found.end - found.offset }, { end: found.end, count: found.count })] : [];
}

async function checkTrailing(source, { end, trailing }) {
  if (!trailing) return [];
  const data = await source.read(end, trailing);
  const rule = isCertificate(data) ? "LF7003" : trailing <= MOST_TRAILING && allZero(data) ? "LF7001" : "LF7002";
  return [finding(rule, { offset: end, length: trailing }, { length: trailing })];
}

/** An Authenticode signature (9.2.5), with at most 7 zero bytes in front. */
function isCertificate(data) {
  const start = data.findIndex(byte => byte);
  if (start < 0 || start > 7 || data.length - start <= 8) return false;
  const length = number(data, start, 4);
  return length >= data.length - start - 7 && length <= data.length - start && number(data, start + 4, 4) === 0x00020200;
}

function oddFields({ record, recordOffset, path }) {
  const where = { offset: recordOffset, length: record.length, member: path };
  const findings = [];
  const shown = (value, base, width) => value.toString(base).padStart(width, "0");
  if (!dateExists(record)) findings.push(finding("LF7005", where, { path, date: `0x${shown(record.date, 16, 4)}`, time: `0x${shown(record.time, 16, 4)}` }));
  const mode = record.external >>> 16;
  if (record.versionMade >> 8 === 3 && !(mode & 0o444)) findings.push(finding("LF7012", where, { path, mode: shown(mode, 8, 6) }));
  if (record.name.some(byte => byte > 127) && !(record.flags & 0x0800)) findings.push(finding("LF7017", where, { path }));
  return findings;
}

function dateExists({ date, time }) {
  const [month, day] = [(date >> 5) & 15, date & 31];
  const days = month === 2 ? 29 : [4, 6, 9, 11].includes(month) ? 30 : 31;
  return month >= 1 && month <= 12 && day >= 1 && day <= days && time >> 11 < 24 && ((time >> 5) & 63) < 60 && (time & 31) < 30;
}

function zip64Everywhere({ tail, entries }) {
  const small = entries.filter(({ record, size, compressed, headerOffset }) =>
    [record.size, record.compressed, record.headerOffset].includes(SENTINEL) && Math.max(size, compressed, headerOffset) < SENTINEL);
  const needless = tail.zip64 && tail.directoryOffset < SENTINEL && tail.count < 0xffff;
  return small.length || needless ? [finding("LF7008", { offset: tail.start, length: tail.end - tail.start }, { count: small.length })] : [];
}

function weights(entries) {
  const found = entries.filter(entry => isWeightsName(entry.path));
  const odd = found.filter(entry => entry.dataOffset >= 0 && entry.dataOffset % ALIGNMENT && entry.method === 0);
  const findings = odd.map(({ path, dataOffset: offset, compressed: length }) => finding("LF7014", { offset, length, member: path }, { path, offset, alignment: ALIGNMENT }));
  if (found.length > 1) findings.push(finding("LF7015", {}, { count: found.length, names: found.slice(0, 8).map(entry => entry.path).join(", ") }));
  return findings;
}

/** The engine looks up exactly `.args`; zipalign stores `./.args` as it was typed. */
function argumentNames(entries) {
  const told = ({ path, recordOffset }) => finding("LF7013", { offset: recordOffset, member: path }, { path });
  const entry = entries.find(({ path }) => path === ".args");
  if (entry) return entry.record.versionMade >> 8 === 3 && !((entry.record.external >>> 16) & 0o444) ? [told(entry)] : [];
  return entries.filter(({ path }) => /^(?:\.{0,2}\/)+\.args$/.test(path)).map(told);
}

/** Whole members that no record points at, in holes behind the first live member: an orphan stands where a gap ends. */
async function orphansOf(source, archive) {
  const found = [];
  let budget = ORPHAN_BUDGET;
  for (const [start, end] of holes(archive, source.size))
    for (let at = start; start && end - at > LOCAL_SIZE && budget > 0 && found.length < MOST_ORPHANS; ) {
      const length = Math.min(EDGE, end - at, budget);
      budget -= length;
      const orphan = await firstOrphan(source, at, length, end);
      if (!orphan) break;
      found.push(orphan);
      at = orphan.end;
    }
  return found;
}

async function firstOrphan(source, start, length, end) {
  const data = await source.read(start, length);
  let tries = 64;
  for (let at = indexOf(data, LOCAL); at >= 0 && tries; at = indexOf(data, LOCAL, at + 1), tries--) {
    const orphan = await orphanAt(source, start + at, end);
    if (orphan) return orphan;
  }
  return undefined;
}

async function orphanAt(source, at, end) {
  const head = await source.read(at, LOCAL_SIZE);
  if (at + LOCAL_SIZE > end || head.length < LOCAL_SIZE) return undefined;
  const [names, extras] = [number(head, 26, 2), number(head, 28, 2)];
  const data = at + LOCAL_SIZE + names + extras;
  if (!names || names > 1024 || extras > 1024 || data > end) return undefined;
  const header = localHeader(await source.read(at, data - at));
  const sizes = localSizes(header);
  if (!sizes || data + sizes[1] > end || header.name.some(byte => byte > 127) || nameFaults(header.name).length) return undefined;
  return { path: pathOf(header), offset: at, size: sizes[1], end: data + sizes[1] };
}

/** Holes: zipalign's own, zeros in front of the directory, and bytes that nothing explains. */
async function explained(source, archive, generations, orphans, programEnd) {
  const findings = [];
  const spans = await unclaimed(source, archive, generations, programEnd);
  const small = spans.filter(({ kind }) => kind === "zipalign");
  const count = small.length;
  const members = new Set(archive.entries.filter(byZipalign).map(entry => entry.path)).size;
  if (count) findings.push(finding("LF7006", { offset: small[0].offset, length: ZIPALIGN_HOLE }, { count, members, length: ZIPALIGN_HOLE }));
  for (const { offset, end, kind, before } of spans) {
    const told = rule => findings.push(finding(rule, { offset, length: end - offset }, { offset, length: end - offset }));
    if (kind === "zeros" && before === "directory") told("LF7010");
    else if (kind === "bytes" && !orphans.some(orphan => offset <= orphan.offset && orphan.offset < end)) told("LF7016");
  }
  return findings;
}

/** Members that an earlier directory had, or that still lie in the file, and that the live directory lost (9.4.3). */
async function lostMembers(source, { entries }, generations, orphans) {
  const live = new Set(entries.map(entry => entry.path));
  const lost = new Map();
  for (const { entries: old } of generations)
    for (const { path, headerOffset: offset, size } of old)
      if (!live.has(path) && indexOf(await source.read(offset, 4), LOCAL) === 0) lost.set(path, { offset, size });
  for (const { path, offset, size } of orphans) if (!live.has(path)) lost.set(path, { offset, size });
  return [...lost].map(([path, { offset, size }]) => finding("LF7011", { offset, member: path }, { path, offset, size }));
}

/** LF7020 for each member whose contents do not have the CRC-32 of the directory; what overlaps an earlier one is left out (9.6.1).
 * `{findings, checked}`: paths of members that are as recorded. `told(done, total)` is called as it goes, `stop()` may throw. */
export async function checkCrcs(source, { entries }, { told = () => {}, stop = () => {} } = {}) {
  const found = { findings: [], checked: new Set() };
  const total = inPlace(entries).reduce((sum, entry) => sum + entry.compressed, 0);
  let [end, unpacked, done] = [0, 0, 0];
  for (const entry of inPlace(entries)) {
    const { path, headerOffset, dataOffset: offset, compressed: length, method, size } = entry;
    if (headerOffset < end) continue;
    end = endOf(entry);
    if (entry.record.flags & 1 || (method !== 0 && method !== 8)) continue;
    const where = { offset, length, member: path };
    if (method === 8 && unpacked + size > MOST_UNPACKED) {
      found.findings.push(finding("LF7021", where, { path, size: unpacked + size, limit: MOST_UNPACKED }));
      continue;
    }
    unpacked += method === 8 ? size : 0;
    const crc = await crcOf(source, entry, count => {
      stop();
      told(Math.min(total, done + count), total);
    });
    done += length;
    const shown = value => value.toString(16).padStart(8, "0");
    if (crc === entry.crc32) found.checked.add(path);
    else found.findings.push(finding("LF7020", where, { path, expected: shown(entry.crc32), found: crc === undefined ? "it cannot be unpacked" : shown(crc) }));
  }
  return found;
}

/** CRC-32 of what a member unpacks to; undefined if that is not of the size in the directory. */
async function crcOf(source, entry, told) {
  let [crc, total] = [0, 0];
  try {
    for await (const piece of contentsOf(source, entry)) {
      crc = crc32(piece, crc);
      total += piece.length;
      if (total > entry.size) return undefined;
      told(Math.min(total, entry.compressed));
    }
  } catch (error) {
    if (error instanceof Broken) return undefined;
    throw error;
  }
  return total === entry.size ? crc : undefined;
}

/** The contents of a located member in pieces, unpacked. Throws Broken. */
export async function* contentsOf(source, { dataOffset, compressed, method }) {
  if (method === 8) yield* inflate(source, dataOffset, compressed);
  else for (let at = 0; at < compressed; at += READ) yield source.read(dataOffset + at, Math.min(READ, compressed - at));
}
