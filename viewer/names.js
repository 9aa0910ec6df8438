// What a member may be called, and which two names some file system would take for one (4.8).
import { textOf, utf8 } from "./bytes.js";

export const RESERVED_FOLDER = "META-LLAMAFILE/";
const MOST_BYTES = 1024;
const MOST_OF_A_COMPONENT = 255;
const FORBIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Cn}\p{Zl}\p{Zp}]/u;
const DEVICE = /^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])$/;
const STATE = /\.(?:journal|partial)$/;

/** Faults of a name, given as bytes: `[rule, why]` each; none if it is safe. */
export function nameFaults(bytes) {
  if (!bytes.length) return [["LF2033", "is empty"]];
  const decoded = textOf(bytes);
  const text = decoded ?? String.fromCharCode(...bytes.subarray(0, 4096));
  if (text === "-") return [["LF2033", "is a lone hyphen, which stands for no member in the chunk list"]];
  const parts = text.split("/");
  const inner = text.replace(/^\/+|\/+$/g, "").split("/");
  const faults = [];
  const check = (broken, rule, why) => broken && faults.push([rule, why]);
  check(decoded === undefined, "LF2033", "is not UTF-8");
  check(decoded !== undefined && text.normalize("NFC") !== text, "LF2035", "is not in Unicode normal form C");
  check(decoded === undefined ? /[\0-\x1f]/.test(text) : FORBIDDEN.test(text), "LF2033", "holds a control, direction or invisible character");
  check(text.includes("\\"), "LF2034", "holds a backslash");
  check(text.startsWith("/"), "LF2034", "is an absolute path");
  check(inner.some(part => part === "" || part === "." || part === ".."), "LF2034", "has an empty, '.' or '..' component");
  check(text.endsWith("/"), "LF2030", "ends in a slash, which makes it a folder");
  check(/[<>:"|?*]/.test(text) || inner.some(impossibleOnWindows), "LF2036", "cannot be a file name on Windows");
  check(bytes.length > MOST_BYTES || parts.some(part => utf8(part).length > MOST_OF_A_COMPONENT), "LF2037", "is too long");
  check(parts.some(part => STATE.test(folded(part))), "LF2044", "ends like a file that tools keep beside another (.journal, .partial)");
  return faults;
}

function impossibleOnWindows(part) {
  const stem = part.split(".")[0].replace(/ +$/, "").toLowerCase();
  return DEVICE.test(stem) || (/[. ]$/.test(part) && part !== "." && part !== "..");
}

/** Equal for two names that some file system takes for one: normal form D, full case folding, normal form C (4.8.3). */
export function folded(name) {
  if (/^[\0-\x7f]*$/.test(name)) return name.toLowerCase();
  return Array.from(name.normalize("NFD"), foldedCharacter).join("").normalize("NFC");
}

/** Full case folding of one character. Browsers have none; down, up and down again is the same but for one letter. */
function foldedCharacter(character) {
  return character === "ı" ? character : character.toLowerCase().toUpperCase().toLowerCase();
}

/** The folders that hold a name, outermost first, at most 63 deep. */
export function parentsOf(name) {
  const parts = name.split("/");
  return parts.slice(0, Math.min(parts.length, 64) - 1).map((_, index) => parts.slice(0, index + 1).join("/"));
}

/** `[index, index of an earlier name]` for each name that folds to an earlier one, or is a folder of one. */
export function collisions(names) {
  const first = new Map();
  const folders = new Map();
  const found = [];
  names.forEach((name, index) => {
    const key = folded(name);
    const above = parentsOf(key);
    const parent = above.find(folder => first.has(folder));
    const earlier = first.get(key) ?? folders.get(key) ?? (parent === undefined ? undefined : first.get(parent));
    if (earlier !== undefined) found.push([index, earlier]);
    if (!first.has(key)) first.set(key, index);
    for (const folder of above) if (!folders.has(folder)) folders.set(folder, index);
  });
  return found;
}

/** True if a name lies in the reserved folder, whatever its case, or is its name (4.8.4). */
export function isReserved(name) {
  return `${folded(name)}/`.startsWith(folded(RESERVED_FOLDER));
}

/** True if the engine's weights reader would take a name for that of weights (4.8.6). */
export function isWeightsName(name) {
  return name.length > 5 && /\.gguf$/i.test(name);
}

/** True if a name could pass for that of default arguments. */
export function isArgumentsName(name) {
  return /\.args$/i.test(name);
}
