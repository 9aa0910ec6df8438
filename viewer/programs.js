// Programs that nobody here knows, as their bytes describe them (14.8). Of one whose digest a registry or a pin has, nothing more is said.
import { isKnownProgram } from "./builds.js";
import { allZero, ascii, indexOf, join, number, sha256, startsWith } from "./bytes.js";
import { finding } from "./findings.js";
import { Broken, inflate } from "./inflate.js";
import { MACHO, MACHO32, UNIVERSAL, elfHeader, machoWritable, peImage, segments, universalRanges, viewOf } from "./native.js";
import { Senseless, needsOf } from "./needs.js";
import { identify } from "./prefix.js";
import { wording } from "./program_words.js";
import { ridersIn } from "./riders.js";
import { firstOf, partOf } from "./source.js";
import { endOf, readArchive } from "./zip.js";

const WINDOW = 1 << 20;
const OVERLAP = 4096;
const MOST_OF_ONE = 32 << 20;
const MOST_OF_ALL = 64 << 20;
const LEAST = 1 << 20;
const MOST_UNPACKED = 8 << 20;
const MOST_HASHED = 512 << 20;
const FEW = 4;
const WASM = ascii("\0asm");
const MAGICS = [ascii("\x7fELF"), ascii("MZ"), MACHO, MACHO32, UNIVERSAL, WASM, ascii("#!")];
const TEXTS = new Set(["manifest", "chunks", "signature-record", "license", "card", "template", "arguments"]);
const ASKS = Object.fromEntries(
  Object.entries({
    "starts programs":
      "execve execv execvp execvpe execl execlp execle fexecve posix_spawn posix_spawnp system popen vfork wordexp CreateProcessA CreateProcessW CreateProcessAsUserA CreateProcessAsUserW ShellExecuteA ShellExecuteW ShellExecuteExA ShellExecuteExW WinExec _wsystem _popen _wpopen _spawnv _wspawnv NSTask proc_spawn proc_exec proc_fork",
    "uses the network":
      "socket connect bind listen accept accept4 sendto recvfrom getaddrinfo gethostbyname WSAStartup WSASocketA WSASocketW WSAConnect InternetOpenA InternetOpenW InternetOpenUrlA InternetOpenUrlW HttpSendRequestA HttpSendRequestW WinHttpOpen WinHttpConnect URLDownloadToFileA URLDownloadToFileW DnsQuery_A DnsQuery_W curl_easy_perform sock_open sock_connect sock_bind sock_listen sock_accept sock_send sock_recv",
    "reaches into other processes":
      "ptrace process_vm_readv process_vm_writev OpenProcess ReadProcessMemory WriteProcessMemory CreateRemoteThread CreateRemoteThreadEx VirtualAllocEx VirtualProtectEx QueueUserAPC SetThreadContext NtUnmapViewOfSection ZwUnmapViewOfSection NtCreateThreadEx SetWindowsHookExA SetWindowsHookExW task_for_pid mach_vm_write thread_create_running",
    "makes or loads code as it runs":
      "dlopen dlmopen memfd_create mprotect LoadLibraryA LoadLibraryW LoadLibraryExA LoadLibraryExW VirtualProtect NSCreateObjectFileImageFromMemory",
    "changes what it may do":
      "setuid setgid seteuid setreuid setresuid chroot pivot_root unshare setns mount init_module finit_module bpf AdjustTokenPrivileges ImpersonateLoggedOnUser SetWindowsHookA RegSetValueExA RegSetValueExW CreateServiceA CreateServiceW",
  }).map(([what, names]) => [what, new Set(names.split(" "))]),
);
const SECTIONS = new Map(
  Object.entries({
    UPX: "UPX0 UPX1 UPX2 UPX!", ASPack: ".aspack .adata", MPRESS: ".MPRESS1 .MPRESS2", PECompact: "PEC2 pec1 PEC2TO", Petite: ".petite", NsPack: ".nsp0 .nsp1 nsp0 nsp1",
    VMProtect: ".vmp0 .vmp1 .vmp2", Themida: ".themida Themida .winlice WinLicen", Enigma: ".enigma1 .enigma2", FSG: "FSG!", kkrunchy: "kkrunchy",
  }).flatMap(([packer, names]) => names.split(" ").map(name => [name, packer])),
);
const MARKS = Object.entries({
  UPX: "$Info: This file is packed with the UPX", PyInstaller: "MEI\x0c\x0b\x0a\x0b\x0e", NSIS: "\xef\xbe\xad\xdeNullsoftInst", "Inno Setup": "Inno Setup Setup Data (",
  "7-Zip SFX": ";!@Install@!UTF-8!", makeself: "# This script was generated using Makeself",
}).map(([packer, mark]) => [packer, ascii(mark)]);
const SORTS = { pipeline: "a pipeline into an interpreter", command: "a command", address: "an address", path: "a path" };

