// Actually Portable Executables of every generation, converted or not (3.3). Their script is text here, and never run.
import { ascii, equal, latin, number, startsWith } from "./bytes.js";
import { finding } from "./findings.js";
import { ELF, MACHO, elfHeader, isMacho, loaded, loaderObjection, machoRanges, peImage, range, segments } from "./native.js";

const MAGICS = ["MZqFpD='", "jartsr='", "jartsr=\n", "APEDBG='"];
const BARE = "jartsr=\n";
const DEBUG = "APEDBG='";
const MARKER = `#'"\n`;
const PRINT = "printf '";
const WINDOW = 8192;
const MOST_COMMANDS = 32;
const COPY = /\bdd if="\$[o0]"([^\n|]*)(?:\|([^\n]*))?/g;
const NUMBER = /\b(bs|skip|count)=(?:["'] *)?(?:\$\(\( *)?([0-9]{1,18})/g;
const CACHE = /\/(\.ape(?:-[0-9]{1,3}\.[0-9]{1,3})?)["\s]/;

/** True if `head` begins with a magic of 3.3.1, or is an APE that was converted in place (3.3.7). */
export function isApe(head) {
  if (MAGICS.some(magic => startsWith(head, ascii(magic)))) return true;
  if (startsWith(head, ELF)) {
    const script = scriptOf(head);
    return script.start >= 0 && script.printed.length > 0;
  }
  return startsWith(head, MACHO) && machoScript(head).copies.some(copy => copy.ontoSelf);
}

/** All that the first bytes of an APE tell: ranges, findings, whether it has a PE, where its certificate is, the loader's name; `own` are
 * ranges of loaders and places of programs, `elfs` the headers of the latter, `machos` where Mach-O headers lie. */
export async function readApe(view, head) {
  const toMacho = startsWith(head, MACHO);
  const script = toMacho ? machoScript(head) : scriptOf(head);
  const facts = { kind: "ape", ranges: script.end ? [range("script", 0, script.end)] : [], findings: [], windows: false, cache: script.cache, own: [], machos: [], elfs: script.printed.map(each => each.header) };
  for (const printed of script.printed) await addPrinted(view, printed, facts);
  if (startsWith(head, ascii("MZ"))) await addPe(view, head, facts);
  for (const copy of script.copies) await addCopy(view, script, copy, facts);
  if (startsWith(head, ELF)) convertedToElf(head, script, facts);
  else if (toMacho) await convertedToMacho(view, head, script, facts);
  else {
    const told = rule => facts.findings.push(finding(rule, { offset: 0, length: 8 }));
    if (script.start < 0) told("LF1020");
    if (startsWith(head, ascii(BARE))) told("LF1021");
    if (startsWith(head, ascii(DEBUG))) told("LF1029");
  }
  return facts;
}

/** The script of an APE whose first bytes a Mach-O header replaced: that header may have eaten the marker. */
function machoScript(head) {
  return scriptOf(head, Math.min(32 + (head.length >= 24 ? number(head, 20, 4) : 0), head.length));
}

/** Printed headers and copied ranges of the script in `head`; `start` is -1 where there is no marker. */
function scriptOf(head, begin) {
  const whole = latin(head);
  const marker = whole.indexOf(MARKER);
  const start = begin ?? (marker < 0 ? -1 : marker + MARKER.length);
  const nul = start < 0 ? -1 : whole.indexOf("\0", start);
  const stop = nul < 0 ? whole.length : nul;
  const text = start < 0 ? "" : whole.slice(start, stop);
  // A header behind the window counts if a shell gets to it: a program that unpacks an APE holds the script of another.
  const printed = printedIn(whole).filter(({ at, near }) => near || start < 0 || (start <= at && at < stop));
  return { start, end: start < 0 ? 0 : stop, printed, copies: copiesIn(text), cache: (CACHE.exec(text) || [])[1] || "" };
}

function printedIn(text) {
  const found = [];
  for (let at = text.indexOf(PRINT); at >= 0 && found.length < MOST_COMMANDS; at = text.indexOf(PRINT, at + PRINT.length)) {
    const { bytes, stop } = decodeOctal(text, at + PRINT.length);
    if (bytes.length >= 64 && startsWith(bytes, ELF)) found.push({ at, header: bytes.slice(0, 64), near: stop <= WINDOW });
  }
  return found;
}

function decodeOctal(text, at) {
  const bytes = [];
  while (at < text.length && text[at] !== "'" && bytes.length < 256) {
    const escape = /^\\([0-7]{1,3})/.exec(text.slice(at, at + 4));
    bytes.push(escape ? parseInt(escape[1], 8) & 255 : text.charCodeAt(at));
    at += escape ? escape[0].length : 1;
  }
  return { bytes: Uint8Array.from(bytes), stop: at + 1 };
}

function copiesIn(text) {
  const found = [];
  for (const [, command] of text.matchAll(COPY)) {
    if (found.length === MOST_COMMANDS) break;
    const numbers = Object.fromEntries([...command.matchAll(NUMBER)].map(([, name, digits]) => [name, Number(digits)]));
    const { skip, count, bs = 512 } = numbers;
    if (skip !== undefined && count !== undefined) found.push({ offset: skip * bs, size: count * bs, ontoSelf: /of="\$[o0]"/.test(command) });
  }
  return found;
}

async function addPrinted(view, { at, header, near }, facts) {
  const where = { offset: at, length: 8, field: "printf" };
  if (!near) return void facts.findings.push(finding("LF1017", where, { offset: at }));
  const elf = elfHeader(header);
  const found = elf && (await segments(view, elf));
  const problem = loaderObjection(elf, found);
  if (problem) facts.findings.push(finding("LF1025", where, { problem }));
  const ranges = loaded("ELF segment", found);
  facts.ranges.push(...ranges);
  if (!problem) facts.own.push(pointAt(Math.min(...ranges.map(({ start }) => start), ranges.length ? Infinity : 0)));
  return undefined;
}

/** The PE part: `e_lfanew` may point far behind the first 64 KiB, and is 0 in what was linked without Windows. */
async function addPe(view, head, facts) {
  const offset = head.length >= 64 ? number(head, 60, 4) : 0;
  if (!offset) return;
  const image = await peImage(view, offset);
  if (!image) facts.findings.push(finding("LF1024", { offset: 60, length: 4, field: "e_lfanew" }, { header: "PE", offset }));
  else Object.assign(facts, { ranges: [...facts.ranges, ...image.ranges], windows: true, certificate: image.certificate, own: [...facts.own, pointAt(offset)] });
}

async function addCopy(view, script, { offset, size, ontoSelf }, facts) {
  const what = ontoSelf ? "Mach-O header" : "loader";
  const sound = size > 0 && (!ontoSelf || (offset >= 64 && size >= 32));
  if (!sound || offset + size > view.source.size) return void facts.findings.push(finding("LF1026", { offset: script.start, field: "dd" }, { what, offset, size }));
  facts.ranges.push(range(what, offset, size));
  if (!ontoSelf) facts.own.push([offset, offset + size]);
  else if (isMacho((await view.take(offset, 8)) || [])) {
    facts.own.push(pointAt(offset));
    facts.machos.push(offset);
  } else facts.findings.push(finding("LF1024", { offset, length: size, field: "dd" }, { header: "Mach-O", offset }));
  return undefined;
}

function pointAt(offset) {
  return [offset, offset + 1];
}

/** Bytes [0, 64) hold a printed header, whose ABI byte may have become zero on the way. */
function convertedToElf(head, { printed }, facts) {
  const same = printed.some(({ header }) => equal(header.subarray(0, 7), head.subarray(0, 7)) && equal(header.subarray(8), head.subarray(8, 64)));
  facts.elfs.push(head.subarray(0, 64));
  facts.findings.push(finding("LF1022", { offset: 0, length: 64 }, { format: "ELF" }));
  if (!elfHeader(head) || !same) facts.findings.push(finding("LF1023", { offset: 0, length: 64 }, { format: "ELF" }));
}

async function convertedToMacho(view, head, { copies }, facts) {
  facts.findings.push(finding("LF1022", { offset: 0, length: 32 }, { format: "Mach-O" }));
  const ranges = await machoRanges(view, 0);
  let live = false;
  for (const { offset, size, ontoSelf } of copies) {
    const length = Math.min(size, head.length);
    const data = ontoSelf ? await view.take(offset, length) : undefined;
    live = live || (data !== undefined && equal(data, head.subarray(0, length)));
  }
  if (!ranges || !live) facts.findings.push(finding("LF1023", { offset: 0, length: 32 }, { format: "Mach-O" }));
  if (ranges) Object.assign(facts, { ranges: [...facts.ranges, ...ranges], machos: [0] });
}
