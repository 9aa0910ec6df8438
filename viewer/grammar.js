// Grammars that constrain answers, bounded before an engine unfolds them (3.10.7). Nothing is unfolded to count it.
import { textOf } from "./bytes.js";

const MOST_BYTES = 1 << 16;
const MOST_RULES = 512;
const MOST_ELEMENTS = 1 << 14;
const DEEPEST = 32;
const MOST_TIMES = 2000;
const MOST_UNFOLDED = 1 << 16;
const MOST_WAYS = 4096;
const SPACE = /(?:[ \t\r\n]|#[^\r\n]*)*/y;
const INLINE = /(?:[ \t]|#[^\r\n]*)*/y;
const NAME = /[A-Za-z0-9-]+/y;
const LITERAL = /"((?:[^"\\\r\n]|\\[^\n])*)"/y;
const CLASS = /\[((?:[^\]\\\r\n]|\\[^\n])+)\]/y;
const REPEAT = /[*+?]|\{([0-9]{1,9})(,([0-9]{1,9})?)?\}/y;
const RULE = /([A-Za-z0-9-]+)[ \t]*::=/y;

class Fault extends Error {}

/** What is wrong with the grammar `data`, in words; empty if nothing is. */
export function grammarFault(data) {
  try {
    check(rulesOf(boundedText(data, MOST_BYTES)));
  } catch (error) {
    if (error instanceof Fault) return error.message;
    throw error;
  }
  return "";
}

function boundedText(data, most) {
  if (data.length > most) throw new Fault(`it has ${data.length} bytes, more than ${most}`);
  const text = textOf(data);
  if (text === undefined) throw new Fault("it is not UTF-8");
  if (text.includes("\0")) throw new Fault("it holds a NUL");
  return text;
}

/** Alternatives by name of rule: each is a list of elements `{kind, name, inner, length, low, high}`, `high` being Infinity without end. */
function rulesOf(text) {
  const parser = { text, at: 0, elements: 0 };
  const rules = new Map();
  take(parser, SPACE);
  while (parser.at < text.length) {
    const head = take(parser, RULE);
    if (!head) throw new Fault(`there is no rule at character ${parser.at}`);
    if (rules.has(head[1]) || rules.size === MOST_RULES) throw new Fault(`rule ${head[1]} is one too many`);
    take(parser, SPACE);
    rules.set(head[1], alternatives(parser, 0));
    take(parser, SPACE);
  }
  return rules;
}

function match(parser, pattern) {
  pattern.lastIndex = parser.at;
  return pattern.exec(parser.text);
}

function take(parser, pattern) {
  const found = match(parser, pattern);
  if (found) parser.at += found[0].length;
  return found;
}

function alternatives(parser, depth) {
  if (depth > DEEPEST) throw new Fault(`its brackets are deeper than ${DEEPEST}`);
  const found = [sequence(parser, depth)];
  while (parser.text[parser.at] === "|" || (!depth && goesOn(parser))) {
    parser.at++;
    take(parser, SPACE);
    found.push(sequence(parser, depth));
    take(parser, depth ? SPACE : INLINE);
  }
  return found;
}

/** True if the next line goes on with `|`; the reader then stands in front of it. */
function goesOn(parser) {
  const at = parser.at + match(parser, SPACE)[0].length;
  if (parser.text[at] !== "|") return false;
  parser.at = at;
  return true;
}

function sequence(parser, depth) {
  const found = [];
  for (let one = element(parser, depth); one; one = element(parser, depth)) {
    if (++parser.elements > MOST_ELEMENTS) throw new Fault(`it has more than ${MOST_ELEMENTS} elements`);
    found.push(repeated(parser, one));
    take(parser, depth ? SPACE : INLINE);
  }
  return found;
}

