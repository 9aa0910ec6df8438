// What a verification says: the words, every finding, and what was not looked at.
import { printable } from "../escape.js";
import { ruleOf, words } from "../findings.js";
import { element } from "./dom.js";
import { LAYERS, QUESTIONS, grouped } from "./words.js";

const GRAVITY = { error: 0, warning: 1, info: 2 };
const SHOWN = 500;

/** The verdicts of a report, one line each: a word, never a colour alone. */
export function verdictList(report) {
  const lines = Object.entries(report.verdicts).map(([layer, verdict]) =>
    element("div", { class: `verdict ${verdict}` }, element("dt", { title: QUESTIONS[layer] }, LAYERS[layer]), element("dd", {}, verdict)),
  );
  return element("dl", { class: "verdicts" }, ...lines);
}

/** The findings of a report, the gravest first. */
export function findingList(report) {
  if (!report.findings.length) return element("p", {}, "Nothing was found that is wrong or noteworthy.");
  const sorted = [...report.findings].sort((a, b) => GRAVITY[ruleOf(a.rule).severity] - GRAVITY[ruleOf(b.rule).severity]);
  const more = sorted.length - SHOWN;
  const note = more > 0 ? element("p", {}, `and ${grouped(more)} more`) : undefined;
  return element("div", {}, element("ol", { class: "findings" }, ...sorted.slice(0, SHOWN).map(findingItem)), note);
}

function findingItem(found) {
  const row = ruleOf(found.rule);
  const { offset, length, member, field } = found.where;
  const place = [
    member && `in ${printable(member, 300)}`,
    offset !== undefined && `at byte ${grouped(offset)}${length ? `, ${grouped(length)} bytes` : ""}`,
    field && `field ${printable(field, 300)}`,
  ].filter(Boolean);
  return element(
    "li",
    { class: `finding ${row.severity}` },
    element("p", {}, element("strong", {}, `${row.severity} ${found.rule}`), `: ${printable(words(found), 1200)}`),
    place.length ? element("p", { class: "place" }, place.join(", ")) : undefined,
    element("p", { class: "remedy" }, printable(words(found, "remedy"), 1200)),
  );
}

/** What this page does not look at, by clause. */
export function leftOutList(report) {
  if (!report.leftOut.length) return undefined;
  const lines = report.leftOut.map(({ clause, what }) => element("li", {}, `${what} (clause ${clause})`));
  return element("section", { "aria-label": "Not looked at" }, element("h3", {}, "Not looked at by this page"), element("ul", {}, ...lines));
}
