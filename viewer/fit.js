// Whether the runtimes inside can do with the models (14.1.6, 14.1.7), told from headers and pins. Nothing is loaded or started.
import TYPE_NAMES from "data:type-names";
import { finding } from "./findings.js";
import { MEDIA_TYPES, OBSOLETE, formatOf } from "./formats.js";
import { headerOf, integerIn, textIn } from "./gguf.js";
import { MODEL_ROLES } from "./judged.js";
import { checkLoading, checkObsolete, keyOf } from "./loading.js";
import { partOf } from "./source.js";
import { checkTaken, checkTemplate } from "./taken.js";

const LOADED = ["weights", "draft"]; // roles that hold a whole model, whose architecture the engine must know
const SPLIT_NAME = /^([^\n]+)-([0-9]{5})-of-([0-9]{5})\.gguf$/;

/** All findings of what the pinned runtimes make of the models among `members`; `first` is the path of the one that starts. */
export async function checkFits(source, members, first, pins) {
  const findings = [];
  const shards = new Map();
  for (const member of members.filter(({ role, method, offset }) => MODEL_ROLES.has(role) && method === 0 && offset >= 0)) {
    const bytes = partOf(source, member.offset, member.size);
    const format = await formatOf(bytes);
    if (format !== "GGUF") {
      findings.push(...otherFormat(format, member, first, pins));
      continue;
    }
    const gguf = await headerOf(source, member);
    if (gguf.stopped) continue; // said already; what was read is not all
    const whole = LOADED.includes(member.role);
    findings.push(...checkFit(gguf, member, whole, pins), ...(await checkLoading(bytes, gguf, member, whole, pins)), ...checkTaken(gguf, member, pins));
    if (member.path === first) findings.push(...(await checkTemplate(bytes, gguf, member, pins)));
    if (whole) shards.set(member.path, { member, gguf });
  }
  return [...findings, ...checkShards(shards)];
}

/** LF3301 and LF3302: what no pin knows of a model. */
function checkFit(gguf, { path, offset }, whole, pins) {
  const runtimes = pins.map(keyOf).join(", ");
  const architecture = whole ? textIn(gguf, "general.architecture") : undefined;
  const fitting = pins.filter(pin => architecture === undefined || pin.architectures.includes(architecture));
  if (!fitting.length) {
    const entry = gguf.entries.get("general.architecture");
    const where = { offset: offset + entry.offset, length: entry.length, member: path, field: "general.architecture" };
    return [finding("LF3301", where, { path, architecture, runtimes })];
  }
  const used = new Map([...gguf.tensors].reverse().map(({ type, place }) => [type, place]));
  const types = [...used.keys()].sort((one, other) => one - other);
  if (fitting.some(pin => types.every(type => pin.tensor_types.includes(type)))) return [];
  return types
    .filter(type => fitting.some(pin => !pin.tensor_types.includes(type)))
    .map(type => finding("LF3302", { offset: offset + used.get(type), member: path, field: "type" }, { path, type: TYPE_NAMES[type] || `type ${type}`, runtimes }));
}

/** LF3312 for weights of a time before GGUF; LF3303 if the model that starts is in a format that no pin reads. */
function otherFormat(format, member, first, pins) {
  if (OBSOLETE.includes(format)) return checkObsolete(member, format, pins);
  const { path, offset, size, mediaType } = member;
  if (path !== first || pins.some(pin => pin.formats.includes(MEDIA_TYPES[format]))) return [];
  return [finding("LF3303", { offset, length: size, member: path }, { path, format: format || mediaType, runtimes: pins.map(keyOf).join(", ") })];
}

/** LF3306: shards that a runtime does not find, because it looks for them by the name of the first one. */
function checkShards(shards) {
  const findings = [];
  for (const [path, { member, gguf }] of shards) {
    const [number, count] = [integerIn(gguf, "split.no"), integerIn(gguf, "split.count")].map(value => (value === undefined ? value : Number(value)));
    if (!(count >= 2) || number === undefined) continue;
    const [, stem, own, all] = SPLIT_NAME.exec(path) || [];
    const unfound = reason => findings.push(finding("LF3306", { offset: member.offset, member: path }, { path, reason }));
    const digits = value => String(value).padStart(5, "0");
    if (Number(own) !== number + 1 || Number(all) !== count) {
      unfound(`it is shard ${number + 1} of ${count} and should be called NAME-${digits(number + 1)}-of-${digits(count)}.gguf`);
      continue;
    }
    const names = number === 0 ? Array.from({ length: count }, (_, index) => `${stem}-${digits(index + 1)}-of-${all}.gguf`) : [];
    const missing = names.find(name => !shards.has(name));
    if (missing) unfound(`${missing} is not beside it`);
  }
  return findings;
}
