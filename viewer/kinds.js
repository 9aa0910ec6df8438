// What a GGUF is for, told from what it says and never from its name (7.9.1), and the roles that it may have.
import { arrayIn, integerIn, textIn } from "./gguf.js";

const DATA = ["document", "asset"];
const MODEL = ["weights", "draft"];
/** Roles of each kind; the words are those of reports. */
const ROLES = {
  "a model": MODEL, "a model shard": MODEL, "an adapter": ["adapter"], "a control vector": ["adapter"], "a projector": ["projector"], "an importance matrix": DATA,
  "a vocabulary only": ["tokenizer"], "a LoRA checkpoint": DATA, "a diffusion model": ["weights"], "an image decoder": DATA, "a speech model": ["weights"],
  "no model, adapter or projector": DATA,
};
const UNSURE = ["a vocabulary only", "no model, adapter or projector"];
const DIFFUSION = ["aura", "cosmos", "flux", "flux2", "hidream", "hyvid", "lens", "ltxv", "lumina2", "qwen_image", "sd1", "sd3", "sdxl", "wan", "z_image"];
const SPEECH = ["bark", "dia", "kokoro", "parler-tts", "whisper"];
const DECODERS = ["decoder", "decoder encoder", "decoder encoder post_quant_conv quant_conv"];

/** The first row of 7.9.1 that holds. */
function kindOf(gguf) {
  const declared = textIn(gguf, "general.type", 64);
  const architecture = textIn(gguf, "general.architecture");
  if (declared === "imatrix" || gguf.entries.has("imatrix.chunk_count")) return "an importance matrix";
  if (architecture === "controlvector") return "a control vector";
  if (declared === "adapter" || gguf.entries.has("adapter.type")) return "an adapter";
  if (declared === "mmproj" || architecture === "clip") return "a projector";
  if (integerIn(gguf, "split.count") > 1) return "a model shard";
  const other = noLanguageModel(gguf, architecture);
  if (other) return other;
  if (gguf.declaredTensors && architecture !== undefined) return "a model";
  return !gguf.declaredTensors && arrayIn(gguf, "tokenizer.ggml.tokens") ? "a vocabulary only" : "no model, adapter or projector";
}

function noLanguageModel({ tensors }, architecture) {
  if (tensors.some(({ name }) => /\.lora_(?:a|b|A\.weight|B\.weight|down\.weight|up\.weight)$/.test(name))) return "a LoRA checkpoint";
  if (DIFFUSION.includes(architecture) || tensors.some(({ name }) => /^(?:model\.diffusion_model|double_blocks|joint_blocks)\./.test(name))) return "a diffusion model";
  if (SPEECH.includes(architecture)) return "a speech model";
  const starts = [...new Set(tensors.map(({ name }) => name.split(".")[0]))].sort();
  const decodes = ["pig", "vae"].includes(architecture) || DECODERS.includes(starts.join(" ")) || starts.includes("first_stage_model");
  return decodes ? "an image decoder" : undefined;
}

/** Why a GGUF has no business under `role`: `{what, allowed}`; undefined if it has, or the part that was read does not tell. */
export function misplaced(gguf, role) {
  if (gguf.stopped === "fault") return undefined;
  const kind = kindOf(gguf);
  if ((gguf.stopped === "budget" && UNSURE.includes(kind)) || ROLES[kind].includes(role)) return undefined;
  return { what: `a GGUF that is ${kind}`, allowed: ROLES[kind].join(" or ") };
}
