// One frame of Zstandard (RFC 8878), unpacked into as many bytes as are expected and no more.

/** The frame cannot be read, or is not all that there is. */
export class Broken extends Error {}

const MOST_BLOCK = 128 << 10;
const LENGTHS = [
  [...Array(16).keys()].map(value => [value, 0]),
  [[16, 1], [18, 1], [20, 1], [22, 1], [24, 2], [28, 2], [32, 3], [40, 3], [48, 4], [64, 6], [128, 7], [256, 8], [512, 9], [1024, 10], [2048, 11], [4096, 12], [8192, 13], [16384, 14], [32768, 15], [65536, 16]],
].flat();
const MATCHES = [
  [...Array(32).keys()].map(value => [value + 3, 0]),
  [[35, 1], [37, 1], [39, 1], [41, 1], [43, 2], [47, 2], [51, 3], [59, 3], [67, 4], [83, 4], [99, 5], [131, 7], [259, 8], [515, 9], [1027, 10], [2051, 11], [4099, 12], [8195, 13], [16387, 14], [32771, 15], [65539, 16]],
].flat();
const USUAL = {
  lengths: fseTable([4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1], 6),
  offsets: fseTable([1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1], 5),
  matches: fseTable([1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1], 6),
};
const KINDS = { lengths: [9, 35], offsets: [8, 31], matches: [9, 52] };

/** The contents of `data`, one frame with nothing behind it, of at most `most` bytes. Throws Broken. */
export function frameOf(data, most) {
  if (data.length < 6 || le(data, 0, 4) !== 0xfd2fb528) throw new Broken("it is no frame that can be read");
  const flags = data[4];
  const single = (flags >> 5) & 1;
  const sizeBytes = [single, 2, 4, 8][flags >> 6];
  if (flags & 8 || flags & 3) throw new Broken("it is no frame that can be read: a reserved bit, or a dictionary");
  let at = 5 + (1 - single);
  const content = sizeBytes ? le(data, at, sizeBytes) + (sizeBytes === 2 ? 256 : 0) : undefined;
  if (!single && (data[5] >> 3) + 10 > 27) throw new Broken("it is no frame that can be read: its window is too large");
  at += sizeBytes;
  if (content > most) throw new Broken(`it holds more than ${most} bytes`);
  const state = { out: new Uint8Array(Math.min(most + MOST_BLOCK, content === undefined ? most + MOST_BLOCK : content + MOST_BLOCK)), end: 0, repeats: [1, 4, 8], huffman: undefined, tables: {} };
  for (let last = false; !last; ) {
    need(data, at, 3);
    const head = le(data, at, 3);
    last = (head & 1) === 1;
    const [kind, size] = [(head >> 1) & 3, head >> 3];
    at += 3;
    if (kind === 3 || size > MOST_BLOCK) throw new Broken("it is no frame that can be read: a block of no kind");
    need(data, at, kind === 1 ? 1 : size);
    if (kind === 0) put(state, data.subarray(at, at + size));
    else if (kind === 1) put(state, new Uint8Array(size).fill(data[at]));
    else block(state, data.subarray(at, at + size));
    at += kind === 1 ? 1 : size;
    if (state.end > most) throw new Broken(`it holds more than ${most} bytes`);
  }
  if (flags & 4) {
    need(data, at, 4);
    if (le(data, at, 4) !== Number(xxh64(state.out.subarray(0, state.end)) & 0xffffffffn)) throw new Broken("it is no frame that can be read: its checksum differs");
    at += 4;
  }
  if (content !== undefined && content !== state.end) throw new Broken("it is no frame that can be read: its size differs");
  if (at < data.length) throw new Broken("something follows the frame");
  return state.out.subarray(0, state.end);
}

function le(data, at, size) {
  let value = 0;
  for (let index = size - 1; index >= 0; index--) value = value * 256 + (data[at + index] ?? 0);
  return value;
}

function need(data, at, size) {
  if (at + size > data.length) throw new Broken("the frame is cut off");
}

function put(state, bytes) {
  if (state.end + bytes.length > state.out.length) throw new Broken("it holds more bytes than its pin names");
  state.out.set(bytes, state.end);
  state.end += bytes.length;
}

