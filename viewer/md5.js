// MD5 (RFC 1321), which guards PAR2 packets against accidents. Nothing here is believed because of it.
import { join, little } from "./bytes.js";

const SHIFTS = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
const SINES = Int32Array.from({ length: 64 }, (_, step) => Math.floor(Math.abs(Math.sin(step + 1)) * 2 ** 32));

export function md5(data) {
  const padded = join(data, new Uint8Array([0x80]), (119 - (data.length % 64)) % 64, little(8, data.length * 8));
  const words = new DataView(padded.buffer);
  let state = [0x67452301, 0xefcdab89 | 0, 0x98badcfe | 0, 0x10325476];
  for (let block = 0; block < padded.length; block += 64) state = mixed(state, words, block);
  return join(...state.map(word => little(4, word >>> 0)));
}

function mixed([a0, b0, c0, d0], words, block) {
  let [a, b, c, d] = [a0, b0, c0, d0];
  for (let step = 0; step < 64; step++) {
    const round = step >> 4;
    const mix = [(b & c) | (~b & d), (d & b) | (~d & c), b ^ c ^ d, c ^ (b | ~d)][round];
    const word = [step, 5 * step + 1, 3 * step + 5, 7 * step][round] % 16;
    const sum = (a + mix + SINES[step] + words.getInt32(block + 4 * word, true)) | 0;
    const shift = SHIFTS[round][step % 4];
    [a, d, c, b] = [d, c, b, (b + ((sum << shift) | (sum >>> (32 - shift)))) | 0];
  }
  return [(a0 + a) | 0, (b0 + b) | 0, (c0 + c) | 0, (d0 + d) | 0];
}
