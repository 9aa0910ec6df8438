// The member `.args`, read as the engine of its dialect reads it, oddities included (3.8). Variables are never looked up.
import { latin, shownText } from "./bytes.js";
import { finding } from "./findings.js";

const MOST_BYTES = 1 << 16;
const MOST_TOKENS = 4096;
const SPACE = " \t\r\n\f\v";
const ESCAPES = { a: "\x07", b: "\b", t: "\t", n: "\n", v: "\v", f: "\f", r: "\r", e: "\x1b" };
const FIRST_QUOTED = [0, 8, 17];
const FIRST_BUNDLED = [0, 10, 0];

/** How the dialects differ: whether bundled weights are `/zip/NAME` (3.8.5), and whether `$NAME` is a variable. */
export const DIALECTS = {
  lines: { bundles: false, expands: false },
  quoted: { bundles: false, expands: true },
  "zip-quoted": { bundles: true, expands: true },
  native: { bundles: true, expands: false },
};

/** The dialect that an engine reads (3.8.1): `engine` as `engine_name.js` tells it, undefined if it is not known. */
export function dialectOf(engine, kind) {
  if (kind === "none" || kind === "launcher") return "native";
  if (!engine) return "quoted";
  if (engine.family === "localscore") return "lines";
  const [low, high] = [engine.version || engine.atLeast, engine.version || engine.atMost];
  if (low && byVersion(low, FIRST_BUNDLED) >= 0) return "zip-quoted";
  return high && byVersion(high, FIRST_QUOTED) < 0 ? "lines" : "quoted";
}

/** How two versions `[major, minor, patch]` are ordered: negative, 0, positive. */
export function byVersion(one, other) {
  return one[0] - other[0] || one[1] - other[1] || one[2] - other[2];
}

/** `{tokens, rest, findings}` of the bytes of an `.args` at `base`. A token has `text`, `parts` to compare it by, `variables`, `offset`
 * and `length`; the user's own arguments stand in front of token `rest`, undefined without `...`. */
export function parseArguments(data, dialect, { base = 0, member = ".args" } = {}) {
  const findings = [];
  const add = (rule, at, length, values = {}) => findings.push(finding(rule, { offset: base + at, length, member }, values));
  if (data.length > MOST_BYTES) {
    add("LF6112", 0, data.length, { what: "bytes", count: data.length, limit: MOST_BYTES });
    return { dialect, tokens: [], rest: undefined, findings, tooLong: true };
  }
  const text = latin(data);
  const nul = text.indexOf("\0");
  if (nul >= 0) add("LF6104", nul, 1);
  let { tokens, rest, ...odd } = dialect === "lines" ? linesOf(text) : quotedOf(text, DIALECTS[dialect].expands);
  for (const [at, length] of odd.repeated) add("LF6116", at, length);
  if (odd.unterminated !== undefined) add("LF6113", odd.unterminated);
  if (odd.dropped !== undefined) add("LF6114", odd.dropped);
  if (dialect !== "lines" && nul < 0) for (const token of tokens) if (token.text.includes("\0")) add("LF6104", token.offset, token.length);
  if (tokens.length > MOST_TOKENS) {
    add("LF6112", tokens[MOST_TOKENS].offset, undefined, { what: "arguments", count: tokens.length, limit: MOST_TOKENS });
    tokens = tokens.slice(0, MOST_TOKENS);
    rest = rest === undefined ? undefined : Math.min(rest, MOST_TOKENS);
  }
  return { dialect, tokens, rest, findings };
}

/** True if two ways of reading give the same arguments. */
export function sameArguments(one, other) {
  const parts = ({ tokens, rest }) => JSON.stringify([rest, tokens.map(token => token.parts)]);
  return parts(one) === parts(other);
}

/** One argument a line; the engine reads a C string (3.8.2). */
function linesOf(text) {
  const lines = [...text.split("\0")[0].matchAll(/[^\r\n]+/g)];
  let rest;
  if (lines.length && lines[lines.length - 1][0] === "...") rest = lines.pop() && lines.length;
  const tokens = lines.map(line => tokenOf(line[0] ? [line[0].replace(/\\n/g, "\n")] : [], line.index, line[0].length));
  return { tokens, rest, repeated: lines.filter(line => line[0] === "...").map(line => [line.index, 3]) };
}

