// What is wrong with an archive: whatever two readers could understand differently (4.3 to 4.8).
import CODE_PAGES from "data:code-pages";
import { allZero, crc32, difference, equal, hex, number, textOf } from "./bytes.js";
import { compareReaders } from "./engine_readers.js";
import { finding } from "./findings.js";
import { RESERVED_FOLDER, collisions, isReserved, isWeightsName, nameFaults } from "./names.js";
import { END_SIZE, SENTINEL, ZIP64, extraFields, extraIsWhole, localSizes, withZip64 } from "./records.js";
import { MARK, endOf, inPlace } from "./zip.js";

const SHOWN = 32;
const MOST_GAPS = 1 << 20;
const OUR_PLACES = /^META-LLAMAFILE\/(?:README\.txt|chunks\.txt|manifest\.json|(?:history|signatures)\/(?:[^]*[^/])?)$/;

/** All findings about an archive, at most 32 of one rule. `prefixSize` is the manifest's, if there is one: records in front of it
 * are the engine's, and may have habits of their own. With `legacy` all may (9.6.2). */
export async function checkArchive(source, archive, { prefixSize, legacy = false }) {
  const findings = [...archive.findings];
  if (archive.tail) {
    if (!legacy) checkTail(archive.tail, findings);
    for (const entry of archive.entries) {
      const ours = !legacy && entry.headerOffset >= (prefixSize || 0);
      findings.push(...entryFaults(entry, ours), ...nameFindings(entry, ours));
    }
    checkUniqueness(archive.entries, findings);
    checkOverlaps(archive, prefixSize, findings);
    if (archive.readable && archive.entries.length) findings.push(...(await compareReaders(source, archive)));
    if (!legacy) {
      checkOrder(archive, prefixSize || 0, findings);
      await checkGaps(source, archive, prefixSize, findings);
    }
  }
  const counts = {};
  return findings.filter(found => (counts[found.rule] = (counts[found.rule] || 0) + 1) <= SHOWN);
}

function checkTail(tail, findings) {
  if (!equal(tail.comment, MARK))
    findings.push(finding("LF2004", { offset: tail.offset + END_SIZE, length: tail.comment.length, field: "eocd.comment" }, { found: hex(tail.comment.subarray(0, 40)) }));
  if (tail.trailing) findings.push(finding("LF2011", { offset: tail.end, length: tail.trailing }, { length: tail.trailing }));
  if (tail.zip64 && tail.directoryOffset < SENTINEL)
    findings.push(finding("LF2002", { offset: tail.zip64.offset, length: tail.offset - tail.zip64.offset }, { what: "the end record" }));
}

/** Faults of one record and its local header. `ours` is false for records that were carried over from the engine. */
export function entryFaults(entry, ours) {
  const { record, header, path } = entry;
  const findings = [];
  const at = field => ({ offset: entry.recordOffset, length: record.length, member: path, field });
  const flags = record.flags | (header ? header.flags : 0);
  if (flags & 0x2041) findings.push(finding("LF2021", at("flags"), { path, flags: `0x${flags.toString(16).padStart(4, "0")}` }));
  if (flags & 8) findings.push(finding("LF2022", at("flags"), { path }));
  const allowed = ours || isWeightsName(path) ? [0] : [0, 8];
  if (!allowed.includes(entry.method)) findings.push(finding("LF2023", at("method"), { path, method: entry.method, allowed: allowed.join(" or ") }));
  const resolved = withZip64(record.extra, [record.size, record.compressed, record.headerOffset]);
  if (entry.method === 0 && entry.size !== entry.compressed && resolved)
    findings.push(finding("LF2024", at("compressed_size"), { path, size: entry.size, compressed: entry.compressed }));
  if (header) findings.push(...disagreements(entry));
  findings.push(...extraFaults(entry, ours), ...typeFaults(entry, ours));
  if (ours) findings.push(...fieldFaults(entry, new Set(findings.map(found => found.rule))));
  return findings;
}

function atHeader(entry, field) {
  return { offset: entry.headerOffset, length: entry.header ? entry.header.length : undefined, member: entry.path, field };
}

