// YAML as people and our writers use it for plain data (15.2.2, 14.1.5): blocks, flow lists and mappings, quoted and plain
// scalars. Anchors, tags, second documents, keys said twice and scalars that two YAMLs read differently are refused, as everywhere;
// text blocks and folded quotes are refused here alone.
const DEEPEST = 12;
const MOST_VALUES = 300000;
const NUMBER = /^[-+]?(?:0|[1-9][0-9]{0,127})$|^[-+]?(?:0|[1-9][0-9]{0,39})\.[0-9]{0,40}(?:[eE][-+][0-9]{1,3})?$/;
const UNCLEAR = /^(?:~|null|y|yes|n|no|on|off|[-+]?\.inf|\.nan|<<|=)$|^[-+]?[0-9][0-9_:.]*(?:[eE][-+]?[0-9]+)?$|^[-+]?0[xbo][0-9a-f_]+$|^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t]|$)/i;
const KEY = /(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\n]|'')*'|(?:[^\s,\[\]{}#&*!|>'"%@`?:-]|[?:-](?=\S))(?:[^\n:#]|:(?=\S)|#(?!\s))*?) *:(?=\s|$)/y;
const PLAIN = /(?:[^\s,\[\]{}#&*!|>'"%@`?:-]|[?:-](?=[^\s,\[\]{}]))(?:[^\n:#]|:(?=\S)|(?<=\S)#)*/y;
const FLOW_PLAIN = /(?:[^\s,\[\]{}#&*!|>'"%@`?:-]|[?:-](?=[^\s,\[\]{}]))(?:[^\n,\[\]{}:#]|:(?=[^\s,\[\]{}])|(?<=\S)#)*/y;
const ESCAPES = { '"': '"', "\\": "\\", n: "\n", t: "\t", r: "\r", "/": "/", 0: "\0", a: "\x07", b: "\b", e: "\x1b", f: "\f", v: "\v", " ": " " };

/** The value of a document: null-prototype objects, arrays, texts, numbers, truth values. Throws with the line's number. */
export function parseYaml(text) {
  const reader = { text: text.replace(/\r\n/g, "\n"), at: 0, values: 0 };
  if (/^---[ \n]/.test(reader.text)) reader.at = 3;
  if (/\n(?:---|\.\.\.)(?:\s|$)|^%/.test(reader.text.slice(reader.at))) refuse(reader, "there is more than one document, or a directive");
  skip(reader);
  const value = block(reader, -1, 0);
  skip(reader);
  if (reader.at < reader.text.length) refuse(reader, "it fits nothing above it");
  return value;
}

function refuse({ text, at }, reason) {
  throw new Error(`line ${text.slice(0, at).split("\n").length} is not read here: ${reason}`);
}

/** Pass over blanks, comments and, unless `inLine`, line ends. */
function skip(reader, inLine = false) {
  const { text } = reader;
  for (;;) {
    const one = text[reader.at];
    if (one === " " || (one === "\n" && !inLine)) reader.at++;
    else if (one === "#" && (reader.at === 0 || /\s/.test(text[reader.at - 1]))) reader.at = text.indexOf("\n", reader.at) < 0 ? text.length : text.indexOf("\n", reader.at);
    else if (one === "\t") refuse(reader, "it has a tab");
    else return;
  }
}

function column({ text, at }) {
  return at - (text.lastIndexOf("\n", at - 1) + 1);
}

function matched(reader, pattern) {
  pattern.lastIndex = reader.at;
  const found = pattern.exec(reader.text);
  return found ? found[0] : undefined;
}

function isDash({ text, at }) {
  return text[at] === "-" && /^(?:\s|$)/.test(text.slice(at + 1, at + 2));
}

/** A value that stands further to the right than `parent`, at which the reader is. */
function block(reader, parent, depth) {
  if (++reader.values > MOST_VALUES) refuse(reader, "there are more values than are read");
  const own = column(reader);
  if (reader.at >= reader.text.length || own <= parent) refuse(reader, "a value is missing");
  if (isDash(reader)) return list(reader, own, deeper(reader, depth));
  if (matched(reader, KEY) !== undefined) return mapping(reader, own, deeper(reader, depth));
  return inLine(reader, parent, depth);
}

function deeper(reader, depth) {
  if (depth >= DEEPEST) refuse(reader, "it lies too deep");
  return depth + 1;
}

function list(reader, own, depth) {
  const made = [];
  for (skip(reader); reader.at < reader.text.length && column(reader) === own && isDash(reader); skip(reader)) {
    reader.at++;
    skip(reader);
    made.push(block(reader, own, depth));
  }
  return made;
}

function mapping(reader, own, depth) {
  const made = Object.create(null);
  for (skip(reader); reader.at < reader.text.length && column(reader) === own && matched(reader, KEY) !== undefined; skip(reader)) {
    const key = keyOf(reader, PLAIN, made);
    skip(reader, true);
    const sameLine = reader.text[reader.at] !== "\n" && reader.at < reader.text.length;
    if (sameLine) {
      if (isDash(reader) || matched(reader, KEY) !== undefined) refuse(reader, "a block begins in the line of its key");
      made[key] = inLine(reader, own, depth);
    } else {
      skip(reader);
      made[key] = block(reader, isDash(reader) ? own - 1 : own, depth);
    }
  }
  return made;
}

function keyOf(reader, plain, made) {
  const key = reader.text[reader.at] === '"' || reader.text[reader.at] === "'" ? quoted(reader) : plainText(reader, plain);
  if (typeof key !== "string" || key in made) refuse(reader, "a key is no text, or there twice");
  skip(reader, true);
  if (reader.text[reader.at] !== ":") refuse(reader, "a key without a colon");
  reader.at++;
  return key;
}

/** A value that begins in this line: of several lines only if it is plain, or in brackets. */
function inLine(reader, parent, depth) {
  const first = reader.text[reader.at];
  let value;
  if (first === '"' || first === "'") value = quoted(reader);
  else if (first === "[" || first === "{") value = flow(reader, depth);
  else return resolve(reader, plainLines(reader, parent));
  skip(reader, true);
  if (reader.at < reader.text.length && reader.text[reader.at] !== "\n") refuse(reader, "something stands behind a value");
  return value;
}

function plainLines(reader, parent) {
  let made = rawPlain(reader, PLAIN);
  for (;;) {
    const before = reader.at;
    skip(reader);
    const between = reader.text.slice(before, reader.at);
    const goesOn = reader.at < reader.text.length && column(reader) > parent && between.includes("\n");
    if (!goesOn || between.includes("#")) {
      if (!between.includes("\n") && reader.at < reader.text.length) refuse(reader, "something stands behind a value");
      if (!goesOn) reader.at = before;
      return made;
    }
    if (between.split("\n").length > 2 || matched(reader, KEY) !== undefined || isDash(reader)) refuse(reader, "its indentation fits nothing");
    made += ` ${rawPlain(reader, PLAIN)}`;
  }
}

function rawPlain(reader, pattern) {
  const found = matched(reader, pattern);
  if (found === undefined) refuse(reader, "a value of this form");
  reader.at += found.length;
  return found.trimEnd();
}

function plainText(reader, pattern) {
  return resolve(reader, rawPlain(reader, pattern));
}

function resolve(reader, text) {
  if (/^(?:true|false)$/i.test(text)) return text.toLowerCase() === "true";
  if (NUMBER.test(text)) return Number(text);
  if (UNCLEAR.test(text)) refuse(reader, "a value that is not quoted is unclear");
  return text;
}

function flow(reader, depth) {
  if (++reader.values > MOST_VALUES) refuse(reader, "there are more values than are read");
  const first = reader.text[reader.at];
  if (first === '"' || first === "'") return quoted(reader);
  if (first === "[") {
    const made = [];
    items(reader, "]", inner => made.push(flow(reader, inner)), depth);
    return made;
  }
  if (first === "{") {
    const made = Object.create(null);
    items(reader, "}", inner => {
      const key = keyOf(reader, FLOW_PLAIN, made);
      skip(reader);
      made[key] = flow(reader, inner);
    }, depth);
    return made;
  }
  return plainText(reader, FLOW_PLAIN);
}

function items(reader, end, one, depth) {
  const inner = deeper(reader, depth);
  reader.at++;
  for (;;) {
    skip(reader);
    if (reader.text[reader.at] === end) break;
    one(inner);
    skip(reader);
    if (reader.text[reader.at] === end) break;
    if (reader.text[reader.at] !== ",") refuse(reader, `a comma or ${end} is missing`);
    reader.at++;
  }
  reader.at++;
}

function quoted(reader) {
  const { text } = reader;
  const mark = text[reader.at];
  let made = "";
  for (let at = reader.at + 1; at < text.length && text[at] !== "\n"; at++) {
    const one = text[at];
    if (one === mark && mark === "'" && text[at + 1] === mark) made += text[at++];
    else if (one === mark) {
      reader.at = at + 1;
      return made;
    } else if (one !== "\\" || mark === "'") made += one;
    else {
      const kind = text[++at];
      const length = { x: 2, u: 4, U: 8 }[kind];
      if (length) {
        const digits = text.slice(at + 1, at + 1 + length);
        const code = /^[0-9a-fA-F]+$/.test(digits) && digits.length === length ? parseInt(digits, 16) : 0x110000;
        if (code > 0x10ffff) refuse(reader, "an escape stands for no character");
        made += String.fromCodePoint(code);
        at += length;
      } else if (Object.hasOwn(ESCAPES, kind)) made += ESCAPES[kind];
      else refuse(reader, "an escape is unknown");
    }
  }
  return refuse(reader, "a text has no end in its line");
}
