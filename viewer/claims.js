// What a manifest claims about itself (5.3.6 to 5.5): names, roles, order, prefix, default, offsets.
import { utf8 } from "./bytes.js";
import { finding } from "./findings.js";
import { CHUNKS_PATH, MANIFEST_PATH, layoutOf } from "./layout.js";
import { RESERVED_FOLDER, collisions, folded, isArgumentsName, nameFaults } from "./names.js";
import { isRegistered } from "./own.js";
import { FIXED_PATHS, MAPPED, inFileOrder, isKnownRole } from "./roles.js";

const KINDS = ["none", "ape", "launcher", "elf", "pe", "macho", "script", "other"];
const SHARD = /^(.+)-(\d{5})-of-(\d{5})\.gguf$/s;

function claim(rule, field, values) {
  return finding(rule, { member: MANIFEST_PATH, field }, { field, ...values });
}

/** All findings about what a manifest says. */
export function checkClaims(manifest) {
  return [...names(manifest), ...roles(manifest), ...order(manifest), ...prefixClaims(manifest), ...defaultModel(manifest), ...offsets(manifest)];
}

function names({ members, prefix }) {
  const assets = prefix.directory ? prefix.directory.assets : [];
  const paths = [MANIFEST_PATH, ...assets.map(asset => asset.path), ...members.map(member => member.path)];
  const field = index => (index <= assets.length ? `prefix.directory.assets[${index - 1}].path` : `members[${index - 1 - assets.length}].path`);
  const folders = new Set(assets.filter(asset => asset.path.endsWith("/") && !asset.size).map(asset => asset.path));
  const found = [];
  paths.forEach((path, index) => {
    const faults = nameFaults(utf8(folders.has(path) ? path.slice(0, -1) : path));
    if (faults.length) found.push(claim("LF3012", field(index), { path, reason: faults[0][1] }));
  });
  for (const [index, other] of collisions(paths)) found.push(claim("LF3013", field(index), { path: paths[index], other: paths[other] }));
  return found;
}

function roles({ members, prefix }) {
  const found = [];
  members.forEach(({ path, role, alignment, sha256 }, index) => {
    const field = `members[${index}].role`;
    const due = roleOfPlace(path, role);
    if (!isKnownRole(role)) found.push(claim("LF3010", field, { path, role }));
    if (due !== role) found.push(claim("LF3020", field, { path, role, allowed: due || "a role for files outside META-LLAMAFILE/" }));
    if ((role === "arguments") !== (path === ".args")) found.push(claim("LF3029", field, { path, role }));
    if (Object.hasOwn(FIXED_PATHS, role) && FIXED_PATHS[role] !== path) found.push(claim("LF3037", field, { path, role, allowed: FIXED_PATHS[role] }));
    if (role === "viewer" && !isRegistered(sha256)) found.push(claim("LF3038", `members[${index}].sha256`, { path, sha256 }));
    if (isKnownRole(role) && !MAPPED.has(role) && alignment !== 1) found.push(claim("LF3015", `members[${index}].alignment`, { found: alignment, allowed: "1 for this role" }));
  });
  if (!KINDS.includes(prefix.kind)) found.push(claim("LF3023", "prefix.kind", { kind: prefix.kind }));
  return found;
}

/** The role that a path in the reserved folder must have; elsewhere the member's own, unless it is a reserved one (5.4.6). */
function roleOfPlace(path, role) {
  if (path === "META-LLAMAFILE/README.txt") return "readme";
  if (path === CHUNKS_PATH) return "chunks";
  if (path.startsWith("META-LLAMAFILE/history/")) return "history";
  if (folded(path).startsWith(folded(RESERVED_FOLDER))) return isKnownRole(role) ? "" : role;
  return ["readme", "chunks", "manifest", "history", "engine-asset"].includes(role) ? "" : role;
}

function order({ members }) {
  const found = [];
  for (let index = 1; index < members.length; index++)
    if (inFileOrder(members[index], members[index - 1]) < 0)
      found.push(claim("LF3014", `members[${index}]`, { path: members[index].path, before: members[index - 1].path }));
  const last = members[members.length - 1];
  if (!last || last.path !== CHUNKS_PATH) found.push(claim("LF3019", "members", { found: last ? last.path : "nothing" }));
  return found;
}

function prefixClaims({ prefix }) {
  const found = [];
  if ((prefix.kind === "none") !== (prefix.size === 0))
    found.push(claim("LF3017", "prefix.kind", { found: `${prefix.kind} with ${prefix.size} bytes`, allowed: "none with 0 bytes" }));
  const { directory } = prefix;
  if (!directory) return found;
  directory.assets.forEach(({ path }, index) => isArgumentsName(path) && found.push(claim("LF3030", `prefix.directory.assets[${index}].path`, { path })));
  const end = directory.offset + directory.size;
  if (end > prefix.engineSize) found.push(claim("LF3026", "prefix.directory", { reason: `[${directory.offset}, ${end}) leaves the engine's ${prefix.engineSize} bytes` }));
  return found;
}

function defaultModel(manifest) {
  const weights = manifest.members.filter(member => member.role === "weights").map(member => member.path);
  const named = manifest.default;
  const found = [];
  if (named && !weights.includes(named)) found.push(claim("LF3018", "default", { found: named, allowed: "the path of a member with role weights" }));
  const shard = SHARD.exec(named);
  const first = shard && `${shard[1]}-00001-of-${shard[3]}.gguf`;
  if (shard && Number(shard[2]) > 1 && weights.includes(first)) found.push(claim("LF3018", "default", { found: named, allowed: `the first shard, ${first}` }));
  if (!named && weights.length) found.push(claim("LF3018", "default", { found: "nothing", allowed: `one of ${weights.slice(0, 4).join(", ")}` }));
  return found;
}

function offsets(manifest) {
  const layout = layoutOf(manifest);
  if (!layout) return [];
  const found = [];
  [...layout.members, layout.chunks].forEach((place, index) => {
    const { path, offset, size } = manifest.members[index];
    if (offset !== place.data) found.push(claim("LF3016", `members[${index}].offset`, { path, found: offset, allowed: place.data }));
    if (size !== place.size) found.push(claim("LF3016", `members[${index}].size`, { path, found: size, allowed: place.size }));
  });
  return found;
}
