// Deflate streams (RFC 1951), unpacked piece by piece: what is in memory at once is a block of input and a window of output.
const LENGTHS = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
const LENGTH_BITS = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const DISTANCES = [
  1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577,
];
const DISTANCE_BITS = [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13];
const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const WINDOW = 32768;
const PIECE = 1 << 18;
const INPUT = 1 << 18;
const LOW = 1024; // more than the longest header of a block, or the longest pair, takes
const FIXED = [codes([...Array(144).fill(8), ...Array(112).fill(9), ...Array(24).fill(7), ...Array(8).fill(8)]), codes(Array(32).fill(5))];

/** The stream cannot be unpacked. */
export class Broken extends Error {}

/** Pieces of what `length` bytes at `offset` of a source unpack to. Throws Broken if the stream is none, or does not end. */
export async function* inflate(source, offset, length) {
  const state = { input: new Uint8Array(0), at: 0, bits: 0, count: 0, last: false, output: new Uint8Array(WINDOW + PIECE + 258), end: WINDOW, block: undefined, done: false, total: 0 };
  for (let read = 0; !state.done; ) {
    if (state.input.length - state.at <= LOW && read < length) {
      const more = await source.read(offset + read, Math.min(INPUT, length - read));
      read += more.length || length;
      const joined = new Uint8Array(state.input.length - state.at + more.length);
      joined.set(state.input.subarray(state.at));
      joined.set(more, state.input.length - state.at);
      Object.assign(state, { input: joined, at: 0 });
    }
    let fault;
    try {
      decode(state, read < length ? LOW : 0);
    } catch (error) {
      fault = error; // what came before it is there
    }
    if (state.end > WINDOW) yield state.output.slice(WINDOW, state.end);
    if (fault) throw fault;
    state.total += state.end - WINDOW;
    state.output.copyWithin(0, state.end - WINDOW, state.end);
    state.end = WINDOW;
  }
}

/** Unpack until the output is full, the stream ends, or the input has no more than `low` bytes. */
function decode(state, low) {
  while (!state.done && state.end < WINDOW + PIECE && (!low || state.input.length - state.at > low)) {
    if (!state.block) openBlock(state);
    else if (state.block.stored !== undefined) copyStored(state, low);
    else pairs(state, low);
  }
}

function take(state, size) {
  fill(state, size);
  if (state.count < size) throw new Broken("the stream does not end");
  const value = state.bits & ((1 << size) - 1);
  state.bits >>>= size;
  state.count -= size;
  return value;
}

/** At least `size` bits at hand, if there are so many: at most 23 are. */
function fill(state, size) {
  while (state.count < size && state.at < state.input.length) {
    state.bits |= state.input[state.at++] << state.count;
    state.count += 8;
  }
}

function openBlock(state) {
  state.last = take(state, 1) === 1;
  const kind = take(state, 2);
  if (kind === 0) {
    take(state, state.count % 8);
    const size = take(state, 16);
    if (size !== 65535 - take(state, 16)) throw new Broken("the length of a block is not what its complement says");
    state.block = { stored: size };
  } else if (kind === 1) state.block = { tables: FIXED };
  else if (kind === 2) state.block = { tables: ownTables(state) };
  else throw new Broken("there is no such block");
}

function closeBlock(state) {
  state.block = undefined;
  state.done = state.last;
}

function copyStored(state, low) {
  while (state.block.stored > 0 && state.count >= 8 && state.end < WINDOW + PIECE) {
    state.output[state.end++] = take(state, 8);
    state.block.stored--;
  }
  const size = Math.min(state.block.stored, state.input.length - state.at, WINDOW + PIECE - state.end);
  state.output.set(state.input.subarray(state.at, state.at + size), state.end);
  state.at += size;
  state.end += size;
  state.block.stored -= size;
  if (!state.block.stored) closeBlock(state);
  else if (!size && !low && state.end < WINDOW + PIECE) throw new Broken("the stream does not end");
}

function pairs(state, low) {
  const [literals, distances] = state.block.tables;
  const { output } = state;
  while (state.end < WINDOW + PIECE && (!low || state.input.length - state.at > low)) {
    const symbol = next(state, literals);
    if (symbol === 256) return closeBlock(state);
    if (symbol < 256) {
      output[state.end++] = symbol;
      continue;
    }
    if (symbol > 285) throw new Broken("there is no such length");
    const length = LENGTHS[symbol - 257] + take(state, LENGTH_BITS[symbol - 257]);
    const far = next(state, distances);
    if (far > 29) throw new Broken("there is no such distance");
    const distance = DISTANCES[far] + take(state, DISTANCE_BITS[far]);
    if (distance > state.total + state.end - WINDOW) throw new Broken("a distance leads out of what there is");
    for (let from = state.end - distance, left = length; left > 0; left--) output[state.end++] = output[from++];
  }
  return undefined;
}

/** The code tables that a block brings along. */
function ownTables(state) {
  const [literals, distances, count] = [take(state, 5) + 257, take(state, 5) + 1, take(state, 4) + 4];
  if (literals > 286 || distances > 30) throw new Broken("there are more codes than there can be");
  const sizes = Array(19).fill(0);
  for (let row = 0; row < count; row++) sizes[ORDER[row]] = take(state, 3);
  const own = codes(sizes, true);
  const found = [];
  while (found.length < literals + distances) {
    const symbol = next(state, own);
    if (symbol < 16) found.push(symbol);
    else {
      if (symbol === 16 && !found.length) throw new Broken("nothing stands in front that could be repeated");
      const value = symbol === 16 ? found[found.length - 1] : 0;
      const times = symbol === 16 ? 3 + take(state, 2) : symbol === 17 ? 3 + take(state, 3) : 11 + take(state, 7);
      for (let row = 0; row < times; row++) found.push(value);
    }
  }
  if (found.length > literals + distances || !found[256]) throw new Broken("the lengths of codes do not fit");
  return [codes(found.slice(0, literals)), codes(found.slice(literals))];
}

/** A table of the canonical codes of the lengths `sizes`: for each row of bits the symbol, and how many of them are its own; 0 for
 * none. A set of codes is whole, but for one that has a single code of one bit, or none. */
function codes(sizes, strict = false) {
  const counts = Array(16).fill(0);
  for (const size of sizes) counts[size]++;
  const used = sizes.length - counts[0];
  let [left, code, longest] = [1, 0, 0];
  const first = Array(16).fill(0);
  for (let size = 1; size < 16; size++) {
    left = 2 * left - counts[size];
    if (left < 0) throw new Broken("there are more codes than there can be");
    first[size] = code;
    code = 2 * (code + counts[size]);
    if (counts[size]) longest = size;
  }
  if (left > 0 && (strict || used > 1 || (used === 1 && !counts[1]))) throw new Broken("a set of codes is not whole");
  const table = new Uint16Array(1 << longest);
  sizes.forEach((size, symbol) => {
    if (!size) return;
    const start = reversed(first[size]++, size);
    for (let row = start; row < table.length; row += 1 << size) table[row] = (symbol << 4) | size;
  });
  return { table, longest };
}

function reversed(code, size) {
  let made = 0;
  for (let bit = 0; bit < size; bit++) made |= ((code >> bit) & 1) << (size - 1 - bit);
  return made;
}

function next(state, { table, longest }) {
  fill(state, longest);
  const found = table[state.bits & (table.length - 1)];
  const size = found & 15;
  if (!size || size > state.count) throw new Broken("there is no such code");
  state.bits >>>= size;
  state.count -= size;
  return found >> 4;
}
