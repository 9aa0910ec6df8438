// What stands in front of the archive, told by its first bytes alone (3.2). The body of a program is not read.
import { ascii, equal, indexOf, number, startsWith, textOf } from "./bytes.js";
import { finding } from "./findings.js";

export const HEAD = 65536;
export const INDEX = 0x0400;
export const INDEX_MAGIC = ascii("LFFIDX1\0");
const BOOTSTRAP = ascii(`MZ=;eval "$(dd<"$0" bs=4k skip=1 count=2 2>&-)";exit 9`.padEnd(60, "\n"));
export const POLYGLOT = Uint8Array.from([...BOOTSTRAP, 0x40, 0, 0, 0]);
const SLOTS = 0xfe00;
const SLOTS_MAGIC = ascii("LFFSWP1\0");
const FORMS = ["polyglot", "elf-x86_64", "elf-aarch64"];
const APE = ["MZqFpD='", "jartsr='", "jartsr=\n", "APEDBG='"].map(ascii);
const ELF = ascii("\x7fELF");
const MACHO = ["\xcf\xfa\xed\xfe", "\xce\xfa\xed\xfe"].map(ascii);
const UNIVERSAL = ascii("\xca\xfe\xba\xbe");

/** `{kind, falseLauncher}` of a prefix of `size` bytes. */
export async function identify(source, size) {
  const head = await source.read(0, Math.min(HEAD, size));
  if (!head.length || ["PK\x03\x04", "PK\x05\x06", "PK\x06\x06"].some(magic => startsWith(head, ascii(magic)))) return { kind: "none" };
  if (startsWith(head, BOOTSTRAP)) return { kind: "launcher", head };
  if (startsWith(head, BOOTSTRAP.subarray(0, 10)) || startsWith(head, INDEX_MAGIC, INDEX)) return { kind: "other", falseLauncher: true };
  if (APE.some(magic => startsWith(head, magic)) || isConverted(head)) return { kind: "ape" };
  if (startsWith(head, ELF)) return { kind: (await isElf(source, head, size)) ? "elf" : "other" };
  if (startsWith(head, ascii("MZ"))) return { kind: (await isPe(source, head, size)) ? "pe" : "other" };
  if (MACHO.some(magic => startsWith(head, magic))) return { kind: number(head, 20, 4) <= 65536 ? "macho" : "other" };
  if (startsWith(head, UNIVERSAL)) return { kind: head[4] === 0 && head[7] >= 1 && head[7] <= 16 ? "macho" : "other" };
  const line = head.subarray(0, Math.max(0, head.indexOf(10)));
  return { kind: startsWith(head, ascii("#!")) && !line.includes(0) ? "script" : "other" };
}

/** An APE that was converted in place: a native header, and the script of an APE behind the marker (3.3.7). */
function isConverted(head) {
  if (!startsWith(head, ELF) && !startsWith(head, MACHO[0])) return false;
  const marker = indexOf(head, ascii(`#'"\n`));
  return marker >= 0 && indexOf(head.subarray(marker, marker + 8192), ascii("printf '")) >= 0;
}

async function isElf(source, head, size) {
  const [bits, order] = [head[4], head[5]];
  if (![1, 2].includes(bits) || ![1, 2].includes(order) || head.length < (bits === 2 ? 64 : 52)) return false;
  const field = (at, length) => number(order === 1 ? head.slice(at, at + length) : head.slice(at, at + length).reverse(), 0, length);
  const [table, entry, count] = bits === 2 ? [field(32, 8), field(54, 2), field(56, 2)] : [field(28, 4), field(42, 2), field(44, 2)];
  return count <= 128 && (!count || (entry === (bits === 2 ? 56 : 32) && table + entry * count <= size));
}

async function isPe(source, head, size) {
  const at = head.length >= 64 ? number(head, 60, 4) : size;
  const found = at + 26 <= size ? await source.read(at, 26) : [];
  return startsWith(found, ascii("PE\0\0")) && number(found, 6, 2) <= 96 && [0x10b, 0x20b].includes(number(found, 24, 2));
}

/** The form that a launcher was converted to (3.2.5), told by its first 64 KiB; undefined if it was not. */
export function convertedForm(head) {
  if (!startsWith(head, INDEX_MAGIC, INDEX) || !equal(slot(head, 0), POLYGLOT)) return undefined;
  return FORMS.find((form, index) => index && equal(slot(head, index), head.subarray(0, 64)));
}

function slot(head, index) {
  if (!startsWith(head, SLOTS_MAGIC, SLOTS)) return [];
  const found = head.slice(SLOTS + 64 * (index + 1), SLOTS + 64 * (index + 2));
  if (found.length < 64 || found.every(byte => !byte)) return [];
  if (found[0] === (0x7f ^ 0xff)) found[0] ^= 0xff; // from version 2 on, headers are kept with their first byte inverted
  return found;
}

/** Findings about a prefix of a container, `launcher` being those about a launcher. */
export async function checkPrefix(source, size, facts, launcher) {
  const findings = [];
  if (size % 65536) findings.push(finding("LF1013", { offset: 0, length: size }, { size, unit: 65536 }));
  if (facts.falseLauncher) findings.push(finding("LF1015", { offset: 0, length: 60 }));
  else if (facts.kind === "other" && size) {
    const format = await weightsFormat(source);
    findings.push(finding(format ? "LF3340" : "LF1028", { offset: 0, length: size }, { format }));
  }
  return [...findings, ...launcher];
}

/** The format of weights that bytes begin like (7.13.1), as far as a prefix could pass for them; empty for none. */
async function weightsFormat(source) {
  const head = await source.read(0, 16);
  if (startsWith(head, ascii("GGUF"))) return "GGUF";
  const length = number(head, 0, 8);
  return length >= 2 && length <= source.size - 8 && /^\{["} \n]/.test(textOf(head.subarray(8, 10)) ?? "") ? "safetensors" : "";
}
