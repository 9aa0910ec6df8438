// A request in trace mode, and the answer, read strictly (15.3): one JSON object a line, in one order, within bounds.
import { unhex, utf8 } from "./bytes.js";

const MOST = { context: 1 << 20, vocabulary: 1 << 24, piece: 1 << 12, rendered: 1 << 22, line: 1 << 24 };
const TRACE_WORD = /^[A-Za-z0-9][A-Za-z0-9 ._+@:/()-]{0,99}$/;
export const TRACE_ENDS = ["length", "end-of-generation", "context"];

/** The request as the build reads it. `prompts` have `id`, `text` or `messages`, `max_tokens`, `top`. */
export function requestBytes({ prompts, threads = 1, context = 512, batch = 512, likelihood }) {
  const value = { version: 1, threads, context, batch, flash_attention: false, prompts };
  if (likelihood !== undefined) value.nll = { text: likelihood };
  return utf8(`${JSON.stringify(value)}\n`);
}

/** The number whose binary32 encoding is `bits`. */
export function logitOf(bits) {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, bits);
  return view.getFloat32(0);
}

/** The number whose binary64 encoding is the hex text `bits`. */
export function doubleOf(bits) {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt(`0x${bits}`));
  return view.getFloat64(0);
}

/** Lines out of pieces of bytes. `line` is called with each whole one as text; throws if one has no end or is no UTF-8. */
export function lineReader(line) {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let rest = "";
  return data => {
    const parts = (rest + decoder.decode(data, { stream: true })).split("\n");
    rest = parts.pop();
    if (rest.length > MOST.line) throw new Error("a line of the answer has no end");
    parts.forEach(line);
  };
}

/**
 * The answer to `request`, line by line: `take(line)` reads one and throws at the first thing that is not as it must be;
 * `result()` is the whole trace, or throws if something is missing.
 */
