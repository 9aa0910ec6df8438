// JSON texts in arguments: schemas that become grammars, and objects for templates, bounded (3.10.7).
import { textOf } from "./bytes.js";

const MOST_BYTES = 1 << 16;
const MOST_OBJECT_BYTES = 4096;
const DEEPEST = 32;
const DEEPEST_OBJECT = 8;
const MOST_VALUES = 4096;
const MOST_PROPERTIES = 256;
const MOST_COUNT = 2000;
const MOST_UNFOLDED = 1 << 16;
const RANGES = [["minItems", "maxItems"], ["minLength", "maxLength"]];
const COUNTS = RANGES.flat();
const PATTERN = /^[^{}()]{0,256}$/u;
const FRACTION = Symbol("a number that is no whole one");

class Fault extends Error {}

/** What is wrong with a JSON object for templates; empty if nothing is. */
export function objectFault(data) {
  return faultOf(() => {
    if (!(valueOf(data, MOST_OBJECT_BYTES, DEEPEST_OBJECT) instanceof Map)) throw new Fault("it is no JSON object");
  });
}

/** What is wrong with the JSON schema `data`; empty if nothing is. */
export function schemaFault(data) {
  return faultOf(() => checkSchema(valueOf(data, MOST_BYTES, DEEPEST)));
}

function faultOf(judge) {
  try {
    judge();
  } catch (error) {
    if (error instanceof Fault) return error.message;
    throw error;
  }
  return "";
}

/** A JSON value within its bounds; objects are Maps. */
function valueOf(data, most, deepest) {
  if (data.length > most) throw new Fault(`it has ${data.length} bytes, more than ${most}`);
  const text = textOf(data);
  const parser = { text: text ?? "", at: 0, values: 0, deepest };
  const value = parse(parser, 1);
  if (text === undefined || !/^[ \t\n\r]*$/.test(parser.text.slice(parser.at))) throw new Fault("it is not JSON");
  return value;
}

function parse(parser, depth) {
  if (depth > parser.deepest || ++parser.values > MOST_VALUES) throw new Fault(`it is deeper than ${parser.deepest} or has more than ${MOST_VALUES} values`);
  blanks(parser);
  const first = parser.text[parser.at];
  if (first === '"') return parseString(parser);
  if (first === "{") {
    const value = new Map();
    items(parser, "}", () => {
      const name = parseString(parser);
      blanks(parser);
      if (parser.text[parser.at++] !== ":" || value.has(name)) throw new Fault("it is not JSON, or names a key twice");
      value.set(name, parse(parser, depth + 1));
    });
    return value;
  }
  if (first === "[") {
    const value = [];
    items(parser, "]", () => value.push(parse(parser, depth + 1)));
    return value;
  }
  const found = scalar(parser, /(?:true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)/y);
  if (/[.eE]/.test(found) && /[0-9]/.test(found)) return FRACTION;
  return JSON.parse(found);
}

function scalar(parser, pattern) {
  pattern.lastIndex = parser.at;
  const found = pattern.exec(parser.text);
  if (!found) throw new Fault("it is not JSON, or names a key twice");
  parser.at += found[0].length;
  return found[0];
}

function parseString(parser) {
  return JSON.parse(scalar(parser, /"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y));
}

function blanks(parser) {
  while (" \t\n\r".includes(parser.text[parser.at] || "x")) parser.at++;
}

function items(parser, end, item) {
  parser.at++;
  blanks(parser);
  if (parser.text[parser.at] === end) return void parser.at++;
  for (;;) {
    item();
    blanks(parser);
    const next = parser.text[parser.at++];
    if (next === end) return undefined;
    if (next !== ",") throw new Fault("it is not JSON, or names a key twice");
    blanks(parser);
  }
}

function* objectsIn(value) {
  if (value instanceof Map) yield value;
  for (const each of value instanceof Map ? value.values() : Array.isArray(value) ? value : []) yield* objectsIn(each);
}

function checkSchema(root) {
  if (!(root instanceof Map)) throw new Fault("it is no JSON object");
  let properties = 0;
  for (const each of objectsIn(root)) {
    const own = each.get("properties");
    properties += own instanceof Map ? own.size : 0;
    for (const name of COUNTS) {
      const count = each.get(name);
      if (each.has(name) && !(Number.isInteger(count) && count >= 0 && count <= MOST_COUNT)) throw new Fault(`${name} is more than ${MOST_COUNT}, or no number`);
    }
    for (const [least, most] of RANGES) if ((each.get(least) ?? 0) > (each.get(most) ?? MOST_COUNT)) throw new Fault(`${least} is more than ${most}`);
    const pattern = each.has("pattern") ? each.get("pattern") : "";
    if (!(pattern instanceof Map) && !(typeof pattern === "string" && PATTERN.test(pattern))) throw new Fault("a pattern has brackets or counts, or is too long");
    target(root, each);
  }
  if (properties > MOST_PROPERTIES) throw new Fault(`it has ${properties} properties, more than ${MOST_PROPERTIES}`);
  if (unfolded(root, root, []) > MOST_UNFOLDED) throw new Fault(`its counts unfold to more than ${MOST_UNFOLDED} elements`);
}

/** What `$ref` names, inside the schema; undefined without one. */
function target(root, each) {
  const reference = each.get("$ref");
  if (reference === undefined || reference === null) return undefined;
  if (typeof reference !== "string" || !reference.startsWith("#")) throw new Fault("a reference leads out of it");
  let found = root;
  for (const part of reference.slice(1).split("/")) if (part) found = found instanceof Map ? found.get(part) : undefined;
  if (!(found instanceof Map)) throw new Fault(`there is nothing at ${reference.slice(0, 80)}`);
  return found;
}

/** How many elements and alternatives a grammar of it has where nothing is shared; a loop counts once. */
function unfolded(root, each, above) {
  if (!(each instanceof Map) || above.includes(each)) return 1;
  if (above.length > 4 * DEEPEST) throw new Fault("its references are too deep");
  const inside = [...above, each];
  const aim = target(root, each);
  let total = aim ? unfolded(root, aim, inside) : 1;
  const listed = ["anyOf", "oneOf", "allOf", "prefixItems", "items"].flatMap(name => each.get(name) ?? []);
  const own = each.get("properties");
  for (const one of [...listed, ...(own instanceof Map ? own.values() : [])]) {
    total += one === null ? 0 : unfolded(root, one, inside);
    if (total > MOST_UNFOLDED) return total;
  }
  const counts = COUNTS.filter(name => each.has(name)).map(name => each.get(name));
  return Math.min(total * Math.max(1, ...counts), MOST_UNFOLDED + 1);
}
