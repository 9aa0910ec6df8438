// Whether an engine starts a model, told from the header alone (14.1.12): its own refusals, as the registry has them.
import LOADERS from "data:loaders";
import { textOf } from "./bytes.js";
import { finding } from "./findings.js";
import { TOKENS, arrayIn, integerIn, numberIn, stringsIn, textIn } from "./gguf.js";

const LONGEST_TOKEN = 1024;

export const keyOf = pin => `${pin.name}@${pin.version}`;
const loaderOf = pin => LOADERS.find(({ engine, tried }) => engine === pin.name && tried.includes(pin.version));

/** Does the engine know architectures of GGUF? One for other formats says nothing of one. */
const readsGguf = pin => pin.architectures.length > 0;

/** LF3310 to LF3318: why none of the pins that read GGUF starts a model; nothing if one does, or nobody tried one. `whole` says that it is a
 * model by itself, `source` holds it alone. */
export async function checkLoading(source, gguf, member, whole, pins) {
  const refusals = [];
  for (const pin of pins.filter(readsGguf)) {
    const loader = loaderOf(pin);
    refusals.push(loader ? await refusalsOf(source, gguf, member, whole, loader, keyOf(pin)) : []);
  }
  return refusals.every(each => each.length) ? refusals.reduce((least, each) => (least && least.length <= each.length ? least : each), undefined) || [] : [];
}

/** LF3312: weights of a time before GGUF, which every loader of the registry refuses. */
export function checkObsolete({ path, offset, size }, format, pins) {
  if (!pins.length || !pins.filter(readsGguf).every(loaderOf)) return [];
  return [finding("LF3312", { offset, length: size, member: path }, { path, format, runtimes: pins.map(keyOf).join(", ") })];
}

async function refusalsOf(source, gguf, member, whole, loader, runtimes) {
  const told = (rule, key, values, place) => {
    const entry = gguf.entries.get(key);
    const offset = member.offset + (place ?? (entry ? entry.offset : 0));
    return finding(rule, { offset, length: entry && entry.length, member: member.path, field: key }, { path: member.path, key, runtimes, ...values });
  };
  const findings = ofForm(gguf, loader, told);
  const number = integerIn(gguf, "split.no");
  const later = number > 0 && number < integerIn(gguf, "split.count"); // the first shard has the keys of all
  if (!whole || later) return findings;
  const named = name => name.replace("{arch}", () => textIn(gguf, "general.architecture", 64) || "");
  findings.push(...ofKeys(gguf, loader, named, told), ...ofTokenizer(gguf, loader, told));
  if (loader.distinct_tokens) findings.push(...(await ofTokens(source, gguf, told)));
  return findings;
}

/** What holds of every GGUF. */
function ofForm(gguf, loader, told) {
  const findings = [];
  const order = gguf.big ? "big" : "little";
  const wanted = loader.tensor_alignment;
  if (!loader.gguf_versions.includes(gguf.version)) findings.push(told("LF3310", "version", { version: gguf.version }, 4));
  if (order !== loader.byte_order) findings.push(told("LF3311", "version", { order, wanted: loader.byte_order }, 4));
  const placeOf = tensor => BigInt(gguf.dataOffset) + tensor.offset;
  const off = gguf.tensors.find(tensor => placeOf(tensor) % BigInt(wanted) !== 0n);
  if (off) findings.push(told("LF3318", off.name, { name: off.name, at: String(placeOf(off)), alignment: wanted }, off.place));
  return findings;
}

/** Keys that are needed, their types, and epsilons, of which only an architecture's code says which one it uses. */
function ofKeys(gguf, loader, named, told) {
  const findings = [];
  const { entries } = gguf;
  if (entries.has("general.architecture")) findings.push(...loader.needed.map(named).filter(key => !entries.has(key)).map(key => told("LF3315", key, {})));
  for (const [types, arrays] of [[loader.types, false], [loader.layer_types, true]])
    for (const [name, wanted] of Object.entries(types)) {
      const entry = entries.get(named(name));
      if (entry && entry.type !== wanted && !(arrays && entry.type === "ARRAY")) findings.push(told("LF3313", entry.key, { found: entry.type, wanted }));
    }
  for (const [name, wanted] of Object.entries(loader.array_types)) {
    const array = arrayIn(gguf, named(name));
    if (array && array.element !== wanted) findings.push(told("LF3313", name, { found: `array of ${array.element}`, wanted: `array of ${wanted}` }));
  }
  const epsilons = loader.epsilons.map(named).filter(key => numberIn(gguf, key) !== undefined);
  if (epsilons.every(key => !(numberIn(gguf, key) >= 0)))
    findings.push(...epsilons.map(key => told("LF3316", key, { found: Number(Number(numberIn(gguf, key)).toPrecision(6)) })));
  return findings;
}

function ofTokenizer(gguf, loader, told) {
  const tokenizer = textIn(gguf, "tokenizer.ggml.model", 64) || "";
  const tokens = arrayIn(gguf, TOKENS);
  if (!tokens || !Object.hasOwn(loader.tokenizers, tokenizer)) return [];
  const inside = id => id >= 0 && id < tokens.count;
  return Object.entries(loader.tokenizers[tokenizer])
    .map(([key, usual]) => [key, integerIn(gguf, key), usual])
    .filter(([, said, usual]) => !inside(said !== undefined && inside(said) ? said : usual))
    .map(([key, said]) => told("LF3317", key, { tokenizer, found: said === undefined ? "not there" : String(said), tokens: tokens.count }));
}

/** Two equal tokens: engines count them by their texts. Empty ones get names of their own before that. */
async function ofTokens(source, gguf, told) {
  const tokens = arrayIn(gguf, TOKENS);
  if (!tokens || tokens.element !== "STRING") return [];
  const seen = new Map();
  let second = 0;
  for await (const some of stringsIn(source, gguf, tokens, LONGEST_TOKEN))
    for (const token of some) {
      const first = seen.get(token);
      if (first === undefined) seen.set(token, second);
      else if (token && token.length < LONGEST_TOKEN) {
        const bytes = Uint8Array.from(token.slice(0, 64), character => character.charCodeAt(0));
        return [told("LF3314", TOKENS, { text: textOf(bytes) ?? token.slice(0, 64), first, second })];
      }
      second++;
    }
  return [];
}
