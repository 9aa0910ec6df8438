// What options `.args` may hold (3.10): tables of the registry, arguments as options, and what speaks against each.
import REGISTRY from "data:arguments";
import { DIALECTS } from "./arguments.js";

const BUNDLE = "/zip/";
const FILES = new Set(["member", "members", "scaled", "template-file", "grammar-file", "schema-file"]);
const INLINE = new Set(["template", "grammar", "schema", "object"]);
const INTEGER = /^-?[0-9]{1,18}$/;
const REAL = /^-?[0-9]{1,18}(?:\.[0-9]{1,18})?$/;
const BIAS = /^[0-9]{1,9}[+-]([0-9]{1,18}(?:\.[0-9]{1,18})?)$/;
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} \n\t]*$/u;
const MOST_WORDS = 32;

/** The table that judges arguments in `dialect`, read by `engines` (pairs of name and version); `unknown` are those without one. */
export function chooseTable(dialect, engines) {
  const mine = REGISTRY.tables.filter(row => row[0] === dialect);
  const all = REGISTRY.tables.map(row => row[3]);
  let wanted = [];
  const unknown = [];
  for (const [engine, version] of engines) {
    const fitting = mine.filter(row => [engine, "any"].includes(row[1]) && [version, "any"].includes(row[2])).map(row => row[3]);
    wanted.push(...fitting);
    if (!fitting.length) unknown.push(`${engine}@${version}`);
  }
  if (unknown.length) wanted = all;
  const names = [...new Set(wanted.length ? wanted : mine.map(row => row[3]))];
  return { table: names.map(tableOf).reduce(common), unknown: [...new Set(unknown)] };
}

function tableOf(names) {
  return tabled(names.split(" ").flatMap(name => REGISTRY.rows[name]).map(([spellings, values, verdict, kind, low, high]) =>
    ({ names: spellings.split(" "), values, allowed: verdict === "allowed", kind, low, high })));
}

function tabled(rows) {
  return { rows, byName: new Map(rows.flatMap(row => row.names.map(name => [name, row]))) };
}

/** What two tables have in common (3.10.2). */
function common(first, second) {
  const rows = [];
  for (const row of first.rows) {
    const pairs = new Map();
    for (const name of row.names) {
      const other = second.byName.get(name);
      const both = other && inBoth(row, other);
      if (both) pairs.set(other, [both, [...(pairs.has(other) ? pairs.get(other)[1] : []), name]]);
    }
    for (const [both, names] of pairs.values()) rows.push({ ...both, names });
  }
  return tabled(rows);
}

function inBoth(one, other) {
  if (one.values !== other.values) return undefined;
  if (!(one.allowed && other.allowed)) return one.allowed ? other : one;
  if (one.kind !== other.kind) return { ...one, allowed: false, kind: "mode" };
  if (one.kind === "integer" || one.kind === "real") return { ...one, low: Math.max(one.low, other.low), high: Math.min(one.high, other.high) };
  if (["word", "words", "letters"].includes(one.kind)) return { ...one, low: wordsOf(one).filter(word => wordsOf(other).includes(word)).join(" ") };
  return one;
}

const wordsOf = row => String(row.low).split(" ").filter(Boolean);
const normal = argument => (argument.startsWith("--") ? argument.replace(/_/g, "-") : argument);
const nameOf = row => row.names.find(name => name.startsWith("--")) || row.names[0];

/** Arguments as the engine's parser takes them (3.10.3): `{name, written, row, values, first, end, form}` each. */
export function optionsOf({ tokens, rest }, table) {
  const texts = tokens.map(token => token.text);
  const found = [];
  for (let at = 0; at < texts.length; ) {
    const option = optionAt(texts, at, table);
    if (rest !== undefined && option.first < rest && rest < option.end) option.form = "split";
    found.push(option);
    at = option.end;
  }
  return found;
}