export function traceReader(request) {
  const trace = { identity: undefined, prompts: [], likelihood: undefined };
  let count = 0, ended = false, open;

  function take(line) {
    count++;
    let event;
    try {
      event = JSON.parse(line);
    } catch {
      throw new Error(`line ${count} of the answer is not JSON: ${line.slice(0, 60)}`);
    }
    if (!event || typeof event !== "object" || Array.isArray(event)) throw new Error(`line ${count} of the answer is no object`);
    if (event.event === "error" && typeof event.message === "string") throw new Error(`the build says: ${event.message.slice(0, 400)}`);
    const wanted = due();
    if (!wanted.includes(event.event))
      throw new Error(`line ${count} of the answer is ${String(event.event).slice(0, 40)} where ${wanted.join(" or ") || "nothing"} was due`);
    READ[event.event](event);
    return event;
  }

  function due() {
    if (ended) return [];
    if (!trace.identity) return ["runtime"];
    if (open) return ["step", "end"];
    if (trace.prompts.length < request.prompts.length) return ["prompt"];
    return request.likelihood !== undefined && !trace.likelihood ? ["nll"] : ["done"];
  }

  const READ = {
    runtime(event) {
      const found = {};
      for (const name of ["engine", "version", "target", "flavour", "cpu"]) found[name] = matched(event, name, TRACE_WORD);
      found.vocabulary = whole(event, "vocabulary", 1, MOST.vocabulary);
      found.context = whole(event, "context", 1, MOST.context);
      found.threads = whole(event, "threads", 1, request.threads || 1);
      found.batch = whole(event, "batch", 1, MOST.context);
      for (const name of ["context", "batch"])
        if (request[name] !== undefined && found[name] !== request[name])
          throw new Error(`the build has a ${name} of ${found[name]} tokens where ${request[name]} were asked for`);
      trace.identity = found;
    },
    prompt(event) {
      const prompt = request.prompts[trace.prompts.length];
      same(event, prompt);
      open = { id: prompt.id, rendered: data(event, "rendered", MOST.rendered), tokens: tokens(event), steps: [], end: "" };
      trace.prompts.push(open);
    },
    step(event) {
      const prompt = request.prompts[trace.prompts.length - 1];
      same(event, prompt);
      if (whole(event, "step", 0, prompt.max_tokens - 1) !== open.steps.length) throw new Error(`step ${open.steps.length} is numbered ${event.step}`);
      const top = Array.isArray(event.top) ? event.top.map(logit) : [];
      if (top.length !== Math.min(prompt.top ?? 5, trace.identity.vocabulary)) throw new Error("a step does not have its highest logits");
      const token = whole(event, "token", 0, trace.identity.vocabulary - 1);
      if (!ordered(top) || (top.length && top[0][0] !== token)) throw new Error("the highest logits of a step are out of order");
      open.steps.push({ token, piece: data(event, "piece", MOST.piece), logits: matched(event, "logits", /^[0-9a-f]{64}$/), top });
    },
    end(event) {
      const prompt = request.prompts[trace.prompts.length - 1];
      same(event, prompt);
      if (!TRACE_ENDS.includes(event.reason)) throw new Error("a prompt ended for no known reason");
      if (event.reason === "length" && open.steps.length !== prompt.max_tokens) throw new Error("a prompt ended early, for length");
      open.end = event.reason;
      open = undefined;
    },
    nll(event) {
      const found = tokens(event);
      trace.likelihood = {
        tokens: found,
        count: whole(event, "count", 1, Math.max(1, found.length)),
        bits: matched(event, "bits", /^[0-9a-f]{16}$/),
        logits: matched(event, "logits", /^[0-9a-f]{64}$/),
      };
      const value = doubleOf(trace.likelihood.bits);
      if (!Number.isFinite(value) || value < 0) throw new Error("the likelihood is a number that no text has");
    },
    done() {
      ended = true;
    },
  };

  function logit(item) {
    const [token, bits] = Array.isArray(item) && item.length === 2 ? item : [];
    if (!Number.isInteger(token) || token < 0 || token >= trace.identity.vocabulary || !/^[0-9a-f]{8}$/.test(bits))
      throw new Error("a token and its logit are not both there");
    const number = parseInt(bits, 16);
    if (Number.isNaN(logitOf(number))) throw new Error("a logit is not a number");
    return [token, number];
  }

  function tokens(event) {
    const list = event.tokens;
    const good = token => Number.isInteger(token) && token >= 0 && token < trace.identity.vocabulary;
    if (!Array.isArray(list) || list.length > MOST.context || !list.every(good)) throw new Error("the answer has no list of tokens");
    return list;
  }

  function result() {
    if (!ended) throw new Error(`the build stopped before it said ${due().join(" or ")}`);
    return trace;
  }
  return { take, result };
}

/** Highest first, of equal ones the lowest id first, none twice. */
export function ordered(top) {
  const tokens = new Set(top.map(([token]) => token));
  return (
    tokens.size === top.length &&
    top.every(([token, bits], index) => {
      if (!index) return true;
      const [before, higher] = top[index - 1];
      return logitOf(higher) > logitOf(bits) || (logitOf(higher) === logitOf(bits) && before < token);
    })
  );
}

function same(event, prompt) {
  if (event.id !== prompt.id) throw new Error(`the build speaks of another prompt than ${prompt.id}`);
}

function whole(event, name, least, most) {
  const value = event[name];
  if (!Number.isInteger(value) || value < least || value > most) throw new Error(`the build's ${name} is no number from ${least} to ${most}`);
  return value;
}

function matched(event, name, pattern) {
  const value = event[name];
  if (typeof value !== "string" || !pattern.test(value)) throw new Error(`the build's ${name} has not the form due`);
  return value;
}

function data(event, name, most) {
  const value = event[name];
  if (typeof value !== "string" || value.length > 2 * most || !/^(?:[0-9a-f]{2})*$/.test(value))
    throw new Error(`the build's ${name} is not at most ${most} bytes in hexadecimal`);
  return unhex(value);
}
