// Headers of native programs: ELF, PE and Mach-O, as far as extent and kind need them (3.4). Every number in them is a claim.
import { ascii, latin, number, startsWith } from "./bytes.js";

export const ELF = ascii("\x7fELF");
export const MACHO = ascii("\xcf\xfa\xed\xfe");
export const MACHO32 = ascii("\xce\xfa\xed\xfe");
export const UNIVERSAL = ascii("\xca\xfe\xba\xbe");
const LOAD = 1;
const DYNAMIC = 2;
const INTERPRETER = 3;
const NOTE = 4;
const LINK_EDIT = { 0x1d: "code signature", 0x26: "function starts", 0x29: "data in code", 0x1e: "split info" };

/** The first `end` bytes of a source, as far as they may be prefix: `take` gives undefined for what is not all inside. */
export function viewOf(source, end) {
  return {
    source,
    end,
    take: async (offset, length) => (offset >= 0 && length >= 0 && offset + length <= end ? source.read(offset, length) : undefined),
    upto: async (offset, length) => (offset >= 0 && offset < end ? source.read(offset, Math.min(length, end - offset)) : new Uint8Array(0)),
  };
}

/** A range that a header says belongs to the program. */
export function range(what, start, size) {
  return { what, start, end: start + size };
}

/** The ELF header at the start of `head`; undefined if it is none. `field(data, at, size)` reads in its byte order. */
export function elfHeader(head) {
  const [bits, order] = [head[4] * 32, head[5]];
  if (head.length < 52 || !startsWith(head, ELF) || ![32, 64].includes(bits) || ![1, 2].includes(order) || (bits === 64 && head.length < 64)) return undefined;
  const field = (data, at, size) => number(order === 1 ? data.subarray(at, at + size) : data.slice(at, at + size).reverse(), 0, size);
  const of = (at64, at32, size64, size32) => (bits === 64 ? field(head, at64, size64) : field(head, at32, size32));
  return {
    bits,
    field,
    little: order === 1,
    type: field(head, 16, 2),
    machine: field(head, 18, 2),
    table: of(32, 28, 8, 4),
    sections: of(40, 32, 8, 4),
    entry: of(54, 42, 2, 2),
    count: of(56, 44, 2, 2),
    sectionEntry: of(58, 46, 2, 2),
    sectionCount: of(60, 48, 2, 2),
  };
}

/** The program headers; undefined if their table does not fit, or has more than 128. `page` is an address modulo 4,096. */
export async function segments(view, header) {
  const { bits, field, little, count } = header;
  const size = bits === 64 ? 56 : 32;
  if (!count) return [];
  if (header.entry !== size || count > 128) return undefined;
  const table = await view.take(header.table, size * count);
  if (!table) return undefined;
  return Array.from({ length: count }, (_, row) => {
    const at = row * size;
    const wide = (at64, at32) => (bits === 64 ? field(table, at + at64, 8) : field(table, at + at32, 4));
    const [address, length] = bits === 64 ? [at + 16, 8] : [at + 8, 4];
    const page = field(table, little ? address : address + length - 2, 2) % 4096; // Numbers of eight bytes are not exact
    const flags = field(table, at + (bits === 64 ? 4 : 24), 4); // 1 executable, 2 writable
    return { type: field(table, at, 4), flags, offset: wide(8, 4), size: wide(32, 16), memory: wide(40, 20), page };
  });
}

/** Ranges of the segments that are loaded and have bytes. */
export function loaded(name, found) {
  return (found || []).filter(({ type, size }) => type === LOAD && size).map(({ offset, size }) => range(name, offset, size));
}

/** The bytes of the notes of an ELF, as text. */
export async function notesOf(view, found) {
  let text = "";
  for (const { type, offset, size } of found.slice(0, 32)) if (type === NOTE) text += latin(await view.upto(offset, Math.min(size, 4096)));
  return text;
}

/** The section table of an ELF, and each section that has bytes. */
export async function sectionRanges(view, header) {
  const { bits, field, sections, sectionCount: count } = header;
  const size = bits === 64 ? 64 : 40;
  if (!sections || !count || header.sectionEntry !== size || count > 1024) return [];
  const ranges = [range("ELF section table", sections, size * count)];
  const table = await view.take(sections, size * count);
  for (let at = 0; table && at < table.length; at += size) {
    const kind = field(table, at + 4, 4);
    const [offset, length] = bits === 64 ? [field(table, at + 24, 8), field(table, at + 32, 8)] : [field(table, at + 16, 4), field(table, at + 20, 4)];
    if (kind !== 0 && kind !== 8 && length) ranges.push(range("ELF section", offset, length));
  }
  return ranges;
}

