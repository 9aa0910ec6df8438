// The engine's own ZIP inside a prefix, and which of its records a container carries over (4.10).
import { allZero, equal } from "./bytes.js";
import { folded, isArgumentsName, isReserved, isWeightsName, nameFaults, parentsOf } from "./names.js";
import { localSizes } from "./records.js";
import { firstOf } from "./source.js";
import { endOf, inPlace, readArchive } from "./zip.js";

const NOTHING = { offset: 0, size: 0, count: 0, carried: [], dropped: [], opaque: "", leftOut: [] };

/** What is carried over from the first `engineSize` bytes: `carried` entries, `dropped` as `[path, reason]`. `taken` are the
 * paths of the container's members, `without` the folder records that the manifest says were left out. */
export async function engineRecords(source, engineSize, taken, without) {
  const archive = await readArchive(firstOf(source, engineSize));
  const { tail, entries } = archive;
  if (!tail || (!entries.length && !tail.count)) return NOTHING;
  const fault = archive.findings.find(found => found.rule !== "LF2015" && found.rule !== "LF2016");
  if (fault) return { ...NOTHING, opaque: `not read strictly: ${fault.rule}` };
  if (!allZero(await source.read(tail.end, engineSize - tail.end))) return { ...NOTHING, opaque: "not read strictly: LF7002" };
  const doubled = notUnique(entries);
  const occupied = occupiedBy(taken);
  const crossing = overlapping(entries);
  const found = { offset: tail.directoryOffset, size: tail.directorySize, count: entries.length, carried: [], dropped: [], opaque: "", leftOut: [] };
  for (const entry of entries) {
    let reason =
      disagreement(entry) || unfitName(entry) || (doubled.has(entry) && "not-unique") || (occupied(entry) && "taken") || (crossing.has(entry) && "overlap");
    if (!reason && isFolder(entry) && without.includes(entry.path)) {
      reason = "unsafe-name";
      found.leftOut.push(entry.path);
    }
    if (reason) found.dropped.push([entry.path, reason]);
    else found.carried.push(entry);
  }
  return found;
}

function isFolder({ path, record, size, compressed }) {
  const kind = record.versionMade >> 8 === 3 ? record.external >>> 28 : 0;
  return path.endsWith("/") && !record.method && !size && !compressed && !record.crc32 && (kind === 0 || kind === 4);
}

function disagreement(entry) {
  const { header, record } = entry;
  if (!header || entry.dataOffset < 0) return "outside-prefix";
  const flags = record.flags | header.flags;
  if (flags & 0x2041) return "encrypted";
  if (flags & 8) return "data-descriptor";
  if (record.method !== 0 && record.method !== 8) return "method";
  const sizes = localSizes(header);
  const same =
    equal(header.name, record.name) && header.method === record.method && header.flags === record.flags && header.crc32 === record.crc32 &&
    sizes && sizes[0] === entry.size && sizes[1] === entry.compressed;
  return !same || (record.method === 0 && entry.size !== entry.compressed) ? "header-differs" : "";
}

function unfitName(entry) {
  const name = isFolder(entry) ? entry.record.name.subarray(0, -1) : entry.record.name;
  if (nameFaults(name).length) return "unsafe-name";
  if (isReserved(entry.path)) return "reserved";
  if (isWeightsName(entry.path)) return "weights";
  return isArgumentsName(entry.path) ? "arguments" : "";
}

const keyOf = entry => folded(entry.path.replace(/\/$/, ""));

function occupiedBy(taken) {
  const files = new Set(taken.map(folded));
  const folders = new Set([...files].flatMap(parentsOf));
  return entry => {
    const key = isFolder(entry) ? keyOf(entry) : folded(entry.path);
    return files.has(key) || (!isFolder(entry) && folders.has(key)) || parentsOf(key).some(parent => files.has(parent));
  };
}

function notUnique(entries) {
  const counts = new Map();
  for (const entry of entries) counts.set(keyOf(entry), (counts.get(keyOf(entry)) || 0) + 1);
  const files = new Set(entries.filter(entry => !isFolder(entry)).map(keyOf));
  const broken = new Set(entries.flatMap(entry => parentsOf(keyOf(entry))).filter(folder => files.has(folder)));
  return new Set(
    entries.filter(entry => counts.get(keyOf(entry)) > 1 || broken.has(keyOf(entry)) || parentsOf(keyOf(entry)).some(parent => broken.has(parent))),
  );
}

function overlapping(entries) {
  const crossing = new Set();
  let last;
  for (const entry of inPlace(entries)) {
    if (last && entry.headerOffset < endOf(last)) crossing.add(entry).add(last);
    if (!last || endOf(entry) > endOf(last)) last = entry;
  }
  return crossing;
}
