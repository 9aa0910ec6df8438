// What people have instead of a llamafile, each told in plain words (3.7). Asked only of what is neither container nor legacy.
import { allZero, ascii, indexOf, lastIndexOf, number, shownText, startsWith } from "./bytes.js";
import { finding } from "./findings.js";
import { identify } from "./prefix.js";
import { END, END_SIZE } from "./records.js";

const WINDOW = 65557;
const ARCHIVES = [
  [0, "\x1f\x8b\x08", "gzip"], [0, "\x28\xb5\x2f\xfd", "zstd"], [0, "BZh", "bzip2"], [0, "\xfd7zXZ\0", "xz"], [0, "7z\xbc\xaf\x27\x1c", "7-Zip"],
  [0, "Rar!\x1a\x07", "RAR"], [257, "ustar", "tar"],
];

const CALLED = { ape: "an APE", launcher: "a launcher", elf: "an ELF", macho: "a Mach-O", pe: "a PE" };
const OTHER_PROGRAMS = {
  ape: "a Cosmopolitan program", pe: "a Windows program, perhaps a self-extracting archive,", elf: "an ELF program", macho: "a program for macOS",
};
const FROZEN = "\x89llamafrozen/1\r\n";

/** True of a frozen container (3.7.8): it begins and ends with the mark, whatever lies between. */
export async function isFrozen(source) {
  const [size, mark] = [FROZEN.length, ascii(FROZEN)];
  return source.size >= 2 * size && startsWith(await source.read(source.size - size, size), mark) && startsWith(await source.read(0, size), mark);
}

/** The finding that tells what a file is instead; undefined if its end holds an end record, or nothing is known. */
export async function recognise(source) {
  if (!source.size) return finding("LF1008", { offset: 0 });
  if (await isFrozen(source)) return finding("LF1036", { offset: 0 });
  const records = await endRecords(source);
  if (records.some(record => record.fits)) return undefined;
  const head = await source.read(0, 4096);
  for (const test of records.length ? TESTS : [...TESTS, cutOff]) {
    const found = await test(source, head);
    if (found) return finding(found[0], { offset: 0 }, found[1]);
  }
  return undefined;
}

/** What stands in a source in the place of a model (7.13.2): a pointer, a page, an answer, an archive, nothing at all. */
export async function insteadOf(source) {
  if (!source.size) return finding("LF1008", { offset: 0 });
  if (await isFrozen(source)) return finding("LF1036", { offset: 0 });
  const head = await source.read(0, 4096);
  for (const test of [pointer, saidInstead, otherArchive, zeros]) {
    const found = await test(source, head);
    if (found) return finding(found[0], { offset: 0 }, found[1]);
  }
  return undefined;
}

/** The pointer that a source is (3.7.1); undefined if it is a file itself. */
export async function pointerOf(source) {
  const found = pointer(source, await source.read(0, 4096));
  return found && finding(found[0], { offset: 0 }, found[1]);
}

/** What an executable in front of an archive of `count` members is that has neither a model nor an engine for one (3.7.7). */
export function programWithArchive({ kind }, count) {
  return count && Object.hasOwn(OTHER_PROGRAMS, kind) ? finding("LF1035", { offset: 0 }, { what: OTHER_PROGRAMS[kind], count }) : undefined;
}

/** End records in the last 64 KiB whose comment fits the file; `fits` if their directory does too. */
async function endRecords(source) {
  const low = Math.max(0, source.size - WINDOW);
  const tail = await source.read(low, source.size - low);
  const found = [];
  for (let at = lastIndexOf(tail, END); at >= 0; at = lastIndexOf(tail, END, at - 1))
    if (at + END_SIZE <= tail.length && at + END_SIZE + number(tail, at + 20, 2) <= tail.length) {
      const [size, offset] = [number(tail, at + 12, 4), number(tail, at + 16, 4)];
      found.push({ fits: offset === 0xffffffff || offset + size <= low + at });
    }
  return found;
}

function pointer(source, head) {
  if (source.size > 4096) return undefined;
  const text = shownText(head);
  if (text.startsWith("version https://git-lfs")) return ["LF1001", { size: (/^size (\d{1,20})$/m.exec(text) || [])[1] || "unknown" }];
  return text.trimStart().startsWith("# xet version") ? ["LF1002", { bytes: source.size }] : undefined;
}

function saidInstead(source, head) {
  const text = String.fromCharCode(...head).replace(/^\xef\xbb\xbf/, "").trimStart();
  const opening = text.slice(0, 256).toLowerCase();
  if (/^(?:<!doctype {1,2}html|<html|<head)/.test(opening) || (opening.startsWith("<\x21--") && text.toLowerCase().includes("<html"))) return ["LF1003", {}];
  if (/^<(?:\?xml|error)/.test(opening)) return ["LF1004", { kind: "XML" }];
  const json = source.size <= 1 << 20 && /^[{[]\s*["{}[\]]/.test(text) && !text.includes("\0");
  return json ? ["LF1004", { kind: "JSON" }] : undefined;
}

function weights(source, head) {
  if (startsWith(head, ascii("GGUF")) && source.size >= 24) return ["LF1005", {}];
  if (startsWith(head, ascii("GGU")) && source.size < 24 && (head.length < 4 || head[3] === 0x46)) return ["LF1011", { bytes: source.size }];
  const length = head.length >= 10 ? number(head, 0, 8) : 0;
  return length >= 2 && length <= source.size - 8 && head[8] === 0x7b && [0x22, 0x7d, 0x20, 0x0a].includes(head[9]) ? ["LF1006", {}] : undefined;
}

function otherArchive(source, head) {
  const found = ARCHIVES.find(([at, magic]) => startsWith(head, ascii(magic), at));
  return found && ["LF1007", { kind: found[2] }];
}

async function zeros(source, head) {
  if (!allZero(head)) return undefined;
  const step = Math.max(4096, Math.floor(source.size / 16));
  for (let at = 0; at < source.size; at += step) if (!allZero(await source.read(at, 4096))) return undefined;
  return allZero(await source.read(Math.max(0, source.size - 4096), 4096)) ? ["LF1009", { bytes: source.size }] : undefined;
}

async function cutOff(source, head) {
  if (indexOf(head.subarray(0, 4), ascii("PK\x03\x04")) === 0) return ["LF1010", { what: "a ZIP archive", bytes: source.size }];
  if (startsWith(head, ascii(FROZEN))) return ["LF1010", { what: "a frozen container", bytes: source.size }];
  const { kind, findings } = await identify(source, source.size);
  if (!Object.hasOwn(CALLED, kind)) return undefined;
  const short = kind === "launcher" || findings.some(found => found.rule === "LF1018" || found.rule === "LF1026");
  return short ? ["LF1010", { what: `${CALLED[kind]} executable`, bytes: source.size }] : ["LF1012", { kind: CALLED[kind] }];
}

const TESTS = [pointer, saidInstead, weights, otherArchive, zeros];