/** LF3360 to LF3364 for the prefix and the programs among `members` that nobody knows. `launched` is true if the prefix was compared with
 * the launcher that the manifest implies, `proven` are paths of members whose digest was found in the bytes. */
export async function checkPrograms(file, engineSize, members, vouched) {
  const findings = [];
  let left = MOST_OF_ALL;
  for (const program of await unknownPrograms(file, engineSize, members, vouched)) {
    const { size } = program.source;
    if (left < LEAST) return [...findings, unread({ ...program, path: `${nameOf(program)} and every program behind it` }, 0, size)];
    const budget = Math.min(left, MOST_OF_ONE, size);
    left -= Math.max(LEAST, budget);
    findings.push(...(await describe(program, budget)));
  }
  return findings;
}

async function unknownPrograms(file, engineSize, members, { launched, proven }) {
  const { source, manifest, facts, archive } = file;
  const room = { left: MOST_HASHED, proven };
  const found = [];
  if (engineSize && facts.kind !== "none") {
    const prefix = { source: firstOf(source, engineSize), base: 0, path: "", own: [] };
    const claims = manifest ? [manifest.prefix.engineSha256, manifest.prefix.sha256] : undefined;
    if (!(launched && facts.kind === "launcher") && !(await isKnown(prefix, claims, room))) found.push({ ...prefix, own: await ownArchive(source, archive, engineSize) });
  }
  for (const member of members) {
    const program = await programOf(source, member);
    const claims = manifest && program && !program.unpacked ? [member.sha256] : undefined;
    if (program && !(await isKnown(program, claims, room))) found.push(program);
  }
  return found;
}

/** Does the registry or a pin have the program? What a manifest claims and nobody compared is looked into, and so is a program of which
 * nothing is claimed. */
async function isKnown({ source, path, unpacked: loose }, claims, room) {
  if (claims && !claims.some(digest => digest && isKnownProgram(digest))) return false;
  if (claims && path && !loose && room.proven.has(path)) return true;
  if (source.size > room.left) return false;
  room.left -= source.size;
  return isKnownProgram(await sha256(await source.read(0, source.size)));
}

/** A member as a program, if it is one: by its role, or, whatever the role, by its first bytes. */
async function programOf(source, { entry, path, role, offset, size, method }) {
  if (offset < 0 || size < 8 || TEXTS.has(role)) return undefined;
  if (method === 0) {
    const head = await source.read(offset, 4);
    return role === "runtime" || MAGICS.some(magic => startsWith(head, magic)) ? { source: partOf(source, offset, size), base: offset, path, own: [] } : undefined;
  }
  const data = method === 8 ? await unpacked(source, entry) : new Uint8Array(0);
  if (!MAGICS.some(magic => startsWith(data, magic))) return undefined;
  const bytes = { name: path, size: data.length, read: async (at, length) => data.subarray(at, at + length) };
  return { source: bytes, base: offset, path, own: [], unpacked: true, cut: data.length < size ? size : 0 };
}

/** The first bytes of a deflated member, as far as it can be unpacked: none but eight if it is no program. */
async function unpacked(source, { dataOffset, compressed }) {
  const pieces = [];
  let total = 0;
  try {
    for await (const piece of inflate(source, dataOffset, Math.min(compressed, MOST_UNPACKED))) {
      pieces.push(piece.slice(0, MOST_UNPACKED - total));
      total += pieces[pieces.length - 1].length;
      if (total >= MOST_UNPACKED || !MAGICS.some(magic => startsWith(pieces[0], magic))) break;
    }
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
  }
  return join(...pieces);
}

