// A record against a replay, stage by stage (15.4), and what is reported of it (15.5.6, 15.8).
import { equal } from "./bytes.js";
import { outputOf } from "./behaviour.js";
import { finding } from "./findings.js";
import { doubleOf, logitOf } from "./trace.js";

export const MORE_LOGITS = 32; // so many more of the highest logits are asked for (15.4.3)
export const AGREEMENTS = ["E", "T", "N", "none"]; // best first
const STAGES = ["rendered", "tokens", "logits", "output", "text"];
const EQUAL = "equal", DIFFERS = "differs", SKIPPED = "not compared";

/** True if the class `reached` is as good as `demanded`. */
export function meets(reached, demanded) {
  return AGREEMENTS.indexOf(reached) <= AGREEMENTS.indexOf(demanded);
}

/** `record` against `trace`: `agreement`, a result for each prompt, and one for the likelihood if there is one. */
export function compareAll(record, trace) {
  const prompts = record.prompts.map((item, index) => comparePrompt(item, trace.prompts[index], record.tolerance));
  const likelihood = record.likelihood && trace.likelihood && compareLikelihood(record.likelihood, trace.likelihood, record.tolerance);
  const all = [...prompts, ...(likelihood ? [likelihood] : [])].map(each => AGREEMENTS.indexOf(each.agreement));
  return { prompts, likelihood, agreement: AGREEMENTS[Math.max(0, ...all)] };
}

function comparePrompt({ prompt, said: old }, said, near) {
  const sameTokens = old.tokens.length === said.tokens.length && old.tokens.every((token, index) => token === said.tokens[index]);
  const token = firstDifference(old.steps, said.steps, step => step.token, Infinity);
  const stages = {
    rendered: equal(old.rendered, said.rendered) ? EQUAL : DIFFERS,
    tokens: sameTokens ? EQUAL : DIFFERS,
    logits: SKIPPED,
    output: !token && old.end === said.end ? EQUAL : DIFFERS,
    text: equal(outputOf(old), outputOf(said)) ? EQUAL : DIFFERS,
  };
  const result = { id: prompt.id, stages, steps: old.steps.length, compared: 0, logits: undefined, token, most: 0, ulps: 0 };
  if (sameTokens) {
    // The step at which the tokens part is compared too: its logits answer the same question.
    const shared = Math.min(old.steps.length, said.steps.length);
    result.compared = token ? Math.min(shared, token.step + 1) : shared;
    result.logits = firstDifference(old.steps, said.steps, step => step.logits, result.compared);
    stages.logits = result.logits ? DIFFERS : EQUAL;
    for (let index = 0; index < result.compared; index++) measure(old.steps[index].top, said.steps[index].top, result);
  }
  result.agreement = agreementOf(result, near, closeCall(old, said, token, near));
  return result;
}

function agreementOf({ stages, most }, near, close) {
  if (STAGES.every(stage => stages[stage] === EQUAL)) return "E";
  if (stages.rendered !== EQUAL || stages.tokens !== EQUAL || most > near.logit) return "none";
  if (stages.output === EQUAL && stages.text === EQUAL) return "T";
  return close ? "N" : "none";
}

/** Both tokens of the first different step were so close in the record that the tolerance covers them (15.4.4). */
function closeCall(old, said, token, near) {
  if (!token || token.step >= Math.min(old.steps.length, said.steps.length)) return false;
  const before = new Map(old.steps[token.step].top);
  if (!before.has(token.found)) return false;
  return logitOf(before.get(token.recorded)) - logitOf(before.get(token.found)) <= 2 * near.logit;
}

/** The first step at which `key` differs; with no bound, the end of one side counts as a difference. */
function firstDifference(old, said, key, most) {
  const shared = Math.min(old.length, said.length, most);
  for (let step = 0; step < shared; step++)
    if (key(old[step]) !== key(said[step])) return { step, recorded: old[step].token, found: said[step].token };
  if (most !== Infinity || old.length === said.length) return undefined;
  return { step: shared, recorded: shared < old.length ? old[shared].token : -1, found: shared < said.length ? said[shared].token : -1 };
}

/** Add to `result` how far the recorded logits of one step moved. One that is not found counts with the list's least. */
function measure(before, after, result) {
  const found = new Map(after);
  const last = after.length ? after[after.length - 1][1] : 0;
  for (const [token, bits] of before) {
    const other = found.has(token) ? found.get(token) : logitOf(last) < logitOf(bits) ? last : bits;
    result.ulps = Math.max(result.ulps, Math.abs(rankOf(bits) - rankOf(other)));
    if (bits !== other) {
      const gap = Math.abs(logitOf(bits) - logitOf(other));
      result.most = Math.max(result.most, Number.isNaN(gap) ? Infinity : gap);
    }
  }
}

/** binary32 bits as an integer of the same order; both zeros are 0. */
function rankOf(bits) {
  return bits > 0x7fffffff ? -(bits - 0x80000000) : bits;
}

function compareLikelihood(old, said, near) {
  const same = old.count === said.count && old.tokens.length === said.tokens.length && old.tokens.every((token, index) => token === said.tokens[index]);
  const difference = Math.abs(doubleOf(old.bits) - doubleOf(said.bits)) / old.count;
  const exact = same && old.logits === said.logits && old.bits === said.bits;
  return {
    id: old.text,
    agreement: exact ? "E" : same && difference <= near.likelihood ? "T" : "none",
    tokens: same ? EQUAL : DIFFERS,
    logits: !same ? SKIPPED : old.logits === said.logits ? EQUAL : DIFFERS,
    recorded: doubleOf(old.bits),
    found: doubleOf(said.bits),
    difference,
  };
}

/** Findings about a replay that fell short of `demanded`, one for each prompt: the first stage that departed (15.8.1). */
export function departures(comparison, record, demanded, member) {
  const found = comparison.prompts.flatMap((prompt, index) =>
    meets(prompt.agreement, demanded) ? [] : [departure(prompt, record, { member, field: `prompts[${index}]` })],
  );
  const { likelihood } = comparison;
  if (likelihood && !meets(likelihood.agreement, demanded)) {
    const numbers = { found: likelihood.found.toFixed(6), recorded: likelihood.recorded.toFixed(6) };
    found.push(finding("LF9116", { member, field: "likelihood" }, { text: likelihood.id, ...numbers, tokens: likelihood.tokens, logits: likelihood.logits }));
  }
  return found;
}

function departure(prompt, record, where) {
  const { stages, most, logits, token } = prompt;
  const values = { id: prompt.id };
  if (stages.rendered === DIFFERS) return finding("LF9110", where, values);
  if (stages.tokens === DIFFERS) return finding("LF9111", where, values);
  if (most > record.tolerance.logit)
    return finding("LF9114", where, { ...values, step: logits ? logits.step : 0, amount: figure(most), tolerance: String(record.tolerance.logit) });
  if (token) return finding("LF9112", where, { ...values, step: token.step, found: tokenName(token.found), recorded: tokenName(token.recorded) });
  if (stages.output === EQUAL && stages.text === EQUAL && logits)
    return finding("LF9113", where, { ...values, step: logits.step, amount: figure(most), ulp: prompt.ulps });
  return finding("LF9115", where, values);
}

function figure(value) {
  return String(Number(value.toPrecision(6)));
}

function tokenName(token) {
  return token < 0 ? "the end" : `token ${token}`;
}
