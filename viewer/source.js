// A file, read by ranges. What a file says about itself is never believed before it is compared with `size`.
import { join } from "./bytes.js";

const BLOCK = 256 << 10;
const KEPT = 16;

/** A `Blob` (a `File` is one) as a source: `size` in bytes, `read(offset, length)`. A read takes the browser a millisecond,
 * whatever its length, and headers lie close together: what is short comes out of blocks, of which a few are kept. */
export function sourceOf(blob) {
  const blocks = new Map();
  const get = async (start, end) => new Uint8Array(await blob.slice(start, end).arrayBuffer());
  function blockAt(index) {
    const found = blocks.get(index) || get(index * BLOCK, Math.min((index + 1) * BLOCK, blob.size));
    blocks.delete(index);
    blocks.set(index, found); // the last one used stands last
    if (blocks.size > KEPT) blocks.delete(blocks.keys().next().value);
    return found;
  }
  return {
    name: blob.name || "",
    size: blob.size,
    blob,
    /** The bytes that are there of [offset, offset + length): fewer at the end of the file, none behind it. */
    async read(offset, length) {
      if (!(offset >= 0) || !(length > 0) || offset >= blob.size) return new Uint8Array(0);
      const end = Math.min(offset + length, blob.size);
      if (end - offset > BLOCK) return get(offset, end);
      const [first, last] = [Math.floor(offset / BLOCK), Math.floor((end - 1) / BLOCK)];
      const parts = [await blockAt(first)];
      if (last > first) parts.push(await blockAt(last));
      const data = parts.length > 1 ? join(...parts) : parts[0];
      return data.slice(offset - first * BLOCK, end - first * BLOCK);
    },
  };
}

/** The first `size` bytes of a source, as a source. */
export function firstOf(source, size) {
  return {
    name: source.name,
    size: Math.min(size, source.size),
    read: (offset, length) => source.read(offset, Math.min(length, Math.min(size, source.size) - offset)),
  };
}

/** The `size` bytes of a source from `offset` on, as a source. */
export function partOf(source, offset, size) {
  const end = Math.max(0, Math.min(size, source.size - offset));
  return {
    name: source.name,
    size: end,
    read: async (at, length) => (at >= 0 && at < end ? source.read(offset + at, Math.min(length, end - at)) : new Uint8Array(0)),
  };
}

/** `source` with `head` in the place of its first bytes. */
export function withHead(source, head) {
  return {
    name: source.name,
    size: source.size,
    async read(offset, length) {
      const data = await source.read(offset, length);
      if (offset >= head.length) return data;
      const kept = head.subarray(offset, Math.min(head.length, offset + data.length));
      return join(kept, data.subarray(kept.length));
    },
    blob: source.blob,
    converted: true,
  };
}