/** Where the engine's own archive stands in the prefix: its members are judged by themselves. */
async function ownArchive(source, archive, size) {
  const inside = await readArchive(firstOf(source, size));
  const ranges = [...archive.entries, ...inside.entries].filter(entry => entry.dataOffset >= 0 && entry.headerOffset < size).map(entry => [entry.headerOffset, endOf(entry)]);
  return inside.tail && inside.entries.length ? [...ranges, [inside.tail.directoryOffset, size]] : ranges;
}

const nameOf = ({ path, unpacked: loose }) => (loose ? `${path}, unpacked,` : path || "the prefix");

function where({ base, path, unpacked: loose }, at, size) {
  return loose ? { offset: base, member: path || undefined } : { offset: base + at, length: size, member: path || undefined };
}

function unread(program, start, end) {
  const place = at => (program.unpacked ? at : program.base + at);
  return finding("LF3364", where(program, start, end - start), { path: nameOf(program), start: place(start), end: place(end) });
}

/** What the bytes of a program say, of which `budget` are searched. */
async function describe(program, budget) {
  const { source } = program;
  const facts = await identify(source, source.size);
  const looked = await look(program, facts, budget);
  const findings = [];
  const path = nameOf(program);
  const place = at => (program.unpacked ? at : program.base + at);
  for (const { what, at, size } of (await writableCode(source, facts)).slice(0, FEW)) findings.push(finding("LF3361", where(program, at, size), { path, what, at: place(at) }));
  const seen = new Set();
  for (const { what, at, size } of [...(await packers(source, facts)).slice(0, FEW), ...looked.marks]) {
    if (!seen.has(what)) findings.push(finding("LF3362", where(program, at, size), { path, packer: what, at: place(at) }));
    seen.add(what);
  }
  for (const [what, at] of [...looked.riders.found].sort((a, b) => a[1] - b[1])) findings.push(finding("LF3363", where(program, at, source.size - at), { path, what, at: place(at) }));
  const told = await worthTelling(program, facts, looked, place);
  const what = `it runs on ${await runsOn(source, facts)}; ${told.join("; ")}`;
  if (told.length) findings.push(finding("LF3360", where(program, 0, source.size), { path, what }));
  if (looked.unread) findings.push(unread(program, ...looked.unread));
  else if (program.cut) findings.push(unread(program, source.size, program.cut));
  return findings;
}

/** Search the bytes of a program: all of them, or, where the budget does not reach, its two ends. */
async function look(program, facts, budget) {
  const { source } = program;
  const script = facts.kind === "script";
  const riders = ridersIn(source, [...program.own, ...(facts.own || [])], { polyglot: facts.kind === "launcher" || facts.kind === "ape" || Boolean(facts.apeNote), isScriptItself: script, left: Math.max(64, budget >> 14) });
  const words = wording(Math.max(1 << 15, budget >> 5));
  const marks = [];
  const cut = Math.floor(budget / 4);
  const ends = source.size <= budget ? [[0, source.size]] : [[0, budget - cut], [source.size - cut, source.size]];
  for (const [start, end] of ends)
    for (let at = start; at < end; at += WINDOW) {
      const data = await source.read(at, Math.min(WINDOW + OVERLAP, end - at));
      if (allZero(data)) continue;
      if (!script) words.look(data, at);
      await riders.look(data, at);
      for (const [what, mark] of MARKS) if (indexOf(data, mark) >= 0) marks.push({ what, at: at + indexOf(data, mark), size: mark.length });
    }
  const short = words.left <= 0 || riders.left <= 0;
  return { words, riders, marks, unread: ends.length > 1 ? [ends[0][1], ends[1][0]] : short ? [0, source.size] : undefined };
}

/** Segments and sections that are mapped writable and executable at once, in every header that has one (14.8.3). */
async function writableCode(source, facts) {
  const view = viewOf(source, source.size);
  const found = [];
  for (const head of facts.elfs || []) {
    const header = elfHeader(head);
    for (const { type, flags, offset, size } of (header && (await segments(view, header))) || []) if (type === 1 && (flags & 3) === 3) found.push({ what: "segment", at: offset, size });
  }
  for (const { name, offset, size, at, writable } of await peSections(view, facts)) if (writable) found.push({ what: `section ${name}`, at: offset || at, size: size || 40 });
  for (const start of facts.machos || []) for (const { what, start: at, end } of await machoWritable(view, start)) found.push({ what, at, size: end - at });
  return found;
}

