// The canonical rule (4.9): every byte that is not member data is made again from the manifest, and compared.
import { ascii, crc32, difference, join, little, textOf, utf8 } from "./bytes.js";
import { finding } from "./findings.js";
import { manifestPlace, place } from "./layout.js";
import { SENTINEL } from "./records.js";
import { modeOf } from "./roles.js";
import { MARK } from "./zip.js";

const SHOWN = 32;
export const SIGNATURES_FOLDER = "META-LLAMAFILE/signatures/";
export const RECORD_NAME = /^META-LLAMAFILE\/signatures\/(\d{4})\.(?:(oms|sig|att|vm|cnt)\.json|(tsr)\.der)$/;
const MOST_RECORD = 1 << 20;
const MOST_RECORDS = 1024;
const MOST_TAIL = 16 << 20;

/** Gap and local header of a member at its place (4.3, 4.4). */
export function localHeaderOf({ path, size, gap, header }, crc) {
  const name = utf8(path);
  const wide = size >= SENTINEL;
  const short = little(4, wide ? SENTINEL : size);
  return join(
    header - gap, ascii("PK\x03\x04"), little(2, wide ? 45 : 10), little(2, 0x0800), little(2, 0), little(2, 0), little(2, 0x21), little(4, crc),
    short, short, little(2, name.length), little(2, wide ? 20 : 0), name, zip64(wide ? [size, size] : []),
  );
}

/** The directory record of a member at its place (4.3). */
export function directoryRecordOf({ path, size, header }, crc, role) {
  const name = utf8(path);
  const wide = size >= SENTINEL;
  const far = header >= SENTINEL;
  const short = little(4, wide ? SENTINEL : size);
  const extra = zip64([...(wide ? [size, size] : []), ...(far ? [header] : [])]);
  return join(
    ascii("PK\x01\x02"), little(2, 0x032d), little(2, extra.length ? 45 : 10), little(2, 0x0800), little(2, 0), little(2, 0), little(2, 0x21),
    little(4, crc), short, short, little(2, name.length), little(2, extra.length), 6, little(4, modeOf(role) * 65536),
    little(4, far ? SENTINEL : header), name, extra,
  );
}

/** The end records and the mark (4.6, 4.7) of a directory of `count` records. */
export function endRecordsOf(offset, size, count) {
  const far = offset >= SENTINEL;
  const wide = join(
    ascii("PK\x06\x06"), little(8, 44), little(2, 0x032d), little(2, 45), 8, little(8, count), little(8, count), little(8, size), little(8, offset),
    ascii("PK\x06\x07"), 4, little(8, offset + size), little(4, 1),
  );
  return join(
    far ? wide : 0, ascii("PK\x05\x06"), 4, little(2, count), little(2, count), little(4, size), little(4, far ? SENTINEL : offset),
    little(2, MARK.length), MARK,
  );
}

function zip64(values) {
  return values.length ? join(little(2, 1), little(2, 8 * values.length), ...values.map(value => little(8, value))) : new Uint8Array(0);
}

/** Findings for every structure byte that is not the one that it must be. `engineRecords` are the directory records that
 * were carried over from the prefix. */
export async function checkStructure(source, archive, { manifest, data, layout, engineRecords }) {
  const findings = [];
  const records = [];
  const due = async (at, crc, role) => {
    await compareHeader(source, at, crc, findings);
    records.push(directoryRecordOf(at, crc, role));
  };
  const places = [...layout.members, layout.chunks];
  for (const [index, at] of places.entries()) await due(at, parseInt(manifest.members[index].crc32, 16), manifest.members[index].role);
  const last = manifestPlace(layout, data.length);
  await due(last, crc32(data), "manifest");
  const start = await signatureRecords(source, archive, last.end, due, findings);
  await compareDirectory(source, start, [...engineRecords, ...records], findings);
  return findings;
}

/** Signature records in the directory, in its order. */
export function signatureEntries(archive) {
  return archive.entries.filter(entry => entry.path.startsWith(SIGNATURES_FOLDER));
}

async function signatureRecords(source, archive, cursor, due, findings) {
  let total = 0;
  let count = 0;
  for (const entry of signatureEntries(archive)) {
    count++;
    const reason = faultOfRecord(entry, count, total) || (cursor + entry.size > source.size && "it runs past the end of the file");
    if (reason) {
      findings.push(finding("LF3104", { offset: entry.headerOffset, member: entry.path }, { path: entry.path, reason }));
      break;
    }
    const at = place(cursor, entry.path, entry.size, 1);
    await due(at, crc32(await source.read(at.data, at.size)), "signature");
    cursor = at.end;
    total += entry.size;
  }
  return cursor;
}

function faultOfRecord(entry, count, total) {
  const found = RECORD_NAME.exec(entry.path);
  if (!found || textOf(entry.record.name) === undefined) return "its name is not NNNN.<kind>.<ext>";
  if (Number(found[1]) !== count) return `it has number ${found[1]} where ${String(count).padStart(4, "0")} is due`;
  if (entry.size > MOST_RECORD || total + entry.size > MOST_TAIL || count > MOST_RECORDS) return "it exceeds the limits of the signature tail";
  return "";
}

async function compareHeader(source, at, crc, findings) {
  const expected = localHeaderOf(at, crc);
  const found = await source.read(at.gap, expected.length);
  const first = difference(found, expected);
  if (first < 0) return;
  const gap = at.header - at.gap;
  const told = (rule, offset) => findings.push(finding(rule, { offset, length: 1, member: at.path }, { path: at.path, offset }));
  if (first < gap) told("LF3105", at.gap + first);
  const inHeader = difference(found.subarray(gap), expected.subarray(gap));
  if (inHeader >= 0) told("LF3101", at.header + inHeader);
}

async function compareDirectory(source, start, records, findings) {
  const size = records.reduce((sum, record) => sum + record.length, 0);
  const found = await source.read(start, size);
  let at = 0;
  let shown = 0;
  for (const record of records) {
    const first = difference(found.subarray(at, at + record.length), record);
    if (first >= 0 && shown++ < SHOWN) findings.push(finding("LF3102", { offset: start + at + first, length: 1 }, { offset: start + at + first }));
    at += record.length;
  }
  const end = endRecordsOf(start, size, records.length);
  const first = difference(await source.read(start + size, end.length), end);
  if (first >= 0) findings.push(finding("LF3103", { offset: start + size + first, length: 1 }, { offset: start + size + first }));
  const offset = start + size + end.length;
  if (source.size > offset) findings.push(finding("LF3106", { offset, length: source.size - offset }, { offset, length: source.size - offset }));
}

/** The zeros between the engine and the end of the prefix (5.3.6). */
export async function checkPadding(source, { prefix }) {
  const padding = await source.read(prefix.engineSize, prefix.size - prefix.engineSize);
  const first = padding.findIndex(byte => byte !== 0);
  const offset = prefix.engineSize + first;
  return first < 0 ? [] : [finding("LF4010", { offset, length: 1 }, { offset })];
}
