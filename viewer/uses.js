// What a file opens when it starts, of models and what goes with them (14.7): by names and places, never by what a member claims.
import { DIALECTS } from "./arguments.js";
import { namedMembers } from "./options.js";

const BY_ROLE = { weights: "model", projector: "projector", adapter: "adapter", draft: "draft" };
const SHARD = /^(.*)-[0-9]{5}-of-[0-9]{5}\.gguf$/;

/** What each member is opened as, of `model`, `projector`, `adapter` and `draft`: a Map of path and Set. `members` are in the order
 * of the file, `manifest` is undefined in a legacy llamafile; `options` are those of `.args`, in `dialect`. */
export function usesOf(members, manifest, options, dialect) {
  const paths = members.map(member => member.path);
  const uses = new Map();
  const add = (path, use) => uses.set(path, (uses.get(path) || new Set()).add(use));
  const withShards = path => {
    const stem = (SHARD.exec(path) || [])[1];
    return stem === undefined ? [path] : [path, ...paths.filter(other => (SHARD.exec(other) || [])[1] === stem)];
  };
  const given = options.filter(({ row }) => row && ["member", "members", "scaled"].includes(row.kind) && BY_ROLE[row.low]);
  const inside = (name, row) => {
    const bundled = name.startsWith("/zip/");
    const path = bundled ? name.slice(5) : name;
    const bare = !DIALECTS[dialect].bundles && /\.gguf$/i.test(name);
    return row && paths.includes(path) && (bundled || bare) ? path : undefined;
  };
  const last = {};
  for (const { row, values, name } of given)
    for (const part of values.length ? namedMembers(values[0], row.kind) : []) {
      const path = inside(part, row);
      last[BY_ROLE[row.low]] = { path };
      if (path !== undefined) for (const each of name === "--model" || row.low !== "weights" ? withShards(path) : [path]) add(each, BY_ROLE[row.low]);
    }
  const model = last.model ? undefined : defaultModel(members, manifest);
  if (model !== undefined) {
    for (const path of withShards(model)) add(path, "model");
    for (const role of ["projector", "adapter", "draft"]) {
      if (last[role] || (role === "projector" && switchedOff(options))) continue;
      const found = companions(members, manifest, role);
      for (const path of role === "adapter" ? found : found.slice(0, 1)) for (const each of withShards(path)) add(each, role);
    }
  }
  return uses;
}

function defaultModel(members, manifest) {
  if (!manifest) return (members.find(({ path }) => /\.gguf$/i.test(path) && !path.includes("mmproj")) || {}).path;
  if (members.some(({ path }) => path === manifest.default)) return manifest.default;
  return (members.find(({ role }) => role === "weights") || {}).path;
}

function companions(members, manifest, role) {
  if (manifest) return members.filter(member => member.role === role).map(({ path }) => path);
  return members.filter(({ path }) => role === "projector" && path.includes("mmproj") && /\.gguf$/i.test(path)).map(({ path }) => path);
}

/** True if the last of the options that are about a projector takes it away. */
function switchedOff(options) {
  const written = options.filter(({ row, name }) => row && name === "--mmproj-auto").map(option => option.written.replace(/_/g, "-"));
  return ["--no-mmproj", "--no-mmproj-auto"].includes(written[written.length - 1]);
}
