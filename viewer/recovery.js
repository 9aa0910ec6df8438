// Recovery data inside a container: are they those of this file? (17.8) What they would restore is not computed.
import { ascii, equal, join, number, startsWith } from "./bytes.js";
import { finding } from "./findings.js";
import { encode } from "./json.js";
import { md5 } from "./md5.js";
import { FIXED_PATHS } from "./roles.js";

const MAGIC = ascii("PAR2\0PKT");
const MAIN = ascii("PAR 2.0\0Main\0\0\0\0");
const FILE = ascii("PAR 2.0\0FileDesc");
const SUMS = ascii("PAR 2.0\0IFSC\0\0\0\0");
const SLICE = ascii("PAR 2.0\0RecvSlic");
const SKELETON = ascii("llamafl\0Skeleton");
const HEAD = 64;
const MOST = HEAD + 16 + (16 << 20) + 4;
const MOST_SLICES = 2000;

/** Findings about the recovery member in its place. Of a file that is `damaged` nothing is said but whether it is stale. */
export async function checkRecovery(source, { manifest, layout }, value, damaged) {
  const { members } = manifest;
  const index = members.findIndex(member => member.role === "recovery" && member.path === FIXED_PATHS.recovery);
  if (index < 0) return [];
  const member = members[index];
  const told = (rule, { path, offset, size }, values = {}) => finding(rule, { offset, length: size, member: path }, { path, ...values });
  const findings = members.slice(index + 1, -1).map(behind => told("LF4014", behind));
  const found = await leadingSet(source, member);
  if (found && found.skeleton.length && !equal(found.skeleton, skeletonOf(value))) return [...findings, told("LF4012", member)];
  const covered = layout.members[index].gap;
  const fits = found && found.skeleton.length && found.length === covered && found.sliceSize === sliceSizeOf(covered);
  return damaged || fits ? findings : [...findings, told("LF4013", member, { offset: member.offset })];
}

/** The manifest without what follows from it (17.4.1). */
function skeletonOf(value) {
  const kept = value.get("members").filter(member => !["recovery", "chunks"].includes(member.get("role")));
  return encode(new Map(value).set("members", kept));
}

/** Slices of our own sets: the smallest power of two from 4,096 on by which there are at most 2,000 (17.2.1). */
function sliceSizeOf(length) {
  let size = 4096;
  while (Math.ceil(length / size) > MOST_SLICES) size *= 2;
  return size;
}

/** The set whose critical packets a member begins with: `{length, sliceSize, skeleton}`; undefined if there is none. */
async function leadingSet(source, member) {
  const bodies = new Map();
  let set;
  for (let at = 0; at + HEAD <= member.size; ) {
    const head = await source.read(member.offset + at, HEAD);
    const length = number(head, 8, 8);
    if (!startsWith(head, MAGIC) || startsWith(head, SLICE, 48) || length > MOST || length < HEAD || length > member.size - at || length % 4) break;
    const packet = await source.read(member.offset + at, length);
    if (!equal(md5(packet.subarray(32)), packet.subarray(16, 32))) break;
    set ??= packet.slice(32, 48);
    const kind = [MAIN, FILE, SUMS, SKELETON].find(each => startsWith(packet, each, 48));
    if (kind && equal(set, packet.subarray(32, 48)) && !bodies.has(kind)) bodies.set(kind, packet.subarray(HEAD));
    at += length;
  }
  const [main, file, sums] = [MAIN, FILE, SUMS].map(kind => bodies.get(kind));
  return main && file && sums ? readSet(set, main, file, sums, bodies.get(SKELETON)) : undefined;
}

function readSet(set, main, file, sums, own) {
  if (main.length !== 28 || file.length < 56 || number(main, 8, 4) !== 1 || !equal(md5(main), set)) return undefined;
  const [sliceSize, id] = [number(main, 0, 8), main.subarray(12, 28)];
  const length = number(file, 48, 8);
  const name = file.subarray(56, file.length - [...file].reverse().findIndex(byte => byte));
  const named = md5(join(file.subarray(32, 56), name));
  if (!equal(file.subarray(0, 16), id) || !equal(named, id) || !equal(sums.subarray(0, 16), id)) return undefined;
  if (!length || !sliceSize || sliceSize % 4 || sums.length !== 16 + 20 * Math.ceil(length / sliceSize)) return undefined;
  const percent = own && own.length >= 16 ? number(own, 0, 8) : 0;
  const size = percent ? number(own, 8, 8) : 0;
  const sound = percent > 0 && percent <= 100 && own.length - 16 === size + ((4 - (size % 4)) % 4);
  return { length, sliceSize, skeleton: sound ? own.subarray(16, 16 + size) : new Uint8Array(0) };
}