function optionAt(texts, at, table) {
  const text = texts[at];
  const row = table.byName.get(normal(text));
  const base = { written: text, first: at, end: at + 1, values: [], form: "plain" };
  if (row) {
    const end = at + 1 + row.values;
    return { ...base, name: nameOf(row), row, values: texts.slice(at + 1, end), end: Math.min(end, texts.length), form: end <= texts.length ? "plain" : "cut" };
  }
  if (!text.startsWith("-")) return { ...base, name: text, form: "stray" };
  const equals = text.indexOf("=");
  if (equals >= 0) {
    const written = text.slice(0, equals);
    const known = table.byName.get(normal(written));
    return { ...base, name: known ? nameOf(known) : normal(written), written, row: known, values: [text.slice(equals + 1)], form: "equals" };
  }
  const takes = at + 1 < texts.length && !texts[at + 1].startsWith("-");
  return { ...base, name: normal(text), values: takes ? [texts[at + 1]] : [], end: at + 1 + takes };
}

/** What speaks against options: `{sort, option, reason}`. `members` are roles by path. */
export function objections(options, members, dialect) {
  return options.flatMap(option => {
    const { row, form } = option;
    const against = (sort, reason = "") => [{ sort, option, reason }];
    if (form === "stray") return against("stray");
    if (!row) return against("unknown");
    if (!row.allowed) return against("refused", (REGISTRY.reasons.find(([word]) => word === row.kind) || [row.kind, row.kind])[1]);
    if (form === "equals") return against("form", "option and value are two arguments");
    if (form === "split") return against("rest", "the user's own arguments would stand between it and its value");
    if (form === "cut") return against("value", "a value follows it");
    if (!row.values) return [];
    const [value] = option.values;
    if (FILES.has(row.kind)) {
      const why = fileFault(value, row, members, DIALECTS[dialect].bundles);
      return why ? against("file", why) : [];
    }
    if (value.startsWith("-") && !REAL.test(value)) return against("value", "a value that does not begin with a dash");
    const why = INLINE.has(row.kind) ? "" : valueFault(value, row);
    return why ? against("value", why) : [];
  });
}

/** What a value of a kind of file names: one member, or several behind commas, each with its scale. */
export function namedMembers(value, kind) {
  if (kind === "members") return value.split(",");
  return kind === "scaled" ? value.split(",").map(part => part.slice(0, Math.max(0, part.lastIndexOf(":")))) : [value];
}

function fileFault(value, row, members, bundles) {
  const wanted = `${BUNDLE}NAME of a member with role ${row.low}`;
  if (value.includes('"') && row.kind !== "member") return wanted; // quotes mean something to the engine's reader of lists
  for (const name of namedMembers(value, row.kind)) {
    const bundled = name.startsWith(BUNDLE);
    const bare = !bundles && /\.gguf$/i.test(name);
    if (bundled === bare || members.get(bundled ? name.slice(BUNDLE.length) : name) !== row.low) return wanted;
    if (row.kind === "scaled" && name.includes(":")) return wanted;
  }
  const scales = row.kind === "scaled" ? value.split(",").map(part => part.slice(part.lastIndexOf(":") + 1)) : [];
  return scales.every(scale => REAL.test(scale)) ? "" : `${wanted}, a colon, and a number`;
}

/** What is allowed instead of a value; empty if it is allowed. */
function valueFault(value, row) {
  const { kind, low, high } = row;
  const characters = Array.from(value);
  if (kind === "integer" || kind === "real") {
    const inside = (kind === "integer" ? INTEGER : REAL).test(value) && low <= Number(value) && Number(value) <= high;
    return inside ? "" : `${kind === "real" ? "a number" : "an integer"} from ${low} to ${high}`;
  }
  const words = wordsOf(row);
  if (kind === "word") return words.includes(value) ? "" : words.join(" or ");
  if (kind === "words") {
    const given = value.split(high);
    return given.length <= MOST_WORDS && given.every(word => words.includes(word)) ? "" : `words of ${words.join(" ")}, separated by ${high}`;
  }
  if (kind === "letters") {
    const fits = characters.length && new Set(characters).size === characters.length && characters.every(one => words[0].includes(one));
    return fits ? "" : `letters of ${words[0]}`;
  }
  if (kind === "bias") {
    const found = BIAS.exec(value);
    return found && Number(found[1]) <= high ? "" : `TOKEN+NUMBER, up to ${high}`;
  }
  const fits = characters.length > 0 && characters.length <= high && PRINTABLE.test(value);
  return fits ? "" : `1 to ${high} characters that can be printed`;
}
