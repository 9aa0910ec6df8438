// What a program needs from the system that it is for, read from its headers (14.5.9, 14.8.2). What makes no sense is Senseless.
import { number, startsWith, ascii, latin, textOf } from "./bytes.js";
import { isMacho } from "./native.js";

const MOST_READS = 1 << 17;
const MOST_PROGRAM = 256 << 20;
const ELF_MACHINES = { 62: "x86_64", 183: "aarch64", 243: "riscv64" };
const PE_MACHINES = { 0x8664: "x86_64", 0xaa64: "aarch64" };
const MACHO_CPUS = { 0x01000007: "x86_64", 0x0100000c: "aarch64" };
const MACHO_LIBRARIES = [0x0c, 0x80000018, 0x8000001f, 0x20];
const CONTAINERS = { windows: "pe", macos: "macho", wasm32: "wasm" };

/** The headers lead to a place that is not there, or do not come to an end, or are of no known form. */
export class Senseless extends Error {}

/** `{container, machine, libraries, loader, minimum, functions, others}` of a program; `functions` is a Map of name and place. */
export async function needsOf(source) {
  if (source.size > MOST_PROGRAM) throw new Senseless("it is longer than is read here");
  const data = peekInto(await source.read(0, source.size));
  const head = data.bytes(0, 8);
  if (startsWith(head, ascii("\x7fELF")) && [1, 2].includes(head[4]) && [1, 2].includes(head[5])) return ofElf(data, head[4] === 2, head[5] === 2);
  if (startsWith(head, ascii("MZ"))) return ofPe(data);
  if (isMacho(head)) return ofMacho(data, head[0] === 0xcf);
  if (startsWith(head, ascii("\0asm\x01\0\0\0"))) return ofWasm(data);
  throw new Senseless("this is no program of a known form");
}

/** What speaks against a program as a build for `target` (`targetOf` of its pin); empty if nothing does. */
export function objectionsTo(needs, target) {
  const [system, ...machine] = target.name.split("-");
  const container = CONTAINERS[system] || "elf";
  const wrong = [];
  if (needs.container !== container) wrong.push(`it is ${needs.container}, not ${container}`);
  if (needs.machine !== machine.join("-")) wrong.push(`it is for ${needs.machine}, not ${machine.join("-")}`);
  for (const library of needs.libraries) if (!target.imports.some(pattern => fits(library, pattern))) wrong.push(`it needs ${library}, which the pin does not allow`);
  if (needs.loader !== target.loader) wrong.push(`its loader is ${needs.loader || "none"}, not ${target.loader || "none"}`);
  if (needs.minimum !== target.minimum) wrong.push(`it needs version ${needs.minimum || "any"}, not ${target.minimum || "any"}`);
  for (const name of target.functions) if (needs.functions.has(name)) wrong.push(`it takes ${name} from the system`);
  for (const name of needs.others) wrong.push(`it imports ${name}, which is no function`);
  return wrong;
}