/** A compressed block: literals, then sequences of literals and matches. */
function block(state, data) {
  const { literals, at } = literalsOf(state, data);
  need(data, at, 1);
  let cursor = at + 1;
  let count = data[at];
  if (count >= 128) {
    need(data, cursor, count === 255 ? 2 : 1);
    if (count === 255) [count, cursor] = [le(data, cursor, 2) + 0x7f00, cursor + 2];
    else [count, cursor] = [(count - 128) * 256 + data[cursor], cursor + 1];
  }
  if (!count) return put(state, literals);
  need(data, cursor, 1);
  const modes = data[cursor++];
  if (modes & 3) throw new Broken("it is no frame that can be read: a reserved bit");
  ["lengths", "offsets", "matches"].forEach((name, index) => {
    cursor = tableOf(state, name, (modes >> (6 - 2 * index)) & 3, data, cursor);
  });
  return sequences(state, literals, count, backwards(data.subarray(cursor)));
}

function tableOf(state, name, mode, data, at) {
  const [most, symbols] = KINDS[name];
  if (mode === 0) state.tables[name] = USUAL[name];
  else if (mode === 1) {
    need(data, at, 1);
    if (data[at] > symbols) throw new Broken("it is no frame that can be read: a code of no kind");
    state.tables[name] = { log: 0, symbol: [data[at]], bits: [0], base: [0] };
    return at + 1;
  } else if (mode === 2) {
    const { table, end } = readFse(data, at, most, symbols);
    state.tables[name] = table;
    return end;
  } else if (!state.tables[name]) throw new Broken("it is no frame that can be read: a table that is not there");
  return at;
}

function sequences(state, literals, count, reader) {
  const { lengths, offsets, matches } = state.tables;
  let [a, b, c] = [reader.take(lengths.log), reader.take(offsets.log), reader.take(matches.log)];
  let used = 0;
  const { out } = state;
  for (let row = 0; row < count; row++) {
    const [offsetCode, matchCode, lengthCode] = [offsets.symbol[b], matches.symbol[c], lengths.symbol[a]];
    const raw = 2 ** offsetCode + reader.take(offsetCode);
    const match = MATCHES[matchCode][0] + reader.take(MATCHES[matchCode][1]);
    const length = LENGTHS[lengthCode][0] + reader.take(LENGTHS[lengthCode][1]);
    const distance = distanceOf(state.repeats, raw, length);
    if (row + 1 < count) {
      a = lengths.base[a] + reader.take(lengths.bits[a]);
      c = matches.base[c] + reader.take(matches.bits[c]);
      b = offsets.base[b] + reader.take(offsets.bits[b]);
    }
    if (used + length > literals.length) throw new Broken("it is no frame that can be read: literals are missing");
    put(state, literals.subarray(used, used + length));
    used += length;
    if (distance > state.end || distance < 1 || state.end + match > out.length) throw new Broken("it is no frame that can be read: a match leads out of it");
    for (let from = state.end - distance, left = match; left > 0; left--) out[state.end++] = out[from++];
  }
  if (reader.left() !== 0) throw new Broken("it is no frame that can be read: bits are left over");
  put(state, literals.subarray(used));
}

/** The three last distances are kept, and named by small numbers. */
function distanceOf(repeats, raw, length) {
  if (raw > 3) {
    repeats.unshift(raw - 3);
    repeats.pop();
    return repeats[0];
  }
  const index = raw - 1 + (length ? 0 : 1);
  const distance = index === 3 ? repeats[0] - 1 : repeats[index];
  if (index) {
    repeats.splice(Math.min(index, 2), 1);
    repeats.unshift(distance);
  }
  return distance;
}

function literalsOf(state, data) {
  need(data, 0, 1);
  const [kind, format] = [data[0] & 3, (data[0] >> 2) & 3];
  if (kind < 2) {
    const bytes = format === 1 ? 2 : format === 3 ? 3 : 1;
    need(data, 0, bytes);
    const size = le(data, 0, bytes) >> (bytes === 1 ? 3 : 4);
    need(data, bytes, kind ? 1 : size);
    if (size > MOST_BLOCK) throw new Broken("it is no frame that can be read: too many literals");
    return kind ? { literals: new Uint8Array(size).fill(data[bytes]), at: bytes + 1 } : { literals: data.subarray(bytes, bytes + size), at: bytes + size };
  }
  const [bytes, width] = [[3, 10], [3, 10], [4, 14], [5, 18]][format];
  need(data, 0, bytes);
  const head = Math.floor(le(data, 0, bytes) / 16);
  const [size, packed] = [head % 2 ** width, Math.floor(head / 2 ** width)];
  need(data, bytes, packed);
  if (size > MOST_BLOCK) throw new Broken("it is no frame that can be read: too many literals");
  let body = data.subarray(bytes, bytes + packed);
  if (kind === 2) {
    const { table, end } = readHuffman(body);
    state.huffman = table;
    body = body.subarray(end);
  }
  if (!state.huffman) throw new Broken("it is no frame that can be read: a table that is not there");
  return { literals: format === 0 ? decode(state.huffman, body, size) : inFour(state.huffman, body, size), at: bytes + packed };
}

