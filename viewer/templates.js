// Words of a chat template that an engine's own parser does not take (14.1.10). The template is split as engines split it (7.11.2): strings
// before delimiters, brackets in pairs. Nothing is evaluated.
import { utf8 } from "./bytes.js";

const TAGS = new Set("if elif else endif for endfor set endset macro endmacro call endcall filter endfilter generation endgeneration break continue".split(" "));
const SPACE = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const ENDRAW = new RegExp(`\\{%[-+]?${SPACE}*endraw${SPACE}*[-+]?%\\}`, "g");
const OPENING = /\{[{%#]/g;
const TOKEN = new RegExp(
  [
    `(?<space>${SPACE}+)`,
    "(?<number>[0-9][0-9_]*(?:\\.[0-9]+)?(?:[eE][+\\-]?[0-9]+)?)",
    "(?<name>(?![0-9])[\\p{L}\\p{N}_]+)",
    "(?<string>'[^'\\\\]*(?:\\\\.[^'\\\\]*)*'|\"[^\"\\\\]*(?:\\\\.[^\"\\\\]*)*\")",
    "(?<operator>\\/\\/|\\*\\*|==|!=|>=|<=|[\\-+*\\/%~<>=.,:|()\\[\\]\\{\\};])",
  ].join("|"),
  "yus",
);
const PAIRS = { ")": "(", "]": "[", "}": "{" };
const ESCAPE = /\\([^ntrbfv\\'"])/su;

/** The first thing in a template, as bytes, that engines refuse: `{at, what}`, `at` in bytes; undefined if there is none, or the template cannot be split. */
export function notTaken(data) {
  const source = new TextDecoder("utf-8", { ignoreBOM: true }).decode(data);
  const blocks = blocksOf(source);
  if (!blocks) return undefined;
  const found = blocks.flatMap(ofBlock);
  const first = found.reduce((least, each) => (least && least.at <= each.at ? least : each), undefined);
  return first && { at: utf8(source.slice(0, first.at)).length, what: first.what };
}

function ofBlock({ statement, at, tokens }) {
  const found = [];
  const [first, last] = [tokens[0], tokens[tokens.length - 1]];
  if (statement && first) {
    if (!TAGS.has(first.value)) found.push({ at, what: `the tag ${first.value}` });
    else if (first.value === "for" && last.value === "recursive" && last.kind === "name") found.push({ at: last.at, what: "a recursive loop" });
  }
  for (const { kind, value, at: place } of tokens) {
    const escape = kind === "string" && ESCAPE.exec(value);
    if (kind === "operator" && (value === "//" || value === "**")) found.push({ at: place, what: `the operator ${value}` });
    else if (escape) found.push({ at: place, what: `the escape \\${escape[1]}` });
    else if (kind === "name" && [...value].some(one => one > "\x7f")) found.push({ at: place, what: `the name ${value}` });
  }
  return found;
}

/** Expressions and statements in order; undefined if it cannot be split. */
function blocksOf(source) {
  const blocks = [];
  for (let at = 0; ; ) {
    const opening = after(OPENING, source, at);
    if (!opening) return blocks;
    const start = opening.index;
    if (opening[0] === "{#") {
      const end = source.indexOf("#}", start + 2);
      if (end < 0) return undefined;
      at = end + 2;
      continue;
    }
    const statement = opening[0] === "{%";
    const told = tokensOf(source, start + 2, statement ? "%}" : "}}");
    if (!told) return undefined;
    at = told.end;
    blocks.push({ statement, at: start, tokens: told.tokens });
    if (!statement || told.tokens.length !== 1 || told.tokens[0].value !== "raw") continue;
    const end = after(ENDRAW, source, at);
    if (!end) return undefined;
    at = end.index + end[0].length;
  }
}

function after(pattern, source, at) {
  pattern.lastIndex = at;
  return pattern.exec(source);
}

/** Tokens up to the closing delimiter, and the place behind it; undefined if there is none. */
function tokensOf(source, from, closing) {
  const tokens = [];
  const brackets = [];
  const isSign = at => source[at] === "-" || source[at] === "+";
  for (let at = isSign(from) ? from + 1 : from; ; ) {
    if (!brackets.length && source.startsWith(closing, at)) return { tokens, end: at + 2 };
    if (!brackets.length && isSign(at) && source.startsWith(closing, at + 1)) return { tokens, end: at + 3 };
    const found = after(TOKEN, source, at);
    if (!found) return undefined;
    const [kind, value] = Object.entries(found.groups).find(([, text]) => text !== undefined);
    if (kind === "operator" && "([{".includes(value)) brackets.push(value);
    else if (kind === "operator" && value in PAIRS && brackets.pop() !== PAIRS[value]) return undefined;
    if (kind !== "space") tokens.push({ kind, value: kind === "string" ? value.slice(1, -1) : value, at });
    at = TOKEN.lastIndex;
  }
}