/** `parts` are texts, each character a byte, and variables as `{name}`. */
function tokenOf(parts, offset, length) {
  const read = part => shownText(Uint8Array.from(part, character => character.charCodeAt(0)), byte => String.fromCharCode(0xdc00 + byte));
  const decoded = parts.map(part => (typeof part === "string" ? read(part) : { name: read(part.name) }));
  return {
    parts: decoded,
    text: decoded.map(part => (typeof part === "string" ? part : "${" + part.name + "}")).join(""),
    variables: decoded.filter(part => typeof part !== "string").map(part => part.name),
    offset,
    length,
  };
}

/** The grammar of 3.8.3, as the engine's own reader goes through it. A line end behind a backslash joins, and leaves the reader between
 * arguments. */
function quotedOf(text, expands) {
  const found = { tokens: [], rest: undefined, repeated: [], unterminated: undefined, dropped: undefined };
  let [at, start, parts, pending, inside] = [0, 0, [], "", false];
  const holding = () => pending !== "" || parts.length > 0;
  const finish = () => {
    found.tokens.push(tokenOf(pending ? [...parts, pending] : parts, start, at - start));
    [parts, pending] = [[], ""];
  };
  const variable = name => {
    if (pending) parts.push(pending);
    parts.push({ name });
    pending = "";
  };
  const skipReturns = () => {
    while (text[at] === "\r") at++;
  };
  const dollar = () => {
    const name = /^[A-Za-z0-9_]+/.exec(text.slice(++at));
    const close = text[at] === "{" ? text.indexOf("}", at) : -1;
    if (name) {
      variable(name[0]);
      at += name[0].length;
    } else if (close >= 0) {
      variable(text.slice(at + 1, close));
      at = close + 1;
    } else if (text[at] === "{") {
      found.unterminated = at - 1; // kept as it is, to the very end
      pending += "$" + text.slice(at);
      at = text.length;
    } else pending += "$";
  };
  const digits = (pattern, base, most) => {
    const [taken] = pattern.exec(text.slice(at, at + most));
    at += taken.length;
    if (at < text.length || taken.length === most) pending += String.fromCharCode([...taken].reduce((sum, digit) => sum * base + parseInt(digit, 16), 0) & 255);
  };
  const escape = () => {
    at++;
    skipReturns();
    const one = text[at];
    if (one === undefined) return;
    if (/[0-9]/.test(one)) digits(/^[0-9]*/, 8, 3);
    else if (one === "x") {
      at++;
      if (at < text.length && !/[0-9a-fA-F]/.test(text[at])) pending += "x";
      else digits(/^[0-9a-fA-F]*/, 16, 2);
    } else {
      at++;
      if (one !== "\n") pending += ESCAPES[one] ?? one;
    }
  };
  const doubleQuote = () => {
    const opened = at++;
    while (at < text.length) {
      if (text[at] === '"') return void at++;
      if (text[at] === "$" && expands) {
        if (at + 1 === text.length) break; // the engine drops a dollar that nothing follows here
        dollar();
      } else if (text[at] === "\\") escape();
      else pending += text[at++];
    }
    at = text.length;
    found.unterminated ??= opened;
    return undefined;
  };
  const singleQuote = () => {
    const close = text.indexOf("'", at + 1);
    if (close < 0) found.unterminated = at;
    pending += text.slice(at + 1, close < 0 ? text.length : close);
    at = close < 0 ? text.length : close + 1;
  };
  /** One construct of an argument; false if the reader then stands between two. */
  const construct = () => {
    const one = text[at];
    if (one === "'") singleQuote();
    else if (one === '"') doubleQuote();
    else if (one === "$" && expands) dollar();
    else if (one === "\\") {
      at++;
      skipReturns();
      const escaped = text[at];
      if (escaped === undefined) return true;
      at++;
      if (escaped === "\n") return false;
      pending += ESCAPES[escaped] ?? escaped;
    } else pending += text[at++];
    return true;
  };
  while (at < text.length) {
    if (SPACE.includes(text[at])) {
      if (inside) finish();
      inside = false;
      at++;
    } else if (inside) inside = construct();
    else if (text[at] === "#") at = text.indexOf("\n", at) + 1 || text.length;
    else if (text.startsWith("...", at) && (at + 3 >= text.length || SPACE.includes(text[at + 3]))) {
      if (found.rest === undefined) found.rest = found.tokens.length;
      else found.repeated.push([at, 3]);
      at += 3;
    } else {
      if (!holding()) start = at;
      inside = construct();
    }
  }
  if (holding()) finish();
  else if (inside) found.dropped = start;
  return found;
}
