// Which engine of upstream's stands in a prefix (3.6): a literal that it prints, and what else bounds its version.
import RELEASES from "data:engine-releases";
import { byVersion } from "./arguments.js";
import { latin } from "./bytes.js";

const WINDOW = 1 << 20;
const OVERLAP = 64;
const BUDGET = 64 << 20;
const MOST_LITERALS = 64;
const LITERAL = new RegExp(`(?<![\\w-])(${RELEASES.families.join("|")}) v(\\d{1,3})\\.(\\d{1,3})\\.(\\d{1,3})(-dev)?(?!\\d)`, "g");
const COSMOPOLITAN = /Cosmopolitan (\d{1,2}\.\d{1,2}\.\d{1,2})\0/;
const SINCE = { "ggml-vulkan.so": [0, 10, 0], "ggml-vulkan.dll": [0, 10, 0], "llama.cpp/ggml/src/ggml-metal/ggml-metal.metal": [0, 10, 0] };
const UNTIL = { "llama.cpp/ggml-cuda.cu": [0, 9, 3], "llama.cpp/ggml-metal.metal": [0, 9, 3], "llamafile/schema.sql": [0, 9, 3] };
const LOADERS = { ".ape-1.8": [undefined, [0, 4, 1]], ".ape-1.9": [undefined, [0, 4, 1]], ".ape-1.10": [[0, 5, 0], undefined] };
const FOLDERS = ["llama.cpp/", "llamafile/", "whisper.cpp/", "stable-diffusion.cpp/", "ggml-"];

/** True if a name is that of a file which engines bring along (9.1.1). */
export function isEngineAsset(name) {
  return FOLDERS.some(folder => name.startsWith(folder));
}

/** `{family, version, atLeast, atMost}` of the engine in the first `size` bytes; undefined if nothing says that there is one. */
export async function engineIn(source, size, names, cache) {
  const { literals, toolchain } = await scan(source, Math.min(size, source.size, BUDGET));
  const engine = { family: "", version: undefined, atLeast: undefined, atMost: undefined };
  if (literals.length) Object.assign(engine, mostFrequent(literals));
  const bounds = names.filter(name => Object.hasOwn(SINCE, name)).map(name => [SINCE[name], undefined]);
  bounds.push(...names.filter(name => Object.hasOwn(UNTIL, name)).map(name => [undefined, UNTIL[name]]));
  if (!bounds.length && !literals.length) return undefined; // loader and toolchain alone prove nothing
  if (Object.hasOwn(LOADERS, cache)) bounds.push(LOADERS[cache]);
  const built = RELEASES.releases.filter(([, cosmocc]) => toolchain && cosmocc === toolchain).map(([version]) => versionOf(version)).sort(byVersion);
  if (built.length) bounds.push([built[0], built[built.length - 1]]);
  for (const [low, high] of bounds) {
    if (low && (!engine.atLeast || byVersion(low, engine.atLeast) > 0)) engine.atLeast = low;
    if (high && (!engine.atMost || byVersion(high, engine.atMost) < 0)) engine.atMost = high;
  }
  return engine;
}

async function scan(source, size) {
  const literals = new Map();
  let toolchain = "";
  for (let at = 0; at < size; at += WINDOW) {
    const text = latin(await source.read(at, Math.min(WINDOW + OVERLAP, size - at)));
    for (const found of text.matchAll(LITERAL)) if (literals.size < MOST_LITERALS) literals.set(at + found.index, found.slice(1, 6));
    toolchain = toolchain || (COSMOPOLITAN.exec(text) || [])[1] || "";
  }
  return { literals: [...literals.values()], toolchain };
}

function mostFrequent(literals) {
  const counts = new Map();
  for (const literal of literals) counts.set(literal.join(" "), [(counts.get(literal.join(" ")) || [0])[0] + 1, literal]);
  const [, [family, ...numbers]] = [...counts.values()].reduce((best, each) => (each[0] > best[0] ? each : best));
  return { family, version: numbers.slice(0, 3).map(Number) };
}

function versionOf(text) {
  return [...text.split(".").map(Number), 0, 0, 0].slice(0, 3);
}