function inFour(table, body, size) {
  need(body, 0, 6);
  const ends = [le(body, 0, 2), le(body, 2, 2), le(body, 4, 2)];
  const each = Math.floor((size + 3) / 4);
  const out = new Uint8Array(size);
  let at = 6;
  for (let row = 0; row < 4; row++) {
    const length = row < 3 ? ends[row] : body.length - at;
    if (length < 1 || at + length > body.length || each * 3 > size) throw new Broken("it is no frame that can be read: streams do not fit");
    out.set(decode(table, body.subarray(at, at + length), row < 3 ? each : size - 3 * each), row * each);
    at += length;
  }
  return out;
}

function decode({ log, symbol, bits }, data, size) {
  const reader = backwards(data);
  const out = new Uint8Array(size);
  for (let row = 0; row < size; row++) {
    const state = reader.peek(log);
    reader.drop(bits[state]);
    out[row] = symbol[state];
  }
  if (reader.left() !== 0) throw new Broken("it is no frame that can be read: bits are left over");
  return out;
}

/** A Huffman table: weights, written directly or by FSE (4.2.1 of the RFC). */
function readHuffman(data) {
  need(data, 0, 1);
  const head = data[0];
  const weights = [];
  let end;
  if (head >= 128) {
    const count = head - 127;
    end = 1 + Math.ceil(count / 2);
    need(data, 0, end);
    for (let row = 0; row < count; row++) weights.push(row % 2 ? data[1 + (row >> 1)] & 15 : data[1 + (row >> 1)] >> 4);
  } else {
    end = 1 + head;
    need(data, 0, end);
    const { table, end: from } = readFse(data.subarray(0, end), 1, 6, 255);
    const reader = backwards(data.subarray(from, end));
    const states = [reader.take(table.log), reader.take(table.log)];
    for (let turn = 0; weights.length < 255; turn ^= 1) {
      const state = states[turn];
      weights.push(table.symbol[state]);
      if (reader.left() < table.bits[state]) {
        weights.push(table.symbol[states[turn ^ 1]]);
        break;
      }
      states[turn] = table.base[state] + reader.take(table.bits[state]);
    }
  }
  return { table: huffmanTable(weights), end };
}

function huffmanTable(weights) {
  const total = weights.reduce((sum, weight) => sum + (weight ? 2 ** (weight - 1) : 0), 0);
  const log = total ? Math.floor(Math.log2(total)) + 1 : 0;
  const rest = 2 ** log - total;
  if (!total || log > 11 || weights.some(weight => weight > 12) || (rest & (rest - 1)) !== 0) throw new Broken("it is no frame that can be read: weights do not fit");
  const all = [...weights, Math.log2(rest) + 1];
  const [symbol, bits] = [new Uint8Array(1 << log), new Uint8Array(1 << log)];
  let at = 0;
  for (let weight = 1; weight <= log; weight++)
    all.forEach((each, value) => {
      if (each !== weight) return;
      const span = 1 << (weight - 1);
      symbol.fill(value, at, at + span);
      bits.fill(log + 1 - weight, at, at + span);
      at += span;
    });
  return { log, symbol, bits };
}

