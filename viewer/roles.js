// Roles: what a member is for, where it stands, how it lies (11.2, 4.5).
import { byCodePoints } from "./bytes.js";

const ORDER = [
  "readme", "document", "card", "license", "recipe", "source", "template", "arguments", "tokenizer", "asset", "runtime", "weights",
  "projector", "adapter", "draft", "behaviour", "publisher-signature", "history",
];
const RANK_OF_OTHERS = ORDER.length;
const RANKS = new Map([...ORDER.map((role, rank) => [role, rank]), ["chunks", RANK_OF_OTHERS + 1], ["manifest", RANK_OF_OTHERS + 2]]);
const KNOWN = new Set([...RANKS.keys(), "viewer", "recovery", "engine-asset"]);

export const MAPPED = new Set(["runtime", "weights", "projector", "adapter", "draft"]);
export const FIXED_PATHS = { viewer: "llamafile-viewer.html", recovery: "recovery/covered.par2" };

export function isKnownRole(role) {
  return KNOWN.has(role);
}

/** How two members are ordered in a file: negative, 0, positive. */
export function inFileOrder(one, other) {
  const rank = member => RANKS.get(member.role) ?? RANK_OF_OTHERS;
  return rank(one) - rank(other) || byCodePoints(one.path, other.path);
}

export function modeOf(role) {
  return role === "runtime" ? 0o100755 : 0o100644;
}

const LICENSES = ["license", "licence", "copying", "notice", "unlicense"];
const TOKENIZERS = new Set(["tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "tokenizer_config.json"]);
const CARDS = new Set(["model_card.md", "modelcard.md", "model-card.md", "card.md", "readme.md"]);

/** The role of a member of a legacy llamafile, which only its name tells (9.3). */
export function roleOfName(path) {
  const name = path.slice(path.lastIndexOf("/") + 1).toLowerCase();
  if (path.toLowerCase().endsWith(".gguf")) return "weights";
  if (path === ".args") return "arguments";
  if (LICENSES.some(stem => name.split(".")[0].startsWith(stem))) return "license";
  if (/\.(?:jinja|j2)$/.test(name)) return "template";
  if (CARDS.has(name)) return "card";
  if (/^llamafile\.ya?ml$/.test(name)) return "recipe";
  if (TOKENIZERS.has(name)) return "tokenizer";
  return /\.(?:md|txt|pdf|html|rst)$/.test(name) ? "document" : "asset";
}
