// Earlier directories that appending tools left in a file (9.4), and the bytes that no live record accounts for.
import { lastIndexOf, number } from "./bytes.js";
import { END, END_SIZE } from "./records.js";
import { endOf, inPlace, readDirectory, tailAt } from "./zip.js";

const BUDGET = 1 << 20;
export const EDGE = 1 << 17;
const MOST = 64;
const MOST_TRIES = 256;
const MOST_BYTES = 2 << 20;
const MOST_LOST = 8 << 20;
const SMALLEST = 46 + END_SIZE;

/** `[start, end]` of each range in front of the live directory that no live record accounts for. */
export function holes({ tail, entries }, size) {
  if (!tail) return [];
  const limit = Math.min(tail.directoryOffset, tail.start, size);
  const found = [];
  let at = 0;
  for (const entry of inPlace(entries)) {
    if (at < Math.min(entry.headerOffset, limit)) found.push([at, Math.min(entry.headerOffset, limit)]);
    at = Math.max(at, endOf(entry));
  }
  if (at < limit) found.push([at, limit]);
  return found;
}

/** The earlier directories of an archive, in the order of the file: `{offset, size, end, start, endOffset, count, entries}`. */
export async function generationsOf(source, archive) {
  const found = new Map();
  const room = { left: MOST_BYTES };
  let budget = BUDGET;
  const whole = () => [...found.values()].sort((a, b) => a.endOffset - b.endOffset);
  for (const [start, end] of holes(archive, source.size).reverse())
    for (const [from, high] of windows(start, end)) {
      if (budget <= 0 || found.size >= MOST) return whole();
      const low = Math.max(from, high - budget);
      budget -= high - low;
      for (const each of await search(source, low, high, room)) found.set(each.endOffset, each);
    }
  return whole();
}

function windows(start, end) {
  if (end - start < SMALLEST) return [];
  if (start && end - start > 2 * EDGE) return [[end - EDGE, end], [start, start + EDGE]];
  return [[start || Math.max(0, end - EDGE), end]];
}

async function search(source, low, high, room, one = false) {
  const data = await source.read(low, high - low);
  const found = [];
  let tries = MOST_TRIES;
  for (let at = lastIndexOf(data, END); at >= 0 && tries; at = lastIndexOf(data, END, at - 1), tries--) {
    const each = await generationAt(source, low + at, room);
    if (each) found.push(each);
    if (each && one) break;
  }
  return found;
}

/** The generation whose end record is at `offset`; undefined if that is not a whole and faultless one. */
async function generationAt(source, offset, room) {
  const head = await source.read(offset, END_SIZE);
  if (head.length < END_SIZE || offset + END_SIZE + number(head, 20, 2) > source.size) return undefined;
  const findings = [];
  const tail = await tailAt(source, offset, findings);
  if (findings.length || !tail.count || tail.directorySize > BUDGET || tail.directoryOffset + tail.directorySize !== tail.start) return undefined;
  if (tail.directorySize > room.left) return undefined;
  room.left -= tail.directorySize;
  const directory = await readDirectory(source, tail, false);
  if (directory.findings.length) return undefined;
  return { offset: tail.directoryOffset, size: tail.directorySize, start: tail.start, endOffset: offset, end: tail.end, count: tail.count, entries: directory.entries };
}

/** The last whole archive in the last `budget` bytes of a file whose end was lost (9.4.4); undefined if there is none. */
export async function lostTail(source, budget) {
  const room = { left: MOST_LOST };
  const floor = Math.max(0, source.size - budget);
  for (let high = source.size; high > floor; ) {
    const low = Math.max(floor, high - BUDGET);
    const [found] = await search(source, low, high, room, true);
    if (found || low === floor) return found;
    high = low + END.length - 1;
  }
  return undefined;
}

/** The bytes [0, n) of a legacy file that are its engine (9.3), without padding. `programEnd` is where its program ends. */
export function engineEnd({ entries }, generations, size, programEnd) {
  const located = inPlace(entries);
  const users = located.filter(isUsers);
  const first = users.length ? users[0].headerOffset : size;
  for (const { offset, end } of [...generations].reverse())
    if (end <= first && !located.some(entry => endOf(entry) <= offset && isUsers(entry))) return end;
  if (!located.length) return size;
  return programEnd > located[0].headerOffset ? Math.min(programEnd, first) : located[0].headerOffset;
}

function isUsers({ path }) {
  return (/\.gguf$/i.test(path) && path.length > 5) || path === ".args";
}