async function peSections(view, facts) {
  const head = await view.upto(0, 64);
  const image = facts.windows && head.length === 64 && startsWith(head, ascii("MZ")) ? await peImage(view, number(head, 60, 4)) : undefined;
  return image ? image.sections : [];
}

async function packers(source, facts) {
  const view = viewOf(source, source.size);
  const found = (await peSections(view, facts)).filter(({ name }) => SECTIONS.has(name)).map(({ name, at }) => ({ what: SECTIONS.get(name), at, size: 40 }));
  const at = facts.kind === "elf" ? indexOf(await view.upto(0, 4096), ascii("UPX!")) : -1;
  return at >= 0 ? [...found, { what: "UPX", at, size: 4 }] : found;
}

/** What is no fault and worth knowing, in words, each with its place. */
async function worthTelling(program, facts, { words }, place) {
  const { source } = program;
  const module = source.size >= 8 && startsWith(await source.read(0, 4), WASM);
  const told = [];
  const native = ["elf", "pe", "macho"].includes(facts.kind) && facts.end && facts.ranges.some(({ what }) => /segment|section |slice/.test(what));
  const { functions, reason } = module || !["none", "other", "script"].includes(facts.kind) ? await asksOf(source) : { functions: new Map(), reason: "" };
  for (const [what, names] of functions) {
    const shown = names.slice(0, FEW).map(([name, at]) => `${name} at byte ${place(at)}`).join(", ");
    told.push(`${what} (${shown}${names.length > FEW ? ` and ${names.length - FEW} more` : ""})`);
  }
  if (reason && (module || native)) told.push(`what it asks of its system cannot be read: ${reason}`);
  for (const sort of Object.keys(SORTS)) if (words.found.has(sort)) told.push(`it has ${SORTS[sort]} at byte ${place(words.found.get(sort).at)}: ${words.found.get(sort).text}`);
  const end = native ? Math.max(facts.end, facts.certificate ? facts.certificate[0] + facts.certificate[1] : 0) : 0;
  if (end > 0 && end < source.size) {
    const rest = source.size - end;
    const zeros = rest <= WINDOW && allZero(await source.read(end, rest));
    if (!zeros && !program.own.some(([start]) => end <= start && start < source.size)) told.push(`${rest} bytes stand behind all that its headers name, from byte ${place(end)}`);
  }
  return told;
}

/** What a program is for, by its headers. */
async function runsOn(source, facts) {
  if (startsWith(await source.read(0, 4), WASM)) return "a machine for WebAssembly";
  if (facts.kind === "ape") return "the systems of an APE";
  if (facts.kind === "script") return "an interpreter";
  try {
    const { container, machine } = await needsOf(source);
    return `${container} for ${machine}`;
  } catch (error) {
    if (!(error instanceof Senseless)) throw error;
    return ["elf", "pe", "macho", "launcher"].includes(facts.kind) ? facts.kind : "nothing that is known here";
  }
}

/** Functions that matter, by what they do, each with its place; and why there may be more, empty if not. */
async function asksOf(source) {
  const functions = new Map();
  let reason = "";
  const slices = (await universalRanges(viewOf(source, source.size))) || [];
  const parts = slices.length ? slices.map(({ start, end }) => [Math.min(start, source.size), Math.min(end, source.size)]) : [[0, source.size]];
  for (const [start, end] of parts) {
    try {
      const found = await needsOf(partOf(source, start, end - start));
      for (const [name, at] of found.functions) note(functions, name, start + at);
    } catch (error) {
      if (!(error instanceof Senseless)) throw error;
      reason = reason || error.message;
    }
  }
  return { functions, reason };
}

function note(functions, name, at) {
  const plain = name.replace(/^_/, "");
  for (const [what, names] of Object.entries(ASKS)) {
    if (!names.has(plain) && !names.has(name)) continue;
    const told = functions.get(what) || [];
    if (!told.some(([each]) => each === plain)) functions.set(what, [...told, [plain, at]]);
  }
}
