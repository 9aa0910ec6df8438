// The record of a file: what it says of itself, unproven.
import { printable } from "../escape.js";
import { element } from "./dom.js";
import { size } from "./words.js";

const KINDS = { container: "a llamafile", legacy: "a legacy llamafile: no manifest, no digests", other: "not a llamafile" };

const FRONTS = { none: "", other: "of no known kind" };

/** A list of name and value of everything that is worth knowing at once. */
export function recordList(file) {
  const { manifest, source } = file;
  const rows = [["File", source.name], ["Size", size(source.size)], ["This is", KINDS[file.kind]]];
  if (manifest) rows.push(...manifestRows(file));
  else if (file.kind === "legacy") rows.push(["Program in front", FRONTS[file.facts.kind] ?? file.facts.kind]);
  const made = rows.filter(([, value]) => value).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, printable(value))));
  return element("dl", { class: "record" }, ...made);
}

function manifestRows({ manifest, digest, form }) {
  const { prefix, members } = manifest;
  const builds = members.filter(member => member.role === "runtime").length;
  const front = prefix.kind === "none" ? "none: the file starts nothing by itself" : `${prefix.kind}, ${size(prefix.size)}`;
  return [
    ["Name", manifest.name || "not stated"],
    ["Licence", manifest.license || "not stated"],
    ["Source", manifest.source],
    ["Made", manifest.created],
    ["Model that starts", manifest.default],
    ["Format", `version ${manifest.version}, profile ${manifest.profile}`],
    ["Program in front", form === "polyglot" ? front : `${front}, converted to ${form}`],
    ["Builds inside", builds ? String(builds) : ""],
    ["Repacked", times(manifest.history.length)],
    ["Manifest SHA-256", digest],
  ];
}

function times(count) {
  return count ? (count === 1 ? "once" : `${count} times`) : "";
}
