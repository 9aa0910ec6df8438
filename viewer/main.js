// Choosing a file, and what happens then: record and quick check at once, every byte when asked.
import { mountEngine } from "./engine.js";
import { openFile, verify } from "./verify.js";
import { element, fill } from "./view/dom.js";
import { memberTable } from "./view/members.js";
import { recordList } from "./view/record.js";
import { findingList, leftOutList, verdictList } from "./view/report.js";
import { grouped, size } from "./view/words.js";

const status = document.getElementById("status");
const found = document.getElementById("found");
let turn = 0; // of two files that were chosen one after the other, only the later one is shown

/** Show a file that was chosen. */
export async function look(blob) {
  const mine = ++turn;
  fill(found);
  fill(status, "Reading the end of the file …");
  try {
    const began = performance.now();
    const file = await openFile(blob);
    const report = await verify(file, { full: false });
    if (mine !== turn) return undefined;
    show(file, mine, report);
    fill(status, `Read in ${Math.round(performance.now() - began)} ms. Nothing was checked yet but structure.`);
    return { file, report };
  } catch (error) {
    if (mine === turn) fill(status, `The file cannot be read: ${error.message}`);
    return undefined;
  }
}

function show(file, mine, quick) {
  const verdicts = element("div", {}, verdictList(quick));
  const findings = element("div", {}, findingList(quick), leftOutList(quick));
  const members = element("div", {}, memberTable(file, () => "not checked"));
  const engine = element("section", { "aria-label": "Run" });
  const section = (title, ...children) => element("section", { "aria-label": title }, element("h2", {}, title), ...children);
  fill(
    found,
    section("Record", recordList(file), element("p", { class: "hint" }, "What a file says of itself is a claim until somebody whom you trust has signed it.")),
    section("Verdict", verdicts, checking(file, mine, { verdicts, findings, members, engine })),
    engine,
    section("Findings", findings),
    section("Members", members),
  );
  if (file.manifest) mountEngine(engine, blobOf(file), file.manifest, new Set());
  else engine.hidden = true;
}

function blobOf(file) {
  return file.source.blob;
}

/** The button that checks every byte, with progress and a way to stop. */
function checking(file, mine, places) {
  if (file.kind !== "container" || !file.manifest) return undefined;
  let stopped = false;
  const progress = element("progress", { max: "1", value: "0", "aria-label": "Bytes checked", hidden: true });
  const start = element("button", { type: "button", onclick: begin }, "Check every byte");
  const stop = element("button", { type: "button", hidden: true, onclick: () => (stopped = true) }, "Stop");
  async function begin() {
    stopped = false;
    start.disabled = true;
    stop.hidden = progress.hidden = false;
    const began = performance.now();
    let last = 0;
    const report = await verify(file, {
      full: true,
      stop: () => stopped || mine !== turn,
      told(done, total) {
        progress.value = total ? done / total : 1;
        const percent = Math.floor((10 * done) / total);
        if (percent !== last) fill(status, `Checking: ${10 * (last = percent)} % of ${size(total)}`);
      },
    }).catch(error => void fill(status, `Reading failed: ${error.message}`));
    start.disabled = false;
    stop.hidden = progress.hidden = true;
    if (report && mine === turn) finished(file, report, places, (performance.now() - began) / 1000);
  }
  return element("p", { class: "actions" }, start, stop, progress);
}

function finished(file, report, { verdicts, findings, members, engine }, seconds) {
  if (report.stopped) return fill(status, "Stopped. What was not read is not known.");
  const damaged = new Set(report.findings.filter(each => each.rule.startsWith("LF40")).map(each => each.where.member));
  fill(verdicts, verdictList(report));
  fill(findings, findingList(report), leftOutList(report));
  fill(members, memberTable(file, ({ path }) => (damaged.has(path) ? "damaged" : report.checked.has(path) ? "as recorded" : "not checked")));
  mountEngine(engine, blobOf(file), file.manifest, report.checked);
  const rate = seconds > 0.05 ? `, ${grouped(Math.round(file.source.size / seconds / 1e6))} MB/s` : "";
  const word = report.verdicts["well-formed"];
  return fill(status, `Every byte was checked in ${seconds.toFixed(1)} s${rate}. Well-formed: ${word}.`);
}

function take(files) {
  if (files.length) look(files[0]);
}

document.getElementById("file").addEventListener("change", event => take(event.target.files));
document.addEventListener("dragover", event => event.preventDefault());
document.addEventListener("drop", event => {
  event.preventDefault();
  take(event.dataTransfer.files);
});
