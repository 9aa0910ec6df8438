// Formats of weights, told by their first bytes (7.13.1). Nothing is read but those, and a name never counts.
import { ascii, latin, number, startsWith } from "./bytes.js";

/** Formats of a time before GGUF, which engines gave up. */
export const OBSOLETE = ["GGML (unversioned)", "GGMF", "GGJT", "GGLA (a LoRA adapter)"];
export const MEDIA_TYPES = {
  safetensors: "application/x-safetensors", ONNX: "application/x-onnx", "LiteRT-LM": "application/x-litertlm", "TensorFlow Lite": "application/x-tflite",
  ExecuTorch: "application/x-executorch", "a PyTorch checkpoint (ZIP with a pickle)": "application/x-pytorch", "a Python pickle": "application/x-pickle",
};
const OLD = { lmgg: ["GGML (unversioned)", 1 << 22], fmgg: ["GGMF", 1], tjgg: ["GGJT", 3], algg: ["GGLA (a LoRA adapter)", 1] };
const ONNX_FIELDS = new Set([1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26]);

/** The format that a source begins like; empty if it is none of those that are known. */
export async function formatOf(source) {
  const head = await source.read(0, 128);
  const text = latin(head);
  if (text.startsWith("GGUF")) return "GGUF";
  const old = source.size >= 32 && Object.hasOwn(OLD, text.slice(0, 4)) && OLD[text.slice(0, 4)];
  if (old && number(head, 4, 4) >= 1 && number(head, 4, 4) <= old[1]) return old[0];
  if (text.startsWith("LITERTLM")) return "LiteRT-LM";
  if (text.startsWith("TFL3", 4)) return "TensorFlow Lite";
  if (text.startsWith("ET12", 4) || text.startsWith("ET13", 4)) return "ExecuTorch";
  const length = head.length >= 10 ? number(head, 0, 8) : 0;
  if (length >= 2 && length <= source.size - 8 && /^\{["} \n]/.test(text.slice(8))) return "safetensors";
  if (startsWith(head, ascii("PK\x03\x04"))) {
    const first = head.length < 30 ? "" : text.slice(30, 30 + number(head, 26, 2));
    return /\/(?:data\.pkl|\.format_version)$/.test(first) ? "a PyTorch checkpoint (ZIP with a pickle)" : "";
  }
  if (/^\x80[\x02-\x05][}\](c\x8a\x95X\x8c\x8d]/.test(text) && head.length > 3) return "a Python pickle";
  return (await isOnnx(source)) ? "ONNX" : "";
}

/** An outermost message that begins with a version and has a graph, all fields of the types that ONNX gives them. */
async function isOnnx(source) {
  let graph = false;
  for (let at = 0, row = 0; row < 64 && at < source.size; row++) {
    const piece = await source.read(at, 24);
    const [key, used] = varint(piece, 0);
    const [value, end] = varint(piece, used);
    if (!used || !end || (row === 0 && (key !== 8 || value < 1 || value > 64))) return false;
    const [field, wire] = [Math.floor(key / 8), key % 8];
    if (wire !== (field === 1 || field === 5 ? 0 : 2) || !ONNX_FIELDS.has(field)) return false;
    graph = graph || field === 7;
    at += end + (wire === 2 ? value : 0);
    if (at > source.size) return false;
  }
  return graph;
}

/** A number in base 128 at `at`, and where it ends; 0 and 0 if it does not end in `data`. */
function varint(data, at) {
  let value = 0;
  for (let index = at; index < Math.min(data.length, at + 10); index++) {
    value += (data[index] & 0x7f) * 2 ** (7 * (index - at));
    if (data[index] < 0x80) return [value, index + 1];
  }
  return [0, 0];
}