function disagreements(entry) {
  const { record, header, path } = entry;
  const findings = [];
  if (!equal(header.name, record.name)) findings.push(finding("LF2019", atHeader(entry, "name"), { path, local: hex(header.name.subarray(0, 40)) }));
  if (header.method !== record.method) findings.push(finding("LF2017", atHeader(entry, "method"), { path, local: header.method, directory: record.method }));
  if (header.flags !== record.flags) findings.push(finding("LF2020", atHeader(entry, "flags"), { path, local: header.flags, directory: record.flags }));
  const sizes = localSizes(header);
  if (!sizes) return [...findings, finding("LF2012", atHeader(entry, "size"), { what: "a local header" })];
  const [size, compressed] = sizes;
  const deferred = header.flags & 8 && !header.crc32 && !size && !compressed;
  if ((header.crc32 !== entry.crc32 || size !== entry.size || compressed !== entry.compressed) && !deferred)
    findings.push(finding("LF2018", atHeader(entry, "size"), { path, local: `${size}/${compressed}/${header.crc32}`, directory: `${entry.size}/${entry.compressed}/${entry.crc32}` }));
  return findings;
}

function extraFaults(entry, ours) {
  const { record, header, path } = entry;
  const where = { offset: entry.recordOffset, length: record.length, member: path, field: "extra" };
  const findings = oneExtra(entry, where, record.extra, [record.size, record.compressed, record.headerOffset], ours);
  if (header) findings.push(...oneExtra(entry, atHeader(entry, "extra"), header.extra, [header.size, header.compressed], ours));
  if (ours && extraFields(record.extra).some(([kind]) => kind === ZIP64) && entry.size < SENTINEL && entry.headerOffset < SENTINEL)
    findings.push(finding("LF2002", where, { what: path }));
  return findings;
}

function oneExtra({ path, record: { name } }, where, extra, values, ours) {
  if (!extra.length) return [];
  if (!extraIsWhole(extra)) return ours || !allZero(extra) ? [finding("LF2025", where, { path, why: "does not end with a whole field" })] : [];
  const findings = [];
  const fields = extraFields(extra);
  const wide = fields.filter(([kind]) => kind === ZIP64);
  const needed = 8 * values.filter(value => value === SENTINEL).length;
  if (wide.length > 1) findings.push(finding("LF2025", where, { path, why: "holds the Zip64 field twice" }));
  else if (wide.length && wide[0][1].length > needed)
    findings.push(finding(ours ? "LF2025" : "LF7022", where, { path, why: "holds Zip64 values for fields that have their own value" }));
  for (const [kind, body] of fields) {
    if (kind === 0x7075 || kind === 0x6375) findings.push(finding(!ours && kind === 0x7075 && saysTheSame(body, name) ? "LF7023" : "LF2026", where, { path }));
    else if (kind === 0x9901) findings.push(finding("LF2021", where, { path, flags: "AES" }));
    else if (ours && kind !== ZIP64) findings.push(finding("LF2027", where, { path, kind: `0x${kind.toString(16).padStart(4, "0")}` }));
  }
  return findings;
}

/** True if a Unicode path field holds the name of its record, in UTF-8 (9.2.7): another name would be a second face. */
function saysTheSame(body, name) {
  const text = body.length >= 6 && body[0] === 1 && number(body, 1, 4) === crc32(name) ? textOf(body.subarray(5)) : undefined;
  if (text === undefined) return false;
  const inPage = high => Array.from(name, byte => (byte < 128 ? String.fromCharCode(byte) : high[byte - 128])).join("");
  return text === textOf(name) || CODE_PAGES.some(high => text === inPage(high));
}

function typeFaults(entry, ours) {
  const { record, path } = entry;
  const kind = (record.versionMade >> 8 === 3 ? record.external >>> 16 : 0) & 0o170000;
  const folder = path.endsWith("/");
  let why = "";
  if (![0, 0o100000, 0o040000].includes(kind)) why = "its mode makes it a link or a device";
  else if (folder && entry.size) why = "its name makes it a folder, yet it has data";
  else if (!folder && (kind === 0o040000 || record.external & 0x10)) why = "its attributes make it a folder, its name a file";
  else if (folder && kind === 0o100000 && !ours) why = "its name makes it a folder, its mode a file";
  return why ? [finding("LF2030", { offset: entry.recordOffset, length: record.length, member: path, field: "external_attributes" }, { path, why })] : [];
}

