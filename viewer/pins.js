// Pins of builds, read strictly (14.5.2): every field known, of its kind, and in agreement with the others.
import { textOf } from "./bytes.js";
import { parseYaml } from "./yaml.js";

export const MOST_PIN = 1 << 20;
const WORD = /^[A-Za-z0-9](?:[A-Za-z0-9._+-]*[A-Za-z0-9])?$/;
const TARGET = /^[a-z0-9]+-[a-z0-9_]+$/;
const HEX = /^[0-9a-f]{64}$/;
const FLAVOURS = ["native", "reference", "gpu"];

/** A field that is wrong. */
export class BadPin extends Error {}

const isMap = value => typeof value === "object" && value !== null && !Array.isArray(value);
const text = pattern => value => typeof value === "string" && value !== "" && (!pattern || pattern.test(value));
const texts = value => Array.isArray(value) && value.every(item => typeof item === "string");
const whole = value => Number.isInteger(value) && value >= 0;
const flag = value => typeof value === "boolean";
const table = value => isMap(value) && Object.values(value).every(item => typeof item === "string");
const flavour = value => FLAVOURS.includes(value);
const inside = value => text()(value) && !value.startsWith("/") && !value.split("/").includes("..") && !value.includes("\\");
const many = fields => value => Array.isArray(value) && value.every(item => shaped(item, fields));
const one = fields => value => shaped(value, fields);
const keyed = fields => value => isMap(value) && Object.entries(value).every(([name, item]) => flavour(name) && shaped(item, fields));

/** Fields by name; one whose name ends in `?` may be absent. */
const VARIANT = { zig: text(), "imports?": texts, "loader?": text(), "minimum?": text(), "tested?": text() };
const PAGE = { sha256: text(HEX), size: whole, file: inside, reproducible: flag };
const UPSTREAM = { url: text(), commit: text(/^[0-9a-f]{40}$/), release: text(), folder: text(), tree: text(/^swh:1:dir:[0-9a-f]{40}$/) };
const ORIGIN = { url: text(), commit: text(/^[0-9a-f]{7,40}$/), release: text() };  // of what others built (14.9.2)
const PUBLISHED = { url: text(), release: text() };  // of wheels, which name no commit (14.10.2)
const SOURCES = { "built": UPSTREAM, "native-library": ORIGIN, "python-wheels": PUBLISHED };
const WHEEL = /^[A-Za-z0-9][A-Za-z0-9._+]*(?:-[A-Za-z0-9][A-Za-z0-9._+]*){4}\.whl$/;
const PIN = {
  format: value => value === "llamafile-runtime/1",
  name: text(WORD),
  version: text(WORD),
  "kind?": value => typeof value === "string" && Object.hasOwn(SOURCES, value),
  title: text(),
  "logits_as?": texts,
  upstream: value => Object.values(SOURCES).some(fields => one(fields)(value)),
  "inputs?": many({
    id: text(WORD), name: text(WORD), version: text(WORD), file: text(/^[^/\\]+$/), sha256: text(HEX), size: whole, "parts?": texts,
    "swhid?": text(/^swh:1:cnt:[0-9a-f]{40}$/), "urls?": texts,
  }),
  "own?": many({ id: text(WORD), path: text(), swhid: text(/^swh:1:(?:dir|cnt):[0-9a-f]{40}$/) }),
  "libraries?": many({ target: text(TARGET), name: text(WORD), input: text(WORD), "member?": text(), sha256: text(HEX), size: whole }),
  "formats?": texts,
  recipe: one({
    version: whole, host: text(TARGET), "uses?": texts, project: text(), goal: text(), "tools?": table, "definitions?": table, "toolchain?": table,
    "flags?": texts, "link?": texts,
  }),
  "page?": one({ "uses?": texts, source: text(), lock: text(HEX), own: text(), node: text(), npm: text(), "environment?": table }),
  "shader_recipe?": one({ "uses?": texts, source: text(), "compiler?": texts, "glslc?": texts, "features?": texts }),
  flavours: keyed({ "uses?": texts, "processor?": text(), "functions?": texts, "definitions?": table, "flags?": texts }),
  "targets?": many({
    name: text(TARGET), zig: text(), system: text(), processor: text(), result: text(), "flavours?": value => Array.isArray(value) && value.every(flavour),
    "flags?": texts, "link?": texts, "toolchain?": table, "imports?": texts, "loader?": text(), "minimum?": text(), "tested?": text(),
    "variants?": keyed(VARIANT), "gpu_in?": flavour,
  }),
  "builds?": many({ target: text(TARGET), flavour, sha256: text(HEX), size: whole, file: inside }),
  "webui?": one(PAGE),
  "shaders?": one(PAGE),
  "licences?": many({ component: text(), spdx: text(), text: inside, "targets?": texts }),
  type_registry: text(WORD),
  "tensor_types?": value => Array.isArray(value) && value.every(whole),
  "architectures?": texts,
};

