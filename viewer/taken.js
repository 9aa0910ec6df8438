// What an engine refuses at its start whatever the model is: adapters and projectors (14.1.9), and words of the model's own template (14.1.10).
import PROJECTORS from "data:projectors";
import { finding } from "./findings.js";
import { textIn } from "./gguf.js";
import { keyOf } from "./loading.js";
import { notTaken } from "./templates.js";

const TEMPLATE = "tokenizer.chat_template";
const MOST_TEMPLATE = (256 << 10) + 1;
const PARSERS = ["llama.cpp@0.3.36", "llama.cpp@0.3.36+1", "llama.cpp@0.3.36+2"];
const [LOW, HIGH] = [".lora_a", ".lora_b"];

/** LF3308: nothing if one of the engines is unknown here, or the header was not read whole. */
export function checkTaken(gguf, { path, role, offset }, pins) {
  if (gguf.stopped || !pins.every(pin => PROJECTORS.known_to.includes(keyOf(pin)))) return [];
  const reasons = role === "adapter" ? ofAdapter(gguf) : role === "projector" ? ofProjector(gguf) : [];
  const entry = gguf.entries.get("general.type");
  const where = { offset: offset + (entry ? entry.offset : 0), length: entry && entry.length, member: path, field: "general.type" };
  return reasons.map(reason => finding("LF3308", where, { path, reason, runtimes: pins.map(keyOf).join(", ") }));
}

function ofAdapter(gguf) {
  const [declared, type] = [textIn(gguf, "general.type", 64), textIn(gguf, "adapter.type", 64)];
  if (declared !== "adapter") return [`its general.type is ${declared || "missing"}, not adapter`];
  if (type !== "lora") return [`its adapter.type is ${type || "missing"}, not lora`];
  const names = new Set(gguf.tensors.map(({ name }) => name));
  for (const name of [...names].sort()) {
    const [stem, end] = [name.slice(0, -LOW.length), name.slice(-LOW.length)];
    if (end !== LOW && end !== HIGH) {
      if (!name.endsWith("_norm.weight")) return [`the tensor ${name} ends neither in ${LOW} nor in ${HIGH}`];
    } else if (!names.has(stem + (end === LOW ? HIGH : LOW))) return [`the tensor ${name} has no partner`];
  }
  return [];
}

function ofProjector(gguf) {
  const common = textIn(gguf, "clip.projector_type", 64);
  const has = modality => (gguf.entries.get(`clip.has_${modality}_encoder`) || {}).value === true;
  const types = new Set(["vision", "audio"].filter(has).map(modality => common || textIn(gguf, `clip.${modality}.projector_type`, 64) || ""));
  if (!types.size) return ["it has neither an encoder for images nor one for sound"];
  return [...types].filter(type => !PROJECTORS.types.includes(type)).map(type => `its projector type is ${type || "missing"}`);
}

/** LF3309: the template of the model that starts, in words that the engines do not parse. `source` holds the model alone. */
export async function checkTemplate(source, gguf, { path, role, offset }, pins) {
  const entry = gguf.entries.get(TEMPLATE);
  if (role !== "weights" || !entry || entry.type !== "STRING" || !pins.every(pin => PARSERS.includes(keyOf(pin)))) return [];
  const { offset: place, length } = entry.value;
  const found = notTaken(await source.read(place, Math.min(length, MOST_TEMPLATE)));
  const where = found && { offset: offset + place + found.at, member: path, field: TEMPLATE };
  return found ? [finding("LF3309", where, { path, what: found.what, runtimes: pins.map(keyOf).join(", ") })] : [];
}
