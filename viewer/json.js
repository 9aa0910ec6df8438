// Canonical JSON (5.2): a strict decoder, and the one text of a value. Integers beyond 2^53 are BigInt, so that the text
// of a value is exactly the text that was read.
import { byCodePoints, difference, textOf, utf8 } from "./bytes.js";

const DEEPEST = 8;
const MOST_MARKS = 1 << 18;
const MOST_INTEGER = 2n ** 63n - 1n;
const ESCAPES = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };
const WRITTEN = { '"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r" };

/** Why a text is refused: `rule` is the rule that says so. */
export class Refused extends Error {
  constructor(message, rule = "LF3002") {
    super(message);
    this.rule = rule;
  }
}

/** The value of `data`: objects are Maps. Throws Refused unless `data` is the one text of it; with `exact` false, blanks,
 * order of fields and escapes are free (13.3.4), two meanings are not; `nulls` lets null pass, for the caller to judge. */
export function decode(data, { exact = true, nulls = false } = {}) {
  let marks = 0;
  for (const byte of data) if (byte === 0x2c || byte === 0x5b || byte === 0x7b) marks++;
  if (marks > MOST_MARKS) throw new Refused("more values than are read", "LF2014");
  const text = textOf(data);
  if (text === undefined) throw new Refused("not UTF-8");
  const parser = { text, at: 0, nulls };
  blanks(parser);
  const value = parseValue(parser, 0);
  blanks(parser);
  if (parser.at < text.length) throw new Refused("not JSON: something stands behind the value");
  if (exact && difference(encode(value), data) >= 0) throw new Refused(`not in the canonical form, from byte ${difference(encode(value), data)} on`);
  return value;
}

/** The one text of a value. */
export function encode(value) {
  return utf8(`${written(value, "\n")}\n`);
}

function written(value, line) {
  if (typeof value === "string") return quoted(value);
  if (Array.isArray(value)) return value.length ? `[${line} ${value.map(item => written(item, `${line} `)).join(`,${line} `)}${line}]` : "[]";
  if (!(value instanceof Map)) return String(value);
  if (!value.size) return "{}";
  const names = [...value.keys()].sort(byCodePoints);
  return `{${line} ${names.map(name => `${quoted(name)}: ${written(value.get(name), `${line} `)}`).join(`,${line} `)}${line}}`;
}

function quoted(text) {
  return `"${text.replace(/["\\\0-\x1f]/g, one => WRITTEN[one] || `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`)}"`;
}

function blanks(parser) {
  while (" \t\n\r".includes(parser.text[parser.at] || "x")) parser.at++;
}

function parseValue(parser, depth) {
  const { text } = parser;
  const first = text[parser.at];
  if (first === '"') return parseString(parser);
  if (first === "{" || first === "[") {
    if (depth >= DEEPEST) throw new Refused("nested too deeply");
    return first === "{" ? parseObject(parser, depth + 1) : parseArray(parser, depth + 1);
  }
  for (const [word, value] of [["true", true], ["false", false], ["null", null]])
    if (text.startsWith(word, parser.at) && (value !== null || parser.nulls)) {
      parser.at += word.length;
      return value;
    }
  return parseInteger(parser);
}

function parseInteger(parser) {
  const found = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/.exec(parser.text.slice(parser.at, parser.at + 64));
  if (!found) throw new Refused(`not a value that is allowed, at character ${parser.at}`);
  const [digits] = found;
  if (!/^\d{1,19}$/.test(digits) || BigInt(digits) > MOST_INTEGER) throw new Refused("a number that is not allowed");
  parser.at += digits.length;
  return Number.isSafeInteger(Number(digits)) ? Number(digits) : BigInt(digits);
}

function parseString(parser) {
  const { text } = parser;
  let made = "";
  for (parser.at++; ; ) {
    let end = parser.at;
    while (end < text.length && text[end] !== '"' && text[end] !== "\\" && text[end] >= " ") end++;
    made += text.slice(parser.at, end);
    parser.at = end + 1;
    if (text[end] === '"') break;
    if (text[end] !== "\\") throw new Refused("not JSON: a string that does not end, or a control character in it");
    const kind = text[parser.at++];
    if (kind === "u") {
      const digits = text.slice(parser.at, parser.at + 4);
      if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw new Refused("not JSON: an escape that is none");
      made += String.fromCharCode(parseInt(digits, 16));
      parser.at += 4;
    } else if (kind in ESCAPES) made += ESCAPES[kind];
    else throw new Refused("not JSON: an escape that is none");
  }
  if (/\p{Cs}/u.test(made)) throw new Refused("a string holds a lone surrogate");
  return made;
}

function parseObject(parser, depth) {
  const value = new Map();
  parseItems(parser, "}", () => {
    if (parser.text[parser.at] !== '"') throw new Refused("not JSON: a field without a name");
    const name = parseString(parser);
    blanks(parser);
    if (parser.text[parser.at] !== ":") throw new Refused("not JSON: a field without a value");
    parser.at++;
    blanks(parser);
    if (value.has(name)) throw new Refused("an object names a key twice");
    value.set(name, parseValue(parser, depth));
  });
  return value;
}

function parseArray(parser, depth) {
  const value = [];
  parseItems(parser, "]", () => value.push(parseValue(parser, depth)));
  return value;
}

function parseItems(parser, end, item) {
  parser.at++;
  blanks(parser);
  if (parser.text[parser.at] === end) {
    parser.at++;
    return;
  }
  for (;;) {
    item();
    blanks(parser);
    const next = parser.text[parser.at++];
    if (next === end) return;
    if (next !== ",") throw new Refused("not JSON: something stands where a comma or the end is due");
    blanks(parser);
  }
}
