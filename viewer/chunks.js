// Every byte in front of the list against its digest (chapter 6), some chunks at a time: a browser takes longer to hand out
// bytes than to hash them, and less for one large piece than for many small ones.
import { crc32, digest, hex, join, sha256, textOf, unhex } from "./bytes.js";
import { finding } from "./findings.js";
import { CHUNK, CHUNKS_PATH, tilesOf } from "./layout.js";

const IN_FLIGHT = 4;
const READ = 16 << 20;
export const MOST_WHOLE = 256 << 20; // bytes of a build whose whole digest is computed
const EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const PREFIX = "\0prefix";

/** The person who waits has said stop. */
export class Stopped extends Error {}

/** `{findings, checked, left}`: `checked` is the set of paths of members whose every chunk is right, `left` names whole digests
 * that were not computed. `told(done, total)` is called as it goes, and `stop()` asked; Stopped is thrown if it says so. */
export async function checkChunks(source, { manifest, layout }, { told = () => {}, stop = () => false } = {}) {
  const { members } = manifest;
  const chunks = members[members.length - 1];
  const list = await readList(source, chunks, manifest.profile === "archive", layout);
  const singles = new Map(members.filter(member => member.size > 0 && member.size <= CHUNK).map(member => [member.path, member]));
  const wrong = new Map();
  const check = async (piece, data) => {
    const found = await checkPiece(piece, data, piece.path === "-" ? undefined : singles.get(piece.path));
    if (found) append(wrong, piece.offset < manifest.prefix.size ? PREFIX : piece.path, found);
  };
  await inParallel(batchesOf(list.pieces), async ({ offset, length, pieces }) => {
    const data = await source.read(offset, length);
    await Promise.all(pieces.map(piece => check(piece, data.subarray(piece.offset - offset, piece.offset - offset + piece.length))));
  }, { told, stop, total: layout.chunks.gap });
  for (const faults of wrong.values()) faults.sort((a, b) => a.offset - b.offset);
  const findings = [...list.findings, ...(await wrongRoots(members, list, wrong))];
  for (const [path, faults] of wrong) findings.push(...(await damage(path, faults, manifest, list)));
  findings.push(...wholeOfSingles(manifest, list));
  const left = [];
  for (const member of members) {
    if (member.size <= CHUNK && !member.sha512) continue;
    if (member.role === "runtime" && member.size <= MOST_WHOLE) findings.push(...(await wholeOf(source, member, wrong)));
    else left.push(member.path);
  }
  if (manifest.prefix.engineSize <= CHUNK) findings.push(...(await wholeOfPrefix(source, manifest.prefix)));
  else left.push("the prefix");
  if (manifest.prefix.directory && manifest.prefix.directory.assets.length) left.push("the engine's assets");
  const damaged = new Set([...findings].filter(found => found.rule.startsWith("LF40")).map(found => found.where.member));
  const checked = list.intact && list.whole ? members.filter(member => !damaged.has(member.path)).map(member => member.path) : [];
  return { findings, checked: new Set(checked), left };
}

function append(map, key, value) {
  if (!map.has(key)) map.set(key, []);
  map.get(key).push(value);
}

/** The list, each line compared with the tile that is due: pieces to check, digests by path, what is wrong with the text. */
async function readList(source, chunks, wide, layout) {
  const data = await source.read(chunks.offset, chunks.size);
  const found = { pieces: [], digests: new Map(), findings: [], intact: true, whole: true, sha256: await sha256(data) };
  const bad = (tile, line) => {
    if (found.whole) found.findings.push(finding("LF4002", { offset: chunks.offset, member: CHUNKS_PATH }, { offset: tile.offset, length: tile.length, found: textOf(line.subarray(0, 96)) ?? "bytes" }));
    found.whole = false;
  };
  let at = 0;
  const next = () => {
    const end = data.indexOf(10, at);
    const line = data.subarray(at, end < 0 ? data.length : end + 1);
    at += line.length;
    return line;
  };
  for (const tile of tilesOf(layout)) {
    const line = next();
    const parts = /^([0-9a-f]{64}) (\d+) (\d+) (?:([0-9a-f]{128}) )?/.exec(textOf(line) ?? "");
    const due = parts && `${parts[1]} ${tile.offset} ${tile.length} ${wide ? `${parts[4]} ` : ""}${tile.path}\n`;
    if (!parts || textOf(line) !== due) bad(tile, line);
    else {
      if (tile.path !== "-") append(found.digests, tile.path, parts[1]);
      found.pieces.push({ ...tile, sha256: parts[1], sha512: wide ? parts[4] : "" });
    }
  }
  if (at < data.length) bad({ offset: chunks.offset + chunks.size, length: 0 }, data.subarray(at));
  if (found.sha256 !== chunks.sha256) {
    found.intact = false;
    found.findings.push(ofMember("LF4003", chunks, { found: found.sha256, expected: chunks.sha256 }));
  } else if (crc32(data) !== parseInt(chunks.crc32, 16)) found.findings.push(ofMember("LF4005", chunks, { path: chunks.path, crc32: chunks.crc32 }));
  if (chunks.size <= CHUNK && (await chunkRoot(chunks.size ? [found.sha256] : [])) !== chunks.chunkRoot && found.intact && found.whole)
    found.findings.push(ofMember("LF4007", chunks, { path: chunks.path }));
  return found;
}

function ofMember(rule, member, values) {
  return finding(rule, { offset: member.offset, length: member.size, member: member.path }, values);
}

