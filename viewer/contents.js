// What members contain (10.5), as far as this page looks: what each is by its bytes, arguments, and the texts that they open.
import { checkArguments } from "./allowed.js";
import { dialectOf, parseArguments } from "./arguments.js";
import { buildName } from "./builds.js";
import { join } from "./bytes.js";
import { engineIn } from "./engine_name.js";
import { finding } from "./findings.js";
import { QUICK_HEADER } from "./gguf.js";
import { Broken } from "./inflate.js";
import { judgeMember } from "./judged.js";
import { contentsOf } from "./legacy.js";
import { chooseTable, optionsOf } from "./options.js";
import { roleOfName } from "./roles.js";
import { usesOf } from "./uses.js";
import { endOf } from "./zip.js";

const MOST_TEXT = 1 << 20;

const OUR_OWN = new Set(["manifest", "chunks", "signature-record"]);

/** Findings about the contents of all members. `engineSize` is that of the engine; at level quick its body is not read. */
export async function checkContents(file, engineSize, full) {
  const { source, manifest } = file;
  const members = membersOf(file, engineSize);
  const uses = await usesIn(file, members);
  const findings = [];
  const strange = []; // what nobody reads may be the data of an ONNX model, which chapter 7 says
  let onnx = false;
  for (const member of members.filter(({ role }) => !OUR_OWN.has(role))) {
    const judged = await judgeMember(source, member, [...(uses.get(member.path) || [])], Boolean(manifest) && member.role !== "engine-asset", full ? undefined : QUICK_HEADER);
    findings.push(...judged.findings);
    strange.push(...judged.strange);
    onnx = onnx || judged.format === "ONNX";
    if (member.offset >= 0 && (member.role === "arguments" || member.path === ".args")) findings.push(...(await ofArguments(file, member, members, engineSize, full)));
  }
  return onnx ? findings : [...findings, ...strange];
}

/** What members are opened as, the engine's version not being asked. */
async function usesIn(file, members) {
  const { facts, manifest } = file;
  const dialect = dialectOf(undefined, facts.kind);
  const own = members.find(({ path }) => path === ".args");
  const data = own && own.offset >= 0 ? await read(file, own) : "";
  const parsed = parseArguments(typeof data === "string" ? new Uint8Array(0) : data, dialect);
  return usesOf(members, manifest, parsed.tokens.length ? optionsOf(parsed, chooseTable(dialect, enginesOf(members)).table) : [], dialect);
}

/** Every member with its role: the manifest's, or what its name tells (9.3). `offset` is -1 where it has no data. */
export function membersOf({ archive, manifest }, engineSize) {
  const listed = new Map((manifest ? manifest.members : []).map(member => [member.path, member]));
  return archive.entries.map(entry => {
    const { path, dataOffset: offset, size, method } = entry;
    const member = { entry, path, offset, size, method, sha256: "", mediaType: "" };
    if (listed.has(path)) return { ...member, role: listed.get(path).role, sha256: listed.get(path).sha256, mediaType: listed.get(path).mediaType };
    if (manifest) return { ...member, role: path.startsWith("META-LLAMAFILE/signatures/") ? "signature-record" : "engine-asset" };
    return { ...member, role: offset >= 0 && endOf(entry) <= engineSize ? "engine-asset" : roleOfName(path) };
  });
}

/** The bytes of a member, unpacked; a text that says why they cannot be had. */
async function read({ source }, { entry, path, size }) {
  if (size > MOST_TEXT) return `it has ${size} bytes, more than ${MOST_TEXT}`;
  if (entry.dataOffset < 0) return `${path} has no data inside the file`;
  if (![0, 8].includes(entry.method)) return `${path} uses compression method ${entry.method}`;
  const pieces = [];
  let total = 0;
  try {
    for await (const piece of contentsOf(source, { ...entry, compressed: entry.method === 0 ? size : entry.compressed })) {
      pieces.push(piece);
      total += piece.length;
      if (total > size) return `${path} unpacks to more than its size`;
    }
  } catch (error) {
    if (error instanceof Broken) return `${path} cannot be unpacked: ${error.message}`;
    throw error;
  }
  return total === size ? join(...pieces) : `${path} unpacks to another size`;
}

function unchecked({ path, offset, size }, reason) {
  return finding("LF9003", { offset: offset < 0 ? undefined : offset, length: offset < 0 ? undefined : size, member: path }, { path, reason });
}

async function ofArguments(file, member, members, engineSize, full) {
  const data = await read(file, member);
  if (typeof data === "string") return [unchecked(member, data)];
  const { source, facts, manifest } = file;
  const names = members.map(({ path }) => path);
  const engine = full && engineSize ? await engineIn(source, engineSize, names, facts.cache || "") : undefined;
  return checkArguments(data, dialectOf(engine, facts.kind), {
    base: member.offset,
    member: member.path,
    members: new Map(members.map(({ path, role }) => [path, role])),
    engines: enginesOf(members),
    classic: !manifest,
    async read(path) {
      const opened = members.find(each => each.path === path);
      const found = opened && opened.offset >= 0 ? await read(file, opened) : "";
      return typeof found === "string" ? undefined : { offset: opened.offset, data: found };
    },
  });
}

/** Name and version of the engines whose builds are in a file, by place. */
export function enginesOf(members) {
  const builds = members.filter(({ role, path }) => role === "runtime" && buildName(path)).sort((a, b) => a.offset - b.offset);
  return [...new Map(builds.map(({ path }) => buildName(path)).map(({ engine, version }) => [`${engine}@${version}`, [engine, version]])).values()];
}