/** Patterns of file names: `*` and `?`, without regard to case. */
function fits(name, pattern) {
  const escaped = pattern.toLowerCase().replace(/[.+^${}()|\\]/g, "\\$&").replace(/\*/g, "[^]*").replace(/\?/g, "[^]").replace(/\[!/g, "[^");
  return new RegExp(`^${escaped}$`, "u").test(name.toLowerCase());
}

/** A program by place, in small pieces, and not for ever. */
function peekInto(program) {
  let left = MOST_READS;
  const bytes = (at, size) => {
    if (!(at >= 0 && size >= 0 && at + size <= program.length) || --left < 0) throw new Senseless("its headers make no sense");
    return program.subarray(at, at + size);
  };
  return {
    size: program.length,
    bytes,
    small: (at, size) => number(bytes(at, size), 0, size),
    name(at) {
      const found = bytes(at, Math.max(0, Math.min(4096, program.length - at)));
      const text = found.includes(0) ? textOf(found.subarray(0, found.indexOf(0))) : undefined;
      if (text === undefined) throw new Senseless("its headers make no sense");
      return text;
    },
  };
}

function ofElf(data, wide, big) {
  const read = (at, size) => number(big ? data.bytes(at, size).slice().reverse() : data.bytes(at, size), 0, size);
  const word = wide ? 8 : 4;
  const [programs, sections] = wide ? [read(32, 8), read(40, 8)] : [read(28, 4), read(32, 4)];
  const [entry, count, sectionEntry, sectionCount] = [0, 2, 4, 6].map(at => read((wide ? 54 : 42) + at, 2));
  const loads = [];
  let [dynamic, length, loader] = [0, 0, ""];
  for (let row = 0; row < count; row++) {
    const at = programs + row * entry;
    data.bytes(at, wide ? 40 : 20);
    const [offset, address, size] = wide ? [read(at + 8, 8), read(at + 16, 8), read(at + 32, 8)] : [read(at + 4, 4), read(at + 8, 4), read(at + 16, 4)];
    const kind = read(at, 4);
    if (kind === 1) loads.push({ address, offset, size });
    else if (kind === 2) [dynamic, length] = [offset, size];
    else if (kind === 3) loader = data.name(offset);
  }
  const place = address => {
    const load = loads.find(each => each.address <= address && address < each.address + each.size);
    return load ? address - load.address + load.offset : 0;
  };
  const told = new Map();
  const needed = [];
  for (let row = 0; row < Math.min(Math.floor(length / (2 * word)), 4096); row++) {
    const [tag, value] = [read(dynamic + row * 2 * word, word), read(dynamic + row * 2 * word + word, word)];
    if (tag === 1) needed.push(value);
    else told.set(tag, value);
  }
  const strings = place(told.get(5) || 0);
  const libraries = needed.map(at => data.name(strings + at));
  const versions = elfVersions(data, read, place(told.get(0x6ffffffe) || 0), told.get(0x6fffffff) || 0, strings);
  const known = !big && wide && ELF_MACHINES[read(18, 2)];
  return {
    container: "elf",
    machine: known || `${read(18, 2)}${wide && !big ? "" : ` (${wide ? 64 : 32} bits, ${big ? ">" : "<"})`}`,
    libraries,
    loader,
    minimum: newest(versions),
    functions: elfFunctions(data, read, { sections, sectionEntry, sectionCount, wide }),
    others: [],
  };
}

function elfVersions(data, read, start, count, strings) {
  const names = [];
  let at = start;
  for (let row = 0; row < count; row++) {
    data.bytes(at, 16);
    let inner = at + read(at + 8, 4);
    const wanted = read(at + 2, 2);
    for (let each = 0; each < wanted; each++) {
      data.bytes(inner, 16);
      names.push(data.name(strings + read(inner + 8, 4)));
      inner += read(inner + 12, 4);
    }
    at += read(at + 12, 4);
  }
  return names;
}

/** The newest version of glibc, which is the oldest that a program starts with. */
function newest(versions) {
  const numbers = versions.filter(text => /^GLIBC_[0-9.]*[0-9][0-9.]*$/.test(text)).map(text => text.slice(6).split(".").map(Number));
  numbers.sort((one, other) => {
    for (let at = 0; at < Math.max(one.length, other.length); at++) if ((one[at] ?? -1) !== (other[at] ?? -1)) return (one[at] ?? -1) - (other[at] ?? -1);
    return 0;
  });
  return (numbers.pop() || []).join(".");
}

/** Names that the loader looks for in libraries, by the table of symbols that it reads. */
function elfFunctions(data, read, { sections, sectionEntry, sectionCount, wide }) {
  const found = new Map();
  const rows = [];
  for (let row = 0; sections && row < sectionCount; row++) {
    const at = sections + row * sectionEntry;
    data.bytes(at, wide ? 48 : 32);
    rows.push(wide ? { kind: read(at + 4, 4), offset: read(at + 24, 8), size: read(at + 32, 8), link: read(at + 40, 4) } : { kind: read(at + 4, 4), offset: read(at + 16, 4), size: read(at + 20, 4), link: read(at + 24, 4) });
  }
  for (const { kind, offset, size, link } of rows) {
    if (kind !== 11 || link >= rows.length) continue;
    const step = wide ? 24 : 16;
    for (let at = offset; at + step <= offset + size; at += step) {
      const name = read(at, 4);
      const section = read(at + (wide ? 6 : 14), 2);
      const where = rows[link].offset + name;
      if (section === 0 && name && !found.has(data.name(where))) found.set(data.name(where), where);
    }
  }
  return found;
}

function ofPe(data) {
  const start = data.small(60, 4);
  const [machine, count] = [data.small(start + 4, 2), data.small(start + 6, 2)];
  const optional = start + 24;
  const magic = data.small(optional, 2);
  if (latin(data.bytes(start, 4)) !== "PE\0\0" || ![0x10b, 0x20b].includes(magic)) throw new Senseless("its headers make no sense");
  const wide = magic === 0x20b;
  const [base, directories, width] = wide ? [0, 112, 8] : [data.small(optional + 28, 4), 96, 4];
  const sections = Array.from({ length: count }, (_, row) => {
    const at = optional + data.small(start + 20, 2) + 40 * row + 8;
    return { size: data.small(at, 4), address: data.small(at + 4, 4), offset: data.small(at + 12, 4), raw: data.small(at + 8, 4) };
  });
  const place = address => {
    const section = sections.find(each => each.address <= address && address < each.address + each.raw);
    if (!section) throw new Senseless("its headers make no sense");
    return section.offset + address - section.address;
  };
  const libraries = [];
  const functions = new Map();
  for (const [directory, row, name, thunks] of [[1, 20, 12, 0], [13, 32, 4, 16]]) {
    const address = data.small(optional + directories + 8 * directory, 4);
    for (let at = address ? place(address) : 0; address && data.bytes(at, row).some(Boolean); at += row) {
      const less = row === 32 && !(data.small(at, 4) & 1) ? base : 0; // old compilers wrote whole addresses, and said so
      libraries.push(data.name(place(data.small(at + name, 4) - less)));
      const table = data.small(at + thunks, 4) || (row === 20 ? data.small(at + 16, 4) : 0);
      for (let thunk = place(table - less); data.bytes(thunk, width).some(Boolean); thunk += width) {
        if (data.bytes(thunk, width)[width - 1] & 0x80) continue; // by number
        const found = place(data.small(thunk, width) - less) + 2;
        if (!functions.has(data.name(found))) functions.set(data.name(found), found);
      }
    }
  }
  return { container: "pe", machine: PE_MACHINES[machine] || `0x${machine.toString(16)}`, libraries, loader: "", minimum: "", functions, others: [] };
}

function ofMacho(data, wide) {
  const [cpu, count] = [data.small(4, 4), data.small(16, 4)];
  const libraries = [];
  let [minimum, symbols, strings, first, undefinedCount, at] = ["", 0, 0, 0, 0, wide ? 32 : 28];
  for (let row = 0; row < count; row++) {
    const [kind, size] = [data.small(at, 4), data.small(at + 4, 4)];
    if (MACHO_LIBRARIES.includes(kind)) libraries.push(data.name(at + data.small(at + 8, 4)));
    else if (kind === 0x32 || kind === 0x24) {
      const packed = data.small(at + (kind === 0x32 ? 12 : 8), 4);
      minimum = `${packed >>> 16}.${(packed >>> 8) & 255}`;
    } else if (kind === 2) [symbols, strings] = [data.small(at + 8, 4), data.small(at + 16, 4)];
    else if (kind === 0xb) [first, undefinedCount] = [data.small(at + 24, 4), data.small(at + 28, 4)];
    at += size;
  }
  const functions = new Map();
  const step = wide ? 16 : 12;
  for (let row = 0; symbols && row < undefinedCount; row++) {
    const name = data.small(symbols + step * (first + row), 4);
    const found = data.name(strings + name);
    if (!functions.has(found)) functions.set(found, strings + name);
  }
  return { container: "macho", machine: MACHO_CPUS[cpu] || `0x${cpu.toString(16)}`, libraries, loader: "", minimum, functions, others: [] };
}

function ofWasm(data) {
  const [modules, functions, others] = [new Set(), new Map(), []];
  const number128 = at => {
    let value = 0;
    for (let shift = 0; shift < 10; shift++) {
      const [byte] = data.bytes(at++, 1);
      value += (byte & 0x7f) * 2 ** (7 * shift);
      if (byte < 0x80) return [value, at];
    }
    throw new Senseless("its headers make no sense");
  };
  const textAt = (at, size) => {
    const found = textOf(data.bytes(at, size));
    if (found === undefined) throw new Senseless("its headers make no sense");
    return found;
  };
  const typeEnd = (at, kind) => {
    if (kind === 0) return number128(at)[1];
    if (kind === 4) return number128(at + 1)[1];
    if (kind === 3) return at + 2;
    if (kind !== 1 && kind !== 2) throw new Senseless("the module imports what no version of WebAssembly knows");
    const start = at + (kind === 1 ? 1 : 0);
    const [, least] = number128(start + 1);
    return data.bytes(start, 1)[0] & 1 ? number128(least)[1] : least;
  };
  for (let at = 8; at < data.size; ) {
    const [kind] = data.bytes(at, 1);
    const [size, body] = number128(at + 1);
    if (kind === 2) {
      let [count, inner] = number128(body);
      for (; count > 0; count--) {
        let [length, place] = number128(inner);
        const module = textAt(place, length);
        [length, place] = number128(place + length);
        const name = textAt(place, length);
        const [what] = data.bytes(place + length, 1);
        modules.add(module);
        if (what === 0 && !functions.has(name)) functions.set(name, place);
        else if (what !== 0 && what !== 4) others.push(`${module}.${name}`);
        inner = typeEnd(place + length + 1, what);
      }
    }
    at = body + size;
  }
  return { container: "wasm", machine: "wasi", libraries: [...modules], loader: "", minimum: "", functions, others };
}
