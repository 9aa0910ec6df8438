// Where everything in a container lies, computed from sizes alone (4.4, 5.4.2, 6.1).
import { utf8 } from "./bytes.js";
import { SENTINEL } from "./records.js";

export const CHUNK = 4 << 20;
export const CHUNKS_PATH = "META-LLAMAFILE/chunks.txt";
export const MANIFEST_PATH = "META-LLAMAFILE/manifest.json";

/** The place of a member of `size` bytes behind `cursor`: its gap, header, data and end. */
export function place(cursor, path, size, alignment) {
  const header = 30 + utf8(path).length + (size >= SENTINEL ? 20 : 0);
  const data = Math.ceil((cursor + header) / alignment) * alignment;
  return { path, size, gap: cursor, header: data - header, data, end: data + size };
}

/** Places of all members of a manifest, the chunk list being the last; undefined if that is not there. */
export function layoutOf(manifest) {
  const { members, prefix } = manifest;
  if (!members.length || members[members.length - 1].path !== CHUNKS_PATH) return undefined;
  const places = [];
  let cursor = prefix.size;
  for (const member of members.slice(0, -1)) {
    places.push(place(cursor, member.path, member.size, member.alignment));
    cursor = places[places.length - 1].end;
  }
  const size = listLength(prefix.size, places, manifest.profile === "archive");
  return { prefixSize: prefix.size, members: places, chunks: place(cursor, CHUNKS_PATH, size, 1) };
}

/** The place of a manifest of `size` bytes. */
export function manifestPlace(layout, size) {
  return place(layout.chunks.end, MANIFEST_PATH, size, 1);
}

/** The spans of [0, local header of the chunk list), named by their paths, `-` for structure (6.1.2). */
export function spansOf(layout) {
  const spans = [{ path: "-", offset: 0, length: layout.prefixSize }];
  for (const { path, gap, data, size } of layout.members)
    spans.push({ path: "-", offset: gap, length: data - gap }, { path, offset: data, length: size });
  return spans.filter(span => span.length > 0);
}

/** The chunks of all spans: `{path, offset, length}` for each line of the list. */
export function* tilesOf(layout) {
  for (const { path, offset, length } of spansOf(layout))
    for (let at = 0; at < length; at += CHUNK) yield { path, offset: offset + at, length: Math.min(CHUNK, length - at) };
}

/** Bytes of the chunk list, without making a line of it: a manifest may claim more lines than there is time for. */
function listLength(prefixSize, places, wide) {
  let total = 0;
  for (const { path, offset, length } of spansOf({ prefixSize, members: places })) {
    const whole = Math.floor(length / CHUNK);
    const rest = length % CHUNK;
    const count = whole + (rest ? 1 : 0);
    total += count * (64 + 4 + utf8(path).length + (wide ? 129 : 0)) + whole * 7 + (rest ? String(rest).length : 0);
    total += digitsOf(offset, count);
  }
  return total;
}

/** Decimal digits of `count` numbers from `first` on in steps of a chunk, all together. */
function digitsOf(first, count) {
  let total = 0;
  for (let done = 0; done < count; ) {
    const digits = String(BigInt(first + done * CHUNK)).length;
    const same = Math.min(count, Math.max(done + 1, Math.ceil((10 ** digits - first) / CHUNK)));
    total += (same - done) * digits;
    done = same;
  }
  return total;
}
