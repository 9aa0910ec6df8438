// What a member is by its bytes, and whether name, role and use agree with that (7.13, 10.5): a name, a role or a use only asks for more.
// Of weights only what tells their kind is looked at.
import { startsWith, ascii, latin, number } from "./bytes.js";
import { finding } from "./findings.js";
import { formatOf } from "./formats.js";
import { headerOf } from "./gguf.js";
import { insteadOf, pointerOf } from "./impostors.js";
import { misplaced } from "./kinds.js";
import { isKnownRole } from "./roles.js";
import { partOf } from "./source.js";

export const MODEL_ROLES = new Set(["weights", "projector", "adapter", "draft"]);
const CHECKED = new Set([...MODEL_ROLES, "template", "arguments", "behaviour"]);
const GGUF_TYPE = "application/x-gguf";
const PROMISES = [
  [/\.gguf$/, "GGUF"], [/\.safetensors$/, "safetensors"], [/\.onnx$/, "ONNX"], [/\.litertlm$/, "LiteRT-LM"], [/\.tflite$/, "TensorFlow Lite"],
  [/\.pte$/, "ExecuTorch"], [/\.ggml$/, "GGML (unversioned)"], [/\.(?:pt|pth|ckpt)$/, "a PyTorch checkpoint"], [/\.(?:pkl|pickle)$/, "a Python pickle"],
  [/^(?:pytorch_model.*|consolidated\..*)\.bin$/s, "a PyTorch checkpoint"], [/^ggml-.*\.bin$/s, "GGML (unversioned)"],
];

/** The format that the name of a file promises; empty if it promises none. */
export function promisedBy(path) {
  const name = path.slice(path.lastIndexOf("/") + 1).toLowerCase();
  const found = name.slice(1).includes(".") ? PROMISES.find(([pattern]) => pattern.test(name)) : undefined;
  return found ? found[1] : "";
}

/** `{findings, strange, format}` of one member; `strange` says that nobody reads it. `uses` are what it is opened as, of `model`, `projector`, `adapter` and `draft`; `listed` is true if a manifest
 * gives its role, and `budget` bounds the bytes of a header that are read. */
export async function judgeMember(source, member, uses, listed, budget) {
  const told = await judge(source, member, uses, listed, budget);
  return { findings: [], strange: [], format: "", ...told };
}

async function judge(source, member, uses, listed, budget) {
  const { path, role, mediaType, offset, size } = member;
  const where = offset < 0 ? { member: path } : { offset, length: size, member: path };
  const unread = reason => finding("LF9003", where, { path, reason });
  const promised = promisedBy(path);
  const wanted = promised || MODEL_ROLES.has(role) || mediaType === GGUF_TYPE || uses.length;
  if (offset < 0) return CHECKED.has(role) || wanted ? { findings: [unread("its data does not lie inside the file")] } : {};
  if (member.method !== 0) return wanted ? { findings: [unread("it is compressed")] } : {};
  const bytes = partOf(source, offset, size);
  const found = await formatOf(bytes);
  if (found) {
    const claims = listed && isKnownRole(role);
    const other = found !== "GGUF" && !MODEL_ROLES.has(role) && { what: found, allowed: "weights, adapter, projector or draft" };
    const wrong = claims && (found === "GGUF" ? misplaced(await headerOf(source, member, budget), role) : other);
    return { format: found, findings: wrong ? [finding("LF3034", where, { path, role, ...wrong })] : [] };
  }
  if (!wanted) {
    const pointer = await pointerOf(bytes);
    if (pointer) return { findings: [finding("LF3036", where, { path, what: "a pointer to a file that is not here", rule: pointer.rule })] };
    return role === "document" && mediaType === "application/octet-stream" ? { findings: [finding("LF3035", where, { path })] } : {};
  }
  const known = await recognised(bytes, path);
  if (!known && (await insteadOf(bytes))) return {}; // chapter 7 says so
  const other = promised || mediaType === GGUF_TYPE || (uses.length && !MODEL_ROLES.has(role));
  return other ? {} : { strange: [unread(`this version has no reader for ${known || mediaType}`)] };
}

/** A format of 7.18 that is told and not read; empty for none. */
async function recognised(source, path) {
  const head = await source.read(0, 1024);
  const text = latin(head);
  const name = path.slice(path.lastIndexOf("/") + 1);
  if (/^\x93NUMPY[\x01-\x03]/.test(text)) return "NumPy array";
  if (startsWith(head, ascii("PK\x03\x04")) && head.length >= 30 && text.slice(30, 30 + number(head, 26, 2)).endsWith(".npy")) return "NumPy archive";
  if (text.startsWith("ftrt")) return "TensorRT plan";
  if (head.length >= 16 && number(head, 0, 4) >= 2 && number(head, 0, 4) <= 6) {
    const length = number(head, 4, 2);
    const spec = text.slice(6, 6 + length);
    if (spec.length === length && /^[A-Z][A-Za-z0-9]{3,60}Spec\0$/.test(spec)) return "CTranslate2 model";
  }
  if (/^\s*(?:<\?xml[^>]{0,200}\?>\s*)?<net\s[^>]{0,512}\bversion="1[01]"/.test(text)) return "OpenVINO network";
  if (/^(?:ndarray-cache|tensor-cache|ndarray-cache-b16)\.json$/.test(name) && /^\s*\{\s*"(?:metadata|records)"\s*:/.test(text)) return "MLC parameters, list";
  return /^params_shard_[0-9]+\.bin$/.test(name) ? "MLC parameters, shard" : "";
}