function shaped(value, fields) {
  if (!isMap(value)) return false;
  const known = new Set(Object.keys(fields).map(name => name.replace("?", "")));
  if (Object.keys(value).some(name => !known.has(name))) return false;
  return Object.entries(fields).every(([name, holds]) => {
    const field = name.replace("?", "");
    return field in value ? holds(value[field]) : name.endsWith("?");
  });
}

/** The pin in `data`, the member `path`: fields as they stand there, lists empty where they are absent. Throws BadPin. */
export function readPin(data, path) {
  const written = data.length <= MOST_PIN ? textOf(data) : undefined;
  if (written === undefined) throw new BadPin(data.length > MOST_PIN ? `it has ${data.length} bytes, more than ${MOST_PIN}` : "it is not UTF-8");
  let pin;
  try {
    pin = parseYaml(written);
  } catch (error) {
    throw new BadPin(error.message);
  }
  if (!isMap(pin)) throw new BadPin("it is no mapping");
  for (const [name, holds] of Object.entries(PIN)) {
    const field = name.replace("?", "");
    if (field in pin ? !holds(pin[field]) : !name.endsWith("?")) throw new BadPin(`${field} is wrong`);
  }
  const unknown = Object.keys(pin).find(name => !(name in PIN) && !(`${name}?` in PIN));
  if (unknown !== undefined) throw new BadPin(`${unknown} is no field here`);
  for (const name of ["libraries", "inputs", "own", "targets", "builds", "licences", "logits_as", "formats", "tensor_types", "architectures"]) pin[name] = pin[name] || [];
  agree(pin);
  if (path !== `runtimes/${pin.name}/${pin.version}/runtime.yaml`) throw new BadPin(`it is the pin of ${pin.name}@${pin.version}`);
  return pin;
}

/** What one field says of another holds. */
function agree(pin) {
  const lists = [
    [...pin.inputs, ...pin.own].map(each => each.id), pin.targets.map(each => each.name), pin.builds.map(each => `${each.flavour}/${each.target}`), pin.logits_as,
    pin.libraries.map(each => `${each.target}/${each.name}`),
  ];
  if (lists.some(names => new Set(names).size < names.length)) throw new BadPin("a name is there twice");
  for (const { target: name, flavour: kind } of pin.builds) {
    const target = pin.targets.find(each => each.name === name);
    if (!target || !(target.flavours || []).includes(kind)) throw new BadPin(`builds has ${kind}/${name}, which targets does not`);
  }
  for (const target of pin.targets) {
    const flavours = target.flavours || [];
    const variants = target.variants || {};
    if ([target, ...Object.values(variants)].some(each => !namesTarget(each.zig, target.name))) throw new BadPin(`the compiler's triple for ${target.name} is another`);
    if (Object.keys(variants).some(name => !flavours.includes(name))) throw new BadPin(`${target.name} has a variant that is no flavour of it`);
    if (target.gpu_in && (!flavours.includes(target.gpu_in) || flavours.includes("gpu"))) throw new BadPin(`gpu_in of ${target.name} cannot be`);
  }
  const wheels = pin.kind === "python-wheels";
  const prebuilt = wheels || pin.kind === "native-library";
  if (prebuilt !== pin.libraries.length > 0) throw new BadPin("libraries do not go with its kind");
  if (!one(SOURCES[pin.kind || "built"])(pin.upstream)) throw new BadPin("upstream does not go with its kind");
  const known = ({ target, input }) => pin.targets.some(each => each.name === target) && pin.inputs.some(each => each.id === input);
  if (!pin.libraries.every(known)) throw new BadPin("libraries names a target or an input that is not there");
  const isWhole = each => {
    const whole = pin.inputs.find(input => input.id === each.input);
    return !("member" in each) && WHEEL.test(each.name) && each.sha256 === whole.sha256 && each.size === whole.size;
  };
  if (wheels ? !pin.libraries.every(isWhole) : pin.libraries.some(each => !("member" in each))) throw new BadPin("libraries do not go with its kind");
  if (prebuilt && !pin.builds.every(build => pin.libraries.some(each => each.target === build.target))) throw new BadPin("a build has no library");
  if (pin.logits_as.some(version => version === pin.version || !WORD.test(version))) throw new BadPin("logits_as names no other version");
}

/** Is the compiler's triple, such as `x86_64-linux-gnu.2.17`, one for a target? */
function namesTarget(zig, target) {
  const [machine, ...rest] = zig.split("-");
  const system = (rest[0] || "").split(".")[0];
  return target === `${system}-${machine}` || target === `${machine}-${system}`;
}

/** What a pin says of the system that builds of a target and flavour are for; undefined if it has none (14.5.9). */
export function targetOf(pin, name, kind) {
  const target = pin.targets.find(each => each.name === name);
  if (!target || !(target.flavours || []).includes(kind)) return undefined;
  const { imports = [], loader = "", minimum = "" } = (target.variants || {})[kind] || target;
  return { name, imports, loader, minimum, functions: (pin.flavours[kind] || {}).functions || [] };
}
