// The YAML of behaviour records, as far as writers of 15.2.3 use it: blocks, flow lists and mappings, quoted and plain scalars.
// Anything else is refused: a record that another tool wrote otherwise is read by the library.

const YAML_DEPTH = 16;
const PLAIN_NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$/;
const PLAIN_WORD = /^[A-Za-z][A-Za-z0-9./_-]*$/;
const ESCAPES = { '"': '"', "\\": "\\", n: "\n", t: "\t", r: "\r", "/": "/" };

/** The value of a document: null-prototype objects, arrays, texts, numbers, truth values. Throws with the line's number. */
export function parseYaml(text) {
  const lines = text.split("\n").map((line, index) => ({ number: index + 1, indent: line.search(/\S|$/), text: line.trim() }));
  const kept = lines.filter(line => line.text && !line.text.startsWith("#"));
  const reader = { lines: kept, at: 0 };
  const value = block(reader, 0, 0);
  if (reader.at < kept.length) refuse(kept[reader.at], "its indentation fits nothing");
  return value;
}

function refuse(line, reason) {
  throw new Error(`line ${line ? line.number : "after the last"} is not read here: ${reason}`);
}

function block(reader, indent, depth) {
  const line = reader.lines[reader.at];
  if (!line || line.indent !== indent || depth > YAML_DEPTH) refuse(line, "a value is missing, or lies too deep");
  return /^-(?: |$)/.test(line.text) ? list(reader, indent, depth) : mapping(reader, indent, depth);
}

function list(reader, indent, depth) {
  const made = [];
  for (;;) {
    const line = reader.lines[reader.at];
    if (!line || line.indent !== indent || !line.text.startsWith("- ")) return made;
    const rest = line.text.slice(2);
    const inner = indent + 2 + rest.search(/\S/);
    if (KEY.test(rest.trim())) {
      reader.lines[reader.at] = { number: line.number, indent: inner, text: rest.trim() };
      made.push(mapping(reader, inner, depth + 1));
    } else {
      reader.at++;
      made.push(scalar(rest.trim(), line));
    }
  }
}

const KEY = /^([A-Za-z_][A-Za-z0-9_-]*):(?: (.*))?$/;

function mapping(reader, indent, depth) {
  const made = Object.create(null);
  for (;;) {
    const line = reader.lines[reader.at];
    const match = line && line.indent === indent && KEY.exec(line.text);
    if (!match) return made;
    const [, key, rest] = match;
    if (key in made) refuse(line, `the field ${key} is there twice`);
    reader.at++;
    if (rest) made[key] = scalar(rest.trim(), line);
    else {
      const next = reader.lines[reader.at];
      const deeper = next && (next.indent > indent || (next.indent === indent && next.text.startsWith("- ")));
      if (!deeper) refuse(line, "it has no value");
      made[key] = block(reader, next.indent, depth + 1);
    }
  }
}

function scalar(text, line) {
  const cursor = { text, at: 0, line };
  const value = flow(cursor, 0);
  blanks(cursor);
  if (cursor.at < text.length) refuse(line, "something stands behind a value");
  return value;
}

function blanks(cursor) {
  while (cursor.text[cursor.at] === " ") cursor.at++;
}

function flow(cursor, depth) {
  blanks(cursor);
  if (depth > YAML_DEPTH) refuse(cursor.line, "it lies too deep");
  const first = cursor.text[cursor.at];
  if (first === '"') return quoted(cursor);
  if (first === "[") return items(cursor, "]", [], (made, at) => made.push(flow(at, depth + 1)));
  if (first === "{") return items(cursor, "}", Object.create(null), (made, at) => pair(made, at, depth));
  return plain(cursor);
}

function items(cursor, end, made, one) {
  cursor.at++;
  for (let index = 0; ; index++) {
    blanks(cursor);
    if (cursor.text[cursor.at] === end) break;
    if (index && cursor.text[cursor.at++] !== ",") refuse(cursor.line, `a comma or ${end} is missing`);
    one(made, cursor);
  }
  cursor.at++;
  return made;
}

function pair(made, cursor, depth) {
  blanks(cursor);
  const match = /^([A-Za-z_][A-Za-z0-9_-]*): /.exec(cursor.text.slice(cursor.at, cursor.at + 100));
  if (!match || match[1] in made) refuse(cursor.line, "a mapping has no field there, or one twice");
  cursor.at += match[0].length;
  made[match[1]] = flow(cursor, depth + 1);
}

function quoted(cursor) {
  let made = "";
  for (let at = cursor.at + 1; at < cursor.text.length; at++) {
    const character = cursor.text[at];
    if (character === '"') {
      cursor.at = at + 1;
      return made;
    }
    if (character !== "\\") made += character;
    else {
      const kind = cursor.text[++at];
      const length = { x: 2, u: 4, U: 8 }[kind];
      if (length) {
        const digits = cursor.text.slice(at + 1, at + 1 + length);
        const code = /^[0-9a-fA-F]+$/.test(digits) && digits.length === length ? parseInt(digits, 16) : 0x110000;
        if (code > 0x10ffff) refuse(cursor.line, "an escape stands for no character");
        made += String.fromCodePoint(code);
        at += length;
      } else if (kind in ESCAPES) made += ESCAPES[kind];
      else refuse(cursor.line, "an escape is unknown");
    }
  }
  return refuse(cursor.line, "a text has no end");
}

function plain(cursor) {
  const text = /^[^,\[\]{}"#]*/.exec(cursor.text.slice(cursor.at))[0].trimEnd();
  cursor.at += text.length;
  if (text === "true" || text === "false") return text === "true";
  if (PLAIN_NUMBER.test(text)) return Number(text);
  if (!PLAIN_WORD.test(text) || /^(?:null|yes|no|on|off|y|n)$/i.test(text)) refuse(cursor.line, "a value that is not quoted is unclear");
  return text;
}