/** Pieces that lie behind one another, as one range to read for several of them. */
function batchesOf(pieces) {
  const batches = [];
  let last;
  for (const piece of pieces) {
    if (!last || last.offset + last.length !== piece.offset || last.length + piece.length > READ) batches.push((last = { offset: piece.offset, length: 0, pieces: [] }));
    last.pieces.push(piece);
    last.length += piece.length;
  }
  return batches;
}

async function inParallel(items, work, { told, stop, total }) {
  let next = 0;
  let done = 0;
  const worker = async () => {
    while (next < items.length) {
      const item = items[next++];
      if (stop()) throw new Stopped();
      await work(item);
      done += item.length;
      told(Math.min(done, total), total);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
}

async function checkPiece(piece, data, single) {
  const found = await sha256(data);
  const differs = found !== piece.sha256 || (piece.sha512 && hex(await digest(data, "SHA-512")) !== piece.sha512);
  const crc = single !== undefined && crc32(data) !== parseInt(single.crc32, 16);
  return differs || crc ? { ...piece, found, differs, crc } : undefined;
}

/** Damage, told by member and chunk; if the digests that were found make up the manifest's, the list is at fault (6.2.5). */
async function damage(path, faults, manifest, list) {
  const member = manifest.members.find(each => each.path === path);
  const spared = !list.intact && (await listIsWrong(faults, manifest.prefix, member, list));
  const findings = [];
  for (const { offset, length, differs, crc } of faults) {
    if (differs && !spared) {
      const span = path === PREFIX ? "the prefix" : "headers and gaps";
      const chunk = member && (offset - member.offset) / CHUNK + 1;
      findings.push(
        member
          ? finding("LF4001", { offset, length, member: path }, { path, chunk, chunks: Math.ceil(member.size / CHUNK), offset, length })
          : finding("LF4008", { offset, length }, { span, offset, length }),
      );
    } else if (crc && member) findings.push(ofMember("LF4005", member, { path, crc32: member.crc32 }));
  }
  return findings;
}

async function listIsWrong(faults, prefix, member, list) {
  if (!member) return faults.length === 1 && faults[0].offset === 0 && prefix.size <= CHUNK && faults[0].found === prefix.sha256;
  const found = new Map(faults.map(fault => [fault.offset, fault.found]));
  const listed = list.digests.get(member.path) || [];
  if (listed.length !== Math.ceil(member.size / CHUNK)) return false;
  return (await chunkRoot(listed.map((each, index) => found.get(member.offset + index * CHUNK) || each))) === member.chunkRoot;
}

async function wrongRoots(members, list, wrong) {
  if (!list.intact || !list.whole) return [];
  const findings = [];
  for (const member of members.slice(0, -1))
    if (member.path !== "-" && !wrong.has(member.path) && (await chunkRoot(list.digests.get(member.path) || [])) !== member.chunkRoot)
      findings.push(ofMember("LF4007", member, { path: member.path }));
  return findings;
}

/** The Merkle tree hash of RFC 9162 over digests in hex, as hex (6.3). */
export async function chunkRoot(digests) {
  let row = await Promise.all(digests.map(each => digest(join(new Uint8Array([0]), unhex(each)))));
  if (!row.length) return EMPTY;
  while (row.length > 1) {
    const above = [];
    for (let at = 0; at < row.length; at += 2) above.push(at + 1 < row.length ? digest(join(new Uint8Array([1]), row[at], row[at + 1])) : row[at]);
    row = await Promise.all(above);
  }
  return hex(row[0]);
}

/** Whole digests that chunk comparisons imply: of members of one chunk or none (6.4.2). */
function wholeOfSingles({ members, prefix }, list) {
  if (!list.intact) return [];
  const findings = [];
  for (const member of members.slice(0, -1)) {
    const listed = list.digests.get(member.path) || [];
    if (!member.size) {
      if (member.sha256 !== EMPTY) findings.push(ofMember("LF4004", member, { path: member.path, expected: member.sha256 }));
      if (parseInt(member.crc32, 16)) findings.push(ofMember("LF4005", member, { path: member.path, crc32: member.crc32 }));
    } else if (listed.length === 1 && listed[0] !== member.sha256) findings.push(ofMember("LF4004", member, { path: member.path, expected: member.sha256 }));
  }
  if (!prefix.size && prefix.sha256 !== EMPTY) findings.push(finding("LF4009", { field: "prefix.sha256" }, { field: "prefix.sha256", expected: prefix.sha256 }));
  return findings;
}

async function wholeOf(source, member, wrong) {
  const data = await source.read(member.offset, member.size);
  if (wrong.has(member.path)) return []; // damage is told once
  const findings = [];
  const wide = member.sha512 ? hex(await digest(data, "SHA-512")) : "";
  if ((await sha256(data)) !== member.sha256) findings.push(ofMember("LF4004", member, { path: member.path, expected: member.sha256 }));
  if (crc32(data) !== parseInt(member.crc32, 16)) findings.push(ofMember("LF4005", member, { path: member.path, crc32: member.crc32 }));
  if (wide !== member.sha512) findings.push(ofMember("LF4006", member, { path: member.path, expected: member.sha512 }));
  return findings;
}

async function wholeOfPrefix(source, prefix) {
  if (!prefix.size) return [];
  const data = await source.read(0, prefix.size);
  const found = [
    ["prefix.engine_sha256", await sha256(data.subarray(0, prefix.engineSize)), prefix.engineSha256],
    ["prefix.sha256", await sha256(data), prefix.sha256],
    ["prefix.sha512", prefix.sha512 ? hex(await digest(data, "SHA-512")) : "", prefix.sha512],
  ];
  return found
    .filter(([, computed, expected]) => computed !== expected)
    .map(([field, , expected]) => finding("LF4009", { offset: 0, length: prefix.size, field }, { field, expected }));
}