/** Fields that have one legal value, unless another rule has spoken of them. */
function fieldFaults(entry, told) {
  const { record, header, path } = entry;
  const toldFlags = ["LF2020", "LF2021", "LF2022"].some(rule => told.has(rule));
  const wide = extra => extraFields(extra).some(([kind]) => kind === ZIP64);
  const modes = [0o100644 * 65536, 0o100755 * 65536];
  const odd = Object.entries({
    version_made: record.versionMade === 0x032d,
    version_needed: record.versionNeeded === (wide(record.extra) ? 45 : 10),
    flags: record.flags === 0x0800 || toldFlags,
    dos_time: record.time === 0 && record.date === 0x21,
    disk: record.disk === 0,
    internal_attributes: record.internal === 0,
    external_attributes: modes.includes(record.external) || told.has("LF2030"),
    comment: record.commentLength === 0,
  }).filter(([, good]) => !good).map(([name]) => name);
  const findings = [];
  if (odd.length) findings.push(finding("LF2028", { offset: entry.recordOffset, length: record.length, member: path, field: odd[0] }, { path, fields: odd.join(", ") }));
  if (!header) return findings;
  const oddLocal = Object.entries({
    version_needed: header.versionNeeded === (wide(header.extra) ? 45 : 10),
    flags: header.flags === 0x0800 || toldFlags || header.flags === record.flags,
    dos_time: header.time === 0 && header.date === 0x21,
  }).filter(([, good]) => !good).map(([name]) => name);
  if (oddLocal.length) findings.push(finding("LF2028", atHeader(entry, oddLocal[0]), { path, fields: oddLocal.map(name => `local ${name}`).join(", ") }));
  return findings;
}

/** What an engine's record may be called that a member may not: its folders, and names that are awkward elsewhere. */
const AWKWARD = new Set(["LF2035", "LF2036", "LF2037", "LF2044"]);

function nameFindings(entry, ours) {
  const { path } = entry;
  const where = { offset: entry.recordOffset, length: entry.record.length, member: path, field: "name" };
  const faults = nameFaults(entry.record.name);
  const findings = [];
  for (const [rule, why] of faults) {
    const traversal = why.startsWith("has an empty");
    if (ours) findings.push(finding(rule, where, { path, why }));
    else if (rule === "LF2030") continue;
    else if (AWKWARD.has(rule) || (traversal && !path.split("/").includes(".."))) findings.push(finding("LF7019", where, { path, why }));
    else if (!(traversal && path.startsWith("/"))) findings.push(finding(rule, where, { path, why }));
  }
  if (ours && isReserved(path) && !(OUR_PLACES.test(path) && !path.endsWith("/")))
    findings.push(finding("LF2038", where, { path, folder: RESERVED_FOLDER }));
  return findings;
}

function checkUniqueness(entries, findings) {
  const first = new Map();
  const unique = [];
  const where = entry => ({ offset: entry.recordOffset, length: entry.record.length, member: entry.path, field: "name" });
  for (const entry of entries) {
    const name = hex(entry.record.name);
    if (first.has(name)) findings.push(finding("LF2031", where(entry), { path: entry.path, index: entry.index, other: first.get(name).index }));
    else {
      first.set(name, entry);
      unique.push(entry);
    }
  }
  for (const [index, other] of collisions(unique.map(entry => entry.path)))
    findings.push(finding("LF2032", where(unique[index]), { path: unique[index].path, other: unique[other].path }));
}

function checkOverlaps(archive, prefixSize, findings) {
  let end = 0;
  let owner = "";
  for (const entry of inPlace(archive.entries)) {
    const behind = endOf(entry);
    let other;
    if (entry.headerOffset < end) other = owner;
    else if (prefixSize !== undefined && entry.headerOffset < prefixSize && prefixSize < behind) other = "the end of the prefix";
    else if (archive.readable && behind > archive.tail.directoryOffset) other = "the central directory";
    if (other !== undefined)
      findings.push(finding("LF2039", { offset: entry.headerOffset, length: behind - entry.headerOffset, member: entry.path }, { path: entry.path, other }));
    if (behind > end) [end, owner] = [behind, entry.path];
  }
}

function checkOrder(archive, prefixSize, findings) {
  let last = -1;
  for (const entry of archive.entries) {
    const at = entry.headerOffset >= prefixSize ? entry.headerOffset : -1;
    if (at < last) {
      findings.push(finding("LF2041", { offset: entry.recordOffset, length: entry.record.length, member: entry.path }, { path: entry.path, index: entry.index }));
      return;
    }
    last = at;
  }
}

async function checkGaps(source, archive, prefixSize, findings) {
  if (!archive.readable) return;
  let budget = MOST_GAPS;
  let at = prefixSize;
  for (const entry of inPlace(archive.entries)) {
    at ??= entry.headerOffset;
    if (entry.headerOffset < (prefixSize || 0)) continue;
    const length = entry.headerOffset - at;
    if (length > 0 && length <= budget) {
      budget -= length;
      if (difference(await source.read(at, length), new Uint8Array(length)) >= 0) findings.push(finding("LF2040", { offset: at, length }, { offset: at, length }));
    }
    at = Math.max(at, endOf(entry));
  }
  if (at !== undefined && at < archive.tail.directoryOffset) {
    const length = archive.tail.directoryOffset - at;
    findings.push(finding("LF2040", { offset: at, length }, { offset: at, length }));
  }
}
