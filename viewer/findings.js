// Findings and verdicts (10.1 to 10.3). Severities, layers and words come from the table of rules and from nowhere else.
import RULES from "data:rules";

export const WELL_FORMED = "well-formed";
export const VALID = "valid";
export const AUTHENTIC = "authentic";

/** A broken or noteworthy rule at a place: `where` has `offset`, `length`, `member`, `field` as far as they are known. */
export function finding(rule, where = {}, values = {}) {
  return { rule, where, values };
}

/** The rule's row: `layer`, `severity`, `open` (it says that something was not looked at), `title`, `message`, `remedy`. */
export function ruleOf(rule) {
  return RULES[rule] || { layer: WELL_FORMED, severity: "error", open: false, title: rule, message: rule, remedy: "" };
}

/** The message or the remedy of a finding, with its values in place. */
export function words(found, which = "message") {
  return ruleOf(found.rule)[which].replace(/\{(\w+)\}/g, (_, name) => String(found.values[name] ?? ""));
}

/** *yes*, *no* or *undetermined* of a layer (10.1.3). `looked` is false if something of the layer was left out. */
export function judge(findings, layer, looked = true) {
  let verdict = looked ? "yes" : "undetermined";
  for (const found of findings) {
    const row = ruleOf(found.rule);
    if (row.layer !== layer) continue;
    if (row.severity === "error" && !row.open) return "no";
    if (row.open) verdict = "undetermined";
  }
  return verdict;
}

/** Each fault once, in the order found (10.2.2). */
export function unique(findings) {
  const seen = new Set();
  return findings.filter(found => {
    const key = JSON.stringify([found.rule, found.where, found.values]);
    return !seen.has(key) && seen.add(key);
  });
}