/** Why a loader of APEs would refuse an ELF header (3.3.5); empty if it would not. */
export function loaderObjection(header, found) {
  if (!header) return "its class or byte order is unknown";
  if (header.bits === 32) return "it is 32-bit";
  if (header.type !== 2 && header.type !== 3) return "it is neither an executable nor a shared object";
  if (!found) return "its program headers are not where it says";
  const loads = found.filter(({ type }) => type === LOAD);
  if (found.some(({ type }) => type === INTERPRETER || type === DYNAMIC)) return "it asks for a dynamic linker";
  if (!loads.length) return "it loads nothing";
  if (loads.some(({ size, memory }) => size > memory)) return "a segment has more file bytes than memory";
  return loads.some(({ offset, page }) => offset % 4096 !== page) ? "a segment's file offset and address do not agree modulo the page size" : "";
}

/** The PE image whose headers start at `offset`: its ranges, and where its certificate is; undefined if there is none. */
export async function peImage(view, offset) {
  const head = await view.take(offset, 24);
  if (!head || !startsWith(head, ascii("PE\0\0"))) return undefined;
  const [sections, size] = [number(head, 6, 2), number(head, 20, 2)];
  const at = offset + 24 + size;
  const [optional, table] = [await view.take(offset + 24, size), await view.take(at, 40 * sections)];
  if (!optional || !table || sections > 96 || size < 64) return undefined;
  const magic = number(optional, 0, 2);
  if (magic !== 0x10b && magic !== 0x20b) return undefined;
  const ranges = [range("PE headers", offset, at + 40 * sections - offset)];
  const rows = [];
  for (let row = 0; row < table.length; row += 40) {
    const [bytes, start] = [number(table, row + 16, 4), number(table, row + 20, 4)];
    const name = latin(table.subarray(row, row + 8)).replace(/\0+$/, "");
    const there = bytes && start;
    rows.push({ name, offset: there ? start : 0, size: there ? bytes : 0, at: at + row, writable: (number(table, row + 36, 4) & 0xa0000000) >>> 0 === 0xa0000000 });
    if (there) ranges.push(range(`PE section ${name}`, start, bytes));
  }
  const count = magic === 0x10b ? 92 : 108;
  const entry = count + 36; // the fifth data directory, the only one that holds a file offset
  const there = optional.length >= entry + 8 && number(optional, count, 4) > 4 && number(optional, entry + 4, 4);
  return { ranges, sections: rows, certificate: there ? [number(optional, entry, 4), number(optional, entry + 4, 4)] : undefined };
}

/** True if `head` begins with a thin Mach-O header. */
export function isMacho(head) {
  return head.length >= 8 && (startsWith(head, MACHO) || startsWith(head, MACHO32));
}

/** The ranges of the thin Mach-O at `offset`, of those that are mapped writable and executable at once `both` is true; undefined if
 * there is none. */
export async function machoRanges(view, offset) {
  const head = await view.take(offset, 28);
  if (!head || !isMacho(head)) return undefined;
  const size = startsWith(head, MACHO) ? 32 : 28;
  const [count, length] = [number(head, 16, 4), number(head, 20, 4)];
  const commands = length <= 65536 ? await view.take(offset + size, length) : undefined;
  if (!commands || count * 8 > length) return undefined;
  const ranges = [range("Mach-O load commands", offset, size + length)];
  let at = 0;
  for (let row = 0; row < count; row++) {
    const bytes = at + 8 <= length ? number(commands, at + 4, 4) : 0;
    if (bytes < 8 || at + bytes > length) return undefined;
    const command = commands.subarray(at, at + bytes);
    for (const [what, start, extent] of commandRanges(command)) if (extent) ranges.push({ ...range(`Mach-O ${what}`, offset + start, extent), both: isBoth(command) });
    at += bytes;
  }
  return ranges;
}

function isBoth(command) {
  const at = { 0x19: 60, 1: 44 }[number(command, 0, 4)];
  return at !== undefined && command.length >= at + 4 && (number(command, at, 4) & 6) === 6;
}

/** The segments of the thin Mach-O at `offset` that are mapped writable and executable at once. */
export async function machoWritable(view, offset) {
  return ((await machoRanges(view, offset)) || []).filter(({ both }) => both);
}

function commandRanges(command) {
  const kind = number(command, 0, 4);
  const at = (offset, size = 4) => number(command, offset, size);
  if (kind === 0x19 && command.length >= 72) return [["segment", at(40, 8), at(48, 8)]];
  if (kind === 1 && command.length >= 56) return [["segment", at(32), at(36)]];
  if (LINK_EDIT[kind] && command.length >= 16) return [[LINK_EDIT[kind], at(8), at(12)]];
  return kind === 2 && command.length >= 24 ? [["symbols", at(8), 16 * at(12)], ["strings", at(16), at(20)]] : [];
}

/** The slices of a universal file; undefined if it is none. */
export async function universalRanges(view) {
  const head = await view.take(0, 8);
  const big = (data, at) => number(data.slice(at, at + 4).reverse(), 0, 4);
  const count = head && startsWith(head, UNIVERSAL) ? big(head, 4) : 0;
  const table = count > 0 && count <= 16 ? await view.take(8, 20 * count) : undefined;
  return table && Array.from({ length: count }, (_, row) => range("Mach-O universal slice", big(table, 20 * row + 8), big(table, 20 * row + 12)));
}
