// Behaviour records (15.2), read strictly: what a field may be, and that what is said twice is said alike.
import TEXTS from "data:texts";
import { equal, sha256, unhex, utf8 } from "./bytes.js";
import { TRACE_ENDS, doubleOf, logitOf, ordered } from "./trace.js";
import { parseYaml } from "./yaml.js";

export const RECORD_MOST = 4 << 20; // bytes (15.2.2)
const BEHAVIOUR_FORMAT = "llamafile-behaviour/1";
const ID = /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/;
const RECORD_WORD = /^[A-Za-z0-9][A-Za-z0-9 ._+@:/()-]{0,99}$/;
const CLASSES = ["E", "T", "N"]; // best first
const DIGEST = /^[0-9a-f]{64}$/;
const BOUNDS = { vocabulary: 1 << 24, context: 1 << 20, steps: 4096, top: 256, threads: 256, text: 1 << 16, rendered: 1 << 22, piece: 1 << 12 };

/** The record in a member's bytes, or an Error that says which field is wrong. */
export async function readBehaviour(data) {
  if (data.length > RECORD_MOST) throw new Error(`it has ${data.length} bytes, which no record has`);
  const value = parseYaml(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data));
  const top = fieldsOf(value, "");
  if (value.format !== BEHAVIOUR_FORMAT) throw new Error(`it does not say format: ${BEHAVIOUR_FORMAT}`);
  const decoding = top.inside("decoding");
  const record = {
    agreement: top.choice("class", CLASSES),
    subject: subjectOf(top.inside("subject")),
    context: decoding.whole("context", 256, BOUNDS.context),
    batch: decoding.whole("batch", 1, BOUNDS.context),
    threads: decoding.whole("threads", 1, BOUNDS.threads),
    vocabulary: decoding.whole("vocabulary", 1, BOUNDS.vocabulary),
    tolerance: toleranceOf(top.inside("tolerance")),
    prompts: [],
    likelihood: undefined,
  };
  decoding.choice("sampling", ["greedy"]);
  if (decoding.take("flash_attention") !== false) decoding.wrong("flash_attention");
  for (const run of top.each("runs", 1, 16)) {
    run.whole("threads", 1, BOUNDS.threads);
    if (CLASSES.indexOf(run.choice("class", CLASSES)) > CLASSES.indexOf(record.agreement)) run.wrong("class");
  }
  for (const prompt of top.each("prompts", 1, 64)) record.prompts.push(await promptOf(prompt, record));
  if (new Set(record.prompts.map(each => each.prompt.id)).size < record.prompts.length) top.wrong("prompts");
  if (value.likelihood !== undefined) record.likelihood = await likelihoodOf(top.inside("likelihood"), record);
  return record;
}

/** What a replay asks for to repeat `record`, with `more` of the highest logits (15.4.3). */
export function requestOf(record, more) {
  return {
    prompts: record.prompts.map(({ prompt }) => ({ ...prompt, top: Math.min(record.vocabulary, prompt.top + more) })),
    threads: 1, // there are no others in a browser
    context: record.context,
    batch: record.batch,
    likelihood: record.likelihood && TEXTS[record.likelihood.text],
  };
}

/** Accessors of one mapping, each of which throws with the field's whole name. */
function fieldsOf(value, path) {
  if (!value || typeof value !== "object" || Array.isArray(value)) throw new Error(`${path || "the document"} is no mapping`);
  const name = field => (path ? `${path}.${field}` : field);
  const fields = {
    value,
    path,
    wrong(field) {
      throw new Error(`${name(field)} is wrong, missing, or contradicts the rest`);
    },
    take: field => (value[field] === undefined ? fields.wrong(field) : value[field]),
    inside: field => fieldsOf(fields.take(field), name(field)),
    list(field, least, most) {
      const found = fields.take(field);
      return Array.isArray(found) && found.length >= least && found.length <= most ? found : fields.wrong(field);
    },
    each: (field, least, most) => fields.list(field, least, most).map((item, index) => fieldsOf(item, `${name(field)}[${index}]`)),
    whole(field, least, most) {
      const found = fields.take(field);
      return Number.isInteger(found) && found >= least && found <= most ? found : fields.wrong(field);
    },
    decimal(field, most) {
      const found = fields.take(field);
      return typeof found === "number" && found >= 0 && found <= most ? found : fields.wrong(field);
    },
    text(field, most, pattern) {
      const found = fields.take(field);
      return typeof found === "string" && found.length <= most && (!pattern || pattern.test(found)) ? found : fields.wrong(field);
    },
    choice(field, allowed) {
      const found = fields.take(field);
      return allowed.includes(found) ? found : fields.wrong(field);
    },
    flag(field, otherwise) {
      const found = value[field] === undefined ? otherwise : value[field];
      return typeof found === "boolean" ? found : fields.wrong(field);
    },
    /** Bytes, as `text` or `hex`. */
    bytes(most) {
      const given = value.hex !== undefined && value.text === undefined ? unhex(fields.text("hex", 2 * most, /^(?:[0-9a-f]{2})*$/)) : utf8(fields.text("text", most));
      return given.length <= most ? given : fields.wrong("text");
    },
    async digested(field, data) {
      if (fields.text(field, 64, DIGEST) !== (await sha256(data))) fields.wrong(field);
    },
  };
  return fields;
}

