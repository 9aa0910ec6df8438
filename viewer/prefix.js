// What stands in front of the archive: its kind, where the program ends, and what is wrong with it (3.2 to 3.5). The body of a
// program is not read.
import { isApe, readApe } from "./ape.js";
import { ascii, latin, number, startsWith } from "./bytes.js";
import { BOOTSTRAP, HEAD, isFalseLauncher, readIndex } from "./bootstrap.js";
import { finding } from "./findings.js";
import { formatOf } from "./formats.js";
import { ELF, MACHO, MACHO32, UNIVERSAL, elfHeader, loaded, machoRanges, notesOf, peImage, range, sectionRanges, segments, universalRanges, viewOf } from "./native.js";
import { firstOf } from "./source.js";

const LAUNCHER_SIZES = { 1: 1 << 18, 2: 1 << 18 };
const NOTE = /\x04\0\0\0\x04\0\0\0\x01\0\0\0APE\0[^]{4}/;
const WINDOWS_MOST = 0xffffffff;
const ZIP_STARTS = ["PK\x03\x04", "PK\x05\x06", "PK\x06\x06"].map(ascii);
export const PROGRAMS = ["ape", "elf", "pe", "macho"];

/** What a prefix of `size` bytes is: `{kind, end, findings, windows, certificate, falseLauncher, cache}`. `end` is that of the
 * program, undefined if nothing tells it; `windows` if Windows starts it; `cache` is the name under which an APE keeps its loader. Of the programs in it `elfs` are headers,
 * `machos` places of headers, `own` ranges that are its business. */
export async function identify(source, size) {
  const view = viewOf(source, Math.max(0, Math.min(size, source.size)));
  const head = await view.upto(0, HEAD);
  if (!head.length || ZIP_STARTS.some(magic => startsWith(head, magic))) return { kind: "none", end: 0, findings: [] };
  const facts = { ranges: [], findings: [], ...(await program(view, head)) };
  const beyond = facts.ranges.filter(({ end }) => end > source.size).sort((a, b) => b.end - a.end)[0];
  if (beyond) {
    const offset = beyond.start < source.size ? beyond.start : undefined;
    facts.findings.push(finding("LF1018", { offset, field: beyond.what }, { what: beyond.what, end: beyond.end, size: source.size }));
  }
  const ends = facts.ranges.filter(({ end }) => end <= source.size).map(({ end }) => end);
  return { ...facts, end: ends.length ? Math.max(...ends) : undefined };
}

async function program(view, head) {
  if (startsWith(head, BOOTSTRAP)) return launcher(view, head);
  if (isFalseLauncher(head)) return { kind: "other", falseLauncher: true };
  if (isApe(head)) return readApe(view, head);
  if (startsWith(head, ELF)) return plainElf(view, head);
  if (startsWith(head, ascii("MZ"))) return plainPe(view, head);
  if ([MACHO, MACHO32, UNIVERSAL].some(magic => startsWith(head, magic))) {
    const ranges = startsWith(head, UNIVERSAL) ? await universalRanges(view) : await machoRanges(view, 0);
    const starts = startsWith(head, UNIVERSAL) ? (ranges || []).map(({ start }) => start) : [0];
    return ranges && ranges.length ? { kind: "macho", ranges, machos: starts, own: starts.map(start => [start, start + 1]) } : unreadable("Mach-O", 0);
  }
  const line = latin(head.subarray(2, 257)).split("\n")[0];
  return { kind: startsWith(head, ascii("#!")) && !line.includes("\0") ? "script" : "other" };
}

/** A launcher of a known version is that long; whether it says the truth is another matter (14.2). */
async function launcher(view, head) {
  const index = readIndex(head);
  const ranges = [range("bootstrap", 0, BOOTSTRAP.length)];
  if (index && LAUNCHER_SIZES[index.version]) ranges.push(range("launcher", 0, LAUNCHER_SIZES[index.version]));
  const offset = head.length >= 64 ? number(head, 60, 4) : 0;
  const image = await peImage(view, offset);
  const facts = { kind: "launcher", head, ranges };
  if (!image) return { ...facts, findings: [finding("LF1024", { offset: 60, length: 4, field: "e_lfanew" }, { header: "PE", offset })] };
  return { ...facts, ranges: [...ranges, ...image.ranges], windows: true, certificate: image.certificate, own: [[offset, offset + 1]] };
}

async function plainElf(view, head) {
  const header = elfHeader(head);
  const found = header && (await segments(view, header));
  if (!found) return unreadable("ELF", 0);
  const notes = latin(head) + (await notesOf(view, found));
  return { kind: "elf", elfs: [head.subarray(0, 64)], own: [[0, 1]], apeNote: NOTE.test(notes), ranges: [...loaded("ELF segment", found), ...(await sectionRanges(view, header)), range("ELF header", 0, header.bits === 64 ? 64 : 52)] };
}

async function plainPe(view, head) {
  const offset = head.length >= 64 ? number(head, 60, 4) : 0;
  const image = await peImage(view, offset);
  return image ? { kind: "pe", ranges: image.ranges, windows: true, certificate: image.certificate, own: [[offset, offset + 1]] } : unreadable("PE", offset);
}

/** The magic of a native program without its headers: nothing will start it. */
function unreadable(header, offset) {
  return { kind: "other", findings: [finding("LF1024", { offset: 0, length: 4 }, { header, offset })] };
}

/** Findings about the prefix [0, `size`) of a file. `launcher` are those about a launcher, undefined if it was not compared;
 * `legacy` spares what binds writers of containers. */
export async function checkPrefix(source, size, facts, { launcher: compared, legacy = false } = {}) {
  const findings = [...facts.findings];
  const add = (rule, where, values) => findings.push(finding(rule, where, values));
  if (!legacy && size % 65536) add("LF1013", { offset: 0, length: size }, { size, unit: 65536 });
  if (facts.falseLauncher) add("LF1015", { offset: 0, length: 60 });
  else if (facts.kind === "other" && size) {
    const format = await formatOf(firstOf(source, size));
    add(format ? "LF3340" : "LF1028", { offset: 0, length: size }, { format });
  }
  if (facts.kind === "launcher") findings.push(...(compared || [finding("LF1027", { offset: 0, length: size })]));
  if (facts.windows && source.size > WINDOWS_MOST && (legacy || /\.exe$/i.test(source.name)))
    add("LF1014", { offset: 0, length: source.size }, { size: source.size, limit: WINDOWS_MOST });
  if (facts.certificate) {
    const [offset, length] = facts.certificate;
    add("LF1016", { offset, length, field: "certificate" }, { offset, size: length });
  }
  if (facts.kind !== "none" && facts.end > size) add("LF1019", { offset: size, length: facts.end - size }, { end: facts.end, start: size });
  return findings;
}
