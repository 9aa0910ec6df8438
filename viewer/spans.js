// What the bytes between the records of a legacy file are (4.11): claims of records, and what nobody claims.
import { allZero } from "./bytes.js";
import { ZIP64, extraFields, SENTINEL } from "./records.js";
import { endOf } from "./zip.js";

export const ZIPALIGN_HOLE = 24;
const MOST_READ = 1 << 20;

/** Unclaimed ranges behind the program: `{offset, end, kind, before}`. `kind` is `zipalign`, `zeros`, `bytes` or `gap`. */
export async function unclaimed(source, archive, generations, programEnd) {
  const frame = settled(frameClaims(archive, generations, source.size), source.size);
  const members = settled(memberClaims(archive.entries), source.size).flatMap(claim => outside(claim, frame));
  const claims = [...frame, ...members].sort((a, b) => a.start - b.start);
  const wide = new Set(archive.entries.filter(byZipalign).map(entry => entry.path));
  const found = [];
  const room = { left: MOST_READ };
  let at = 0;
  let before;
  for (const claim of [...claims, { start: source.size, end: source.size, what: "end" }]) {
    if (before && at < programEnd) at = Math.min(claim.start, Math.max(at, programEnd));
    if (before && at < claim.start) found.push(...(await between(source, room, at, before, claim, wide)));
    at = Math.max(at, claim.end);
    before = claim;
  }
  return found;
}

/** True of a record as zipalign writes it (9.2.1). */
export function byZipalign({ record }) {
  const kinds = extraFields(record.extra).map(([kind]) => kind);
  const sentinels = [record.size, record.compressed, record.headerOffset].every(value => value === SENTINEL);
  return sentinels && kinds.length === 1 && kinds[0] === ZIP64 && record.flags === 0x0800 && record.versionMade === 0x032d;
}

function frameClaims({ tail, entries, readable }, generations, size) {
  const claims = [{ start: tail.start, end: tail.end, what: "end" }, { start: tail.end, end: size, what: "trailing" }];
  if (entries.length || readable) {
    const length = Math.min(tail.directorySize, Math.max(0, tail.start - tail.directoryOffset));
    claims.push({ start: tail.directoryOffset, end: tail.directoryOffset + length, what: "directory" });
  }
  for (const { offset, size: length, start, end } of generations) claims.push({ start: offset, end: offset + length, what: "old" }, { start, end, what: "old" });
  return claims;
}

function memberClaims(entries) {
  return entries.flatMap(entry => {
    if (!entry.header) return [];
    const { path, headerOffset: start } = entry;
    const end = start + entry.header.length;
    const header = { start, end, path, what: "member" };
    if (path.startsWith("META-LLAMAFILE/signatures/") && entry.dataOffset >= 0) return [{ start, end: endOf(entry), what: "member" }];
    return entry.dataOffset >= 0 && entry.compressed ? [header, { start: entry.dataOffset, end: endOf(entry), path, what: "data" }] : [header];
  });
}

/** Claims in the order of the file, the later of two that overlap cut or dropped. */
function settled(claims, size) {
  let at = 0;
  return [...claims].sort((a, b) => a.start - b.start).flatMap(claim => {
    const [start, end] = [Math.max(claim.start, at), Math.min(claim.end, size)];
    if (start >= end) return [];
    at = end;
    return [{ ...claim, start, end }];
  });
}

/** The parts of a claim that no claim of the frame covers. */
function outside(claim, frame) {
  const parts = [];
  let at = claim.start;
  for (const each of frame) {
    if (each.end <= at || each.start >= claim.end) continue;
    if (at < each.start) parts.push({ ...claim, start: at, end: each.start });
    at = Math.max(at, each.end);
  }
  return at < claim.end ? [...parts, { ...claim, start: at }] : parts;
}

async function between(source, room, at, before, after, wide) {
  const found = [];
  const add = (start, end, kind) => found.push({ offset: start, end, kind, before: after.what });
  const closes = (before.what === "member" || before.what === "data") && wide.has(before.path);
  if (closes && after.start - at >= ZIPALIGN_HOLE) {
    add(at, at + ZIPALIGN_HOLE, "zipalign");
    at += ZIPALIGN_HOLE;
  }
  const length = after.start - at;
  if (!length) return found;
  const read = length <= Math.min(MOST_READ, room.left);
  if (read) room.left -= length;
  const zeros = read && allZero(await source.read(at, length));
  add(at, after.start, !read || (zeros && after.what === "member") ? "gap" : zeros ? "zeros" : "bytes");
  return found;
}