function subjectOf(fields) {
  const weights = fields.each("weights", 1, 1000).map(part => ({
    path: part.text("path", 4096),
    size: part.whole("size", 0, Number.MAX_SAFE_INTEGER),
    sha256: part.text("sha256", 64, DIGEST),
  }));
  fields.text("tokenizer", 64, DIGEST);
  fields.text("template", 64, /^(?:[0-9a-f]{64})?$/);
  const at = fields.inside("runtime");
  const runtime = { sha256: at.text("sha256", 64, DIGEST) };
  for (const name of ["engine", "version", "flavour", "target"]) runtime[name] = at.text(name, 100, RECORD_WORD);
  return { weights, runtime };
}

function toleranceOf(fields) {
  return { logit: fields.decimal("logit", 1000), likelihood: fields.decimal("likelihood", 1000) };
}

async function promptOf(fields, record) {
  const prompt = { id: fields.text("id", 64, ID), max_tokens: fields.whole("max_tokens", 1, BOUNDS.steps), top: fields.whole("top", 1, BOUNDS.top) };
  if (fields.value.messages !== undefined) {
    if (fields.value.text !== undefined) fields.wrong("messages");
    prompt.messages = fields.each("messages", 1, 64).map(at => ({ role: at.text("role", 64), content: at.text("content", BOUNDS.text) }));
  } else {
    prompt.text = fields.text("text", BOUNDS.text);
    prompt.add_special = fields.flag("add_special", true);
    prompt.parse_special = fields.flag("parse_special", false);
  }
  await fields.digested("sha256", promptBytes(prompt));
  const rendered = fields.inside("rendered");
  const output = fields.inside("output");
  const said = {
    rendered: rendered.bytes(BOUNDS.rendered),
    tokens: await tokensOf(fields.inside("tokens"), record),
    end: output.choice("end", TRACE_ENDS),
    steps: fields.each("steps", 0, prompt.max_tokens).map(step => stepOf(step, prompt, record)),
  };
  await rendered.digested("sha256", said.rendered);
  const text = output.bytes(BOUNDS.steps * BOUNDS.piece);
  await output.digested("sha256", text);
  await output.digested("tokens_sha256", tokenBytes(said.steps.map(step => step.token)));
  if (!equal(text, outputOf(said))) output.wrong("text");
  if (said.end === "length" && said.steps.length !== prompt.max_tokens) output.wrong("end");
  return { prompt, said };
}

/** The bytes that the steps generated. */
export function outputOf(said) {
  const made = new Uint8Array(said.steps.reduce((sum, step) => sum + step.piece.length, 0));
  said.steps.reduce((at, step) => (made.set(step.piece, at), at + step.piece.length), 0);
  return made;
}

function stepOf(fields, prompt, record) {
  const token = fields.whole("token", 0, record.vocabulary - 1);
  const due = Math.min(prompt.top, record.vocabulary);
  const top = fields.list("top", due, due).map(item => {
    const [found, bits] = Array.isArray(item) && item.length === 2 ? item : [];
    const good = Number.isInteger(found) && found >= 0 && found < record.vocabulary && /^[0-9a-f]{8}$/.test(bits);
    return good && !Number.isNaN(logitOf(parseInt(bits, 16))) ? [found, parseInt(bits, 16)] : fields.wrong("top");
  });
  if (!ordered(top) || (top.length && top[0][0] !== token)) fields.wrong("top");
  return { token, piece: fields.bytes(BOUNDS.piece), logits: fields.text("logits", 64, DIGEST), top };
}

async function tokensOf(fields, record) {
  const ids = fields.list("ids", 0, record.context);
  if (!ids.every(id => Number.isInteger(id) && id >= 0 && id < record.vocabulary)) fields.wrong("ids");
  await fields.digested("sha256", tokenBytes(ids));
  return ids;
}

async function likelihoodOf(fields, record) {
  const text = fields.text("text", 64, ID);
  fields.text("sha256", 64, DIGEST);
  if (Object.hasOwn(TEXTS, text)) await fields.digested("sha256", utf8(TEXTS[text])); // of a later version's text nothing is known
  const found = {
    text,
    tokens: await tokensOf(fields.inside("tokens"), record),
    count: fields.whole("count", 1, record.context),
    bits: fields.text("bits", 16, /^[0-9a-f]{16}$/),
    logits: fields.text("logits", 64, DIGEST),
  };
  const value = doubleOf(found.bits);
  if (!Number.isFinite(value) || value.toFixed(6) !== fields.decimal("nats", 1e12).toFixed(6)) fields.wrong("nats");
  return found;
}

/** The prompt as bytes, for its digest: the text, or the messages as canonical JSON (15.2.5). */
function promptBytes(prompt) {
  if (prompt.text !== undefined) return utf8(prompt.text);
  const json = JSON.stringify(prompt.messages.map(({ role, content }) => ({ content, role })));
  return utf8(json.replace(/[\u007f-\uffff]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`));
}

/** Token ids, four bytes each, least significant first. */
function tokenBytes(ids) {
  const made = new DataView(new ArrayBuffer(4 * ids.length));
  ids.forEach((id, index) => made.setUint32(4 * index, id, true));
  return new Uint8Array(made.buffer);
}
