// Findings about `.args`: its form, its dialect, and what its options ask for (3.8, 3.10).
import { parseArguments, sameArguments, DIALECTS } from "./arguments.js";
import { utf8 } from "./bytes.js";
import { finding } from "./findings.js";
import { grammarFault } from "./grammar.js";
import { chooseTable, objections, optionsOf } from "./options.js";
import { objectFault, schemaFault } from "./schema.js";

const NATIVE = { refused: "LF6119", unknown: "LF6120", value: "LF6121", file: "LF6122", stray: "LF6123", form: "LF6124", rest: "LF6125" };
const FOREIGN = new Map([
  ...Object.entries({ "--host": "LF6105", "--unsecure": "LF6106", "--trust": "LF6107", "--tools": "LF6108" }),
  ...["--db", "--path", "--www-root", "--slot-save-path", "--media-path", "--log-file"].map(name => [name, "LF6109"]),
  ...["--model-url", "--hf-repo", "--hf-file", "--rpc"].map(name => [name, "LF6110"]),
]);
const MODES = ["--server", "--chat", "--cli"];
const LOCAL = /^(?:127(?:\.[0-9]{1,3}){3}|localhost|\[?::1\]?)$/i;
const MOST_TOLD = 64;
const MOST_OPENED = 64;
const TEXTS = { grammar: grammarFault, schema: schemaFault, object: objectFault };

/** All findings about the arguments `data` at `base`. `members` are roles by path, `engines` name and version of the builds in the file;
 * `read(path)` gives `{offset, data}` of a member that an option opens, `classic` tells a legacy llamafile. */
export async function checkArguments(data, dialect, { base, member, members, engines, read, classic }) {
  const parsed = parseArguments(data, dialect, { base, member });
  if (parsed.tooLong) return parsed.findings;
  const whole = { offset: base, length: data.length, member };
  const findings = [...parsed.findings];
  if (parsed.rest === undefined) findings.push(finding("LF6101", whole));
  const other = dialect === "quoted" || dialect === "zip-quoted" ? "lines" : "quoted";
  if (!sameArguments(parsed, parseArguments(data, other))) findings.push(finding("LF6103", whole, { dialect, other }));
  const at = (rule, token, values) => finding(rule, { offset: base + token.offset, length: token.length, member }, values || { argument: token.text });
  for (const token of parsed.tokens) {
    if (/[\udc80-\udcff]/.test(token.text) && /\p{Cs}/u.test(token.text)) findings.push(at("LF6117", token));
    if (token.variables.length) findings.push(at("LF6111", token, { argument: token.text, names: token.variables.join(", ") }));
  }
  const { table, unknown } = chooseTable(dialect, engines);
  const options = optionsOf(parsed, table);
  const against = objections(options, members, dialect).filter(each => !isLocal(each));
  const place = { parsed, members, dialect, at, classic: classic || dialect !== "native" };
  findings.push(...against.slice(0, MOST_TOLD).map(each => told(each, place)));
  findings.push(...(await checkTexts(options, new Set(against.map(each => each.option)), place, read)));
  if (unknown.length && parsed.tokens.length) findings.push(finding("LF6127", whole, { engines: unknown.join(", ") }));
  return findings;
}

/** Listening where a server listens anyway is nothing to object to. */
function isLocal({ sort, option: { name, values } }) {
  return name === "--host" && values.length > 0 && LOCAL.test(values[0]) && (sort === "value" || sort === "form");
}

function told({ sort, option, reason }, place) {
  const token = place.parsed.tokens[option.first];
  const why = reason || (place.classic ? "it is not on the list" : "");
  const values = { option: option.written.slice(0, 200), value: (option.values[0] ?? "nothing").slice(0, 200), reason: why };
  if (!place.classic) return place.at(NATIVE[sort], token, values);
  if (option.name === "--host" && option.values.length) return place.at("LF6105", place.parsed.tokens[option.end - 1], { address: option.values[0] });
  if (FOREIGN.has(option.name)) return place.at(FOREIGN.get(option.name), token);
  if (MODES.includes(option.name) && !DIALECTS[place.dialect].bundles) return place.at("LF6118", token);
  const named = (sort === "file" || sort === "form") && option.row && option.row.kind === "member" && namedWeights(option, place);
  return named || place.at("LF6130", token, values);
}

/** Weights that an option of a classic engine names, and that are not there, or not named as it wants. */
function namedWeights(option, { parsed, members, dialect, at }) {
  const [value] = option.values;
  const token = parsed.tokens[option.end - 1];
  if (token.variables.length || value.includes("@")) return undefined;
  const bare = value.replace(/^\/zip\//, "");
  if (!members.has(bare)) return at("LF6102", token, { name: bare });
  const { bundles } = DIALECTS[dialect];
  if (!/\.gguf$/i.test(bare) || (bare !== value) === bundles) return undefined;
  return at("LF6115", token, { name: value, wanted: bundles ? `/zip/${bare}` : bare, dialect });
}

/** Grammars, schemas and objects: in the arguments themselves, or in a member that an option opens. Templates are chapter 7's. */
async function checkTexts(options, bad, { parsed, at }, read) {
  const findings = [];
  const opened = new Set();
  for (const option of options) {
    const { row, values, form, written } = option;
    if (bad.has(option) || !row || !["plain", "equals"].includes(form) || !values.length) continue;
    const kind = row.kind.replace(/-file$/, "");
    if (kind === row.kind) {
      const problem = Object.hasOwn(TEXTS, kind) ? TEXTS[kind](bytesOf(values[0])) : "";
      if (problem) findings.push(at("LF6126", parsed.tokens[option.end - 1], { option: written, problem }));
      continue;
    }
    const path = values[0].replace(/^\/zip\//, "");
    if (opened.has(`${kind} ${path}`)) continue;
    const unread = reason => findings.push(finding("LF9003", { member: path }, { path, reason }));
    if (opened.size >= MOST_OPENED) {
      unread(`${MOST_OPENED} others that arguments open stand before it`);
      return findings;
    }
    opened.add(`${kind} ${path}`);
    const found = await read(path);
    if (!found) unread("its text cannot be had");
    else if (Object.hasOwn(TEXTS, kind)) {
      const problem = TEXTS[kind](found.data);
      if (problem) findings.push(finding("LF6126", { offset: found.offset, length: found.data.length, member: path }, { option: written, problem }));
    }
  }
  return findings;
}

/** The bytes of an argument: what was no UTF-8 is none again. */
function bytesOf(text) {
  const parts = Array.from(text, one => (/^[\udc80-\udcff]$/.test(one) ? Uint8Array.from([one.charCodeAt(0) - 0xdc00]) : utf8(one)));
  return Uint8Array.from(parts.flatMap(part => [...part]));
}