function element(parser, depth) {
  const literal = take(parser, LITERAL);
  const length = found => Array.from(found[1]).length;
  if (literal) return literal[1] ? { kind: "characters", length: length(literal) } : { kind: "group", inner: [[]] };
  const set = take(parser, CLASS);
  if (set) return { kind: "characters", length: length(set) };
  if (parser.text[parser.at] === ".") {
    parser.at++;
    return { kind: "characters", length: 1 };
  }
  if (parser.text[parser.at] === "(") {
    parser.at++;
    take(parser, SPACE);
    const inner = alternatives(parser, depth + 1);
    if (parser.text[parser.at] !== ")") throw new Fault(`a bracket is not closed at character ${parser.at}`);
    parser.at++;
    return { kind: "group", inner };
  }
  if (match(parser, RULE)) return undefined;
  const name = take(parser, NAME);
  return name ? { kind: "rule", name: name[0], length: 1 } : undefined;
}

function repeated(parser, one) {
  let [low, high] = [1, 1];
  for (let found = take(parser, REPEAT); found; found = take(parser, REPEAT)) {
    if (low !== 1 || high !== 1) throw new Fault("something is repeated twice over");
    if (found[1] === undefined) [low, high] = { "*": [0, Infinity], "?": [0, 1], "+": [1, Infinity] }[found[0]];
    else {
      low = Number(found[1]);
      high = found[2] === undefined ? low : found[3] === undefined ? Infinity : Number(found[3]);
    }
    if (Math.max(low, high === Infinity ? 0 : high) > MOST_TIMES || high < low) throw new Fault(`something is repeated ${found[0]}; at most ${MOST_TIMES} times is allowed`);
  }
  return { ...one, low, high };
}

function check(rules) {
  if (!rules.has("root")) throw new Fault("it has no rule root");
  const counted = new Map();
  for (const name of rules.keys()) countRule(name, rules, counted, []);
  for (const one of rules.values()) positions(one, rules, counted);
  const total = [...rules.values()].reduce((sum, one) => sum + unfolded(one), 0);
  if (total > MOST_UNFOLDED) throw new Fault(`its repetitions unfold to more than ${MOST_UNFOLDED} elements`);
}

const few = count => Math.min(count, MOST_WAYS + 1);

/** `[ways to the first character, ways to nothing]` of a rule. */
function countRule(name, rules, counted, above) {
  if (counted.has(name)) return counted.get(name);
  if (!rules.has(name)) throw new Fault(`there is no rule ${name}`);
  if (above.includes(name)) throw new Fault(`rule ${name} begins with itself`);
  if (above.length > DEEPEST) throw new Fault(`more than ${DEEPEST} rules begin with one another`);
  const found = countAll(rules.get(name), rules, counted, [...above, name]);
  counted.set(name, found);
  return found;
}

function countAll(all, rules, counted, above) {
  let [starts, empties] = [0, 0];
  for (const one of all) {
    let [here, empty] = [0, 1];
    for (const each of one) {
      const [first, none] = countElement(each, rules, counted, above);
      [here, empty] = [few(here + empty * first), few(empty * none)];
      if (!empty) break;
    }
    [starts, empties] = [few(starts + here), few(empties + empty)];
  }
  return bounded(starts, empties);
}

function countElement(one, rules, counted, above) {
  const [starts, empties] =
    one.kind === "characters" ? [1, 0] : one.kind === "rule" ? countRule(one.name, rules, counted, above) : countAll(one.inner, rules, counted, above);
  if (empties && one.high !== 1) throw new Fault("something that can be empty is repeated");
  return [starts, few(empties + (one.low === 0 ? 1 : 0))];
}

function bounded(starts, empties) {
  if (Math.max(starts, empties) > MOST_WAYS) throw new Fault(`more than ${MOST_WAYS} of its alternatives are open at once`);
  return [starts, empties];
}

/** The same count from every place on to the end of its sequence. */
function positions(all, rules, counted) {
  for (const one of all) {
    let [starts, empties] = [0, 1];
    for (const each of [...one].reverse()) {
      const [first, none] = countElement(each, rules, counted, []);
      [starts, empties] = bounded(few(first + none * starts), few(none * empties));
      positions(each.inner || [], rules, counted);
    }
  }
}

function unfolded(all) {
  let total = 0;
  for (const one of all)
    for (const each of one) {
      const inner = each.kind === "group" ? unfolded(each.inner) : each.length;
      total += Math.max(inner, 1) * Math.max(each.low, each.high === Infinity ? 1 : each.high);
    }
  return Math.min(total, MOST_UNFOLDED + 1);
}