/** A table of FSE from its description (4.1.1 of the RFC). */
function readFse(data, start, most, symbols) {
  let at = start * 8;
  const take = size => {
    let value = 0;
    for (let bit = 0; bit < size; bit++, at++) value |= (((data[at >> 3] ?? 0) >> (at & 7)) & 1) << bit;
    if (at > data.length * 8 + 24) throw new Broken("the frame is cut off");
    return value;
  };
  const log = 5 + take(4);
  if (log > most) throw new Broken("it is no frame that can be read: a table is too large");
  const counts = [];
  for (let left = (1 << log) + 1; left > 1; ) {
    const width = Math.floor(Math.log2(left)) + 1;
    const spare = (1 << width) - 1 - left;
    let value = take(width - 1);
    if (value >= spare) {
      value |= take(1) << (width - 1);
      if (value >= 1 << (width - 1)) value -= spare;
    }
    const count = value - 1;
    left -= Math.abs(count);
    counts.push(count);
    if (count === 0)
      for (let more = 3; more === 3; ) {
        more = take(2);
        for (let row = 0; row < more; row++) counts.push(0);
      }
    if (counts.length > symbols + 1) throw new Broken("it is no frame that can be read: a table has too many symbols");
  }
  const end = Math.ceil(at / 8);
  need(data, 0, end);
  return { table: fseTable(counts, log), end };
}

function fseTable(counts, log) {
  const size = 1 << log;
  const [symbol, bits, base] = [new Uint8Array(size), new Uint8Array(size), new Uint16Array(size)];
  const next = counts.map(count => (count < 0 ? 1 : count));
  let high = size - 1;
  counts.forEach((count, value) => {
    if (count < 0) symbol[high--] = value;
  });
  let place = 0;
  const step = (size >> 1) + (size >> 3) + 3;
  counts.forEach((count, value) => {
    for (let row = 0; row < count; row++) {
      symbol[place] = value;
      do place = (place + step) & (size - 1);
      while (place > high);
    }
  });
  for (let state = 0; state < size; state++) {
    const each = next[symbol[state]]++;
    bits[state] = log - Math.floor(Math.log2(each));
    base[state] = (each << bits[state]) - size;
  }
  return { log, symbol, bits, base };
}

/** Bits from the end of `data`, whose last byte has a mark in front of the first of them. */
function backwards(data) {
  const lastByte = data[data.length - 1];
  if (!lastByte) throw new Broken("it is no frame that can be read: a stream without its end");
  let at = (data.length - 1) * 8 + Math.floor(Math.log2(lastByte));
  const peek = size => {
    let value = 0;
    for (let bit = 1; bit <= size; bit++) {
      const place = at - bit;
      value = value * 2 + (place >= 0 ? (data[place >> 3] >> (place & 7)) & 1 : 0);
    }
    return value;
  };
  return {
    peek,
    drop(size) {
      at -= size;
      if (at < 0) throw new Broken("it is no frame that can be read: a stream ends too early");
    },
    take(size) {
      const value = peek(size);
      this.drop(size);
      return value;
    },
    left: () => at,
  };
}

/** XXH64 with seed 0, of which a frame keeps the lower half. */
function xxh64(data) {
  const [P1, P2, P3, P4, P5] = [11400714785074694791n, 14029467366897019727n, 1609587929392839161n, 9650029242287828579n, 2870177450012600261n];
  const low = value => value & 0xffffffffffffffffn;
  const turned = (value, by) => low((value << by) | (value >> (64n - by)));
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const round = (sum, word) => low(turned(low(sum + word * P2), 31n) * P1);
  let at = 0;
  let hash = P5;
  if (data.length >= 32) {
    const sums = [low(P1 + P2), P2, 0n, low(0n - P1)];
    for (; at + 32 <= data.length; at += 32) for (let row = 0; row < 4; row++) sums[row] = round(sums[row], view.getBigUint64(at + 8 * row, true));
    hash = low(turned(sums[0], 1n) + turned(sums[1], 7n) + turned(sums[2], 12n) + turned(sums[3], 18n));
    for (const sum of sums) hash = low((hash ^ round(0n, sum)) * P1 + P4);
  }
  hash = low(hash + BigInt(data.length));
  for (; at + 8 <= data.length; at += 8) hash = low(turned(hash ^ round(0n, view.getBigUint64(at, true)), 27n) * P1 + P4);
  if (at + 4 <= data.length) {
    hash = low(turned(hash ^ low(BigInt(view.getUint32(at, true)) * P1), 23n) * P2 + P3);
    at += 4;
  }
  for (; at < data.length; at++) hash = low(turned(hash ^ low(BigInt(data[at]) * P5), 11n) * P1);
  hash = low((hash ^ (hash >> 33n)) * P2);
  hash = low((hash ^ (hash >> 29n)) * P3);
  return hash ^ (hash >> 32n);
}
