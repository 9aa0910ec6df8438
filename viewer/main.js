// Choosing a file, and what happens then: record and quick check at once, every byte when asked.
import { mountEngine } from "./engine.js";
import { servedFile } from "./served.js";
import { openFile, verify } from "./verify.js";
import { element, fill } from "./view/dom.js";
import { memberTable } from "./view/members.js";
import { recordList } from "./view/record.js";
import { findingList, leftOutList, verdictList } from "./view/report.js";
import { isKeyFile, signatureList, trustDesk } from "./view/trust.js";
import { grouped, size } from "./view/words.js";

const status = document.getElementById("status");
const found = document.getElementById("found");
let turn = 0; // of two files that were chosen one after the other, only the later one is shown
let shown; // the file that is shown: { file, places, full }
const trust = trustDesk(judgeAgain);

/** Show a file that was chosen. */
export async function look(blob) {
  const mine = ++turn;
  fill(found);
  fill(status, "Reading the end of the file …");
  try {
    const began = performance.now();
    const file = await openFile(blob);
    const report = await verify(file, { full: false, signers: trust.signers });
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
  const [verdicts, findings, members, signatures, engine] = ["div", "div", "div", "div", "section"].map(tag => element(tag));
  const places = { verdicts, findings, members, signatures, engine };
  engine.setAttribute("aria-label", "Run");
  shown = { file, places, report: quick };
  const section = (title, ...children) => element("section", { "aria-label": title }, element("h2", {}, title), ...children);
  fill(
    found,
    section("Record", recordList(file), element("p", { class: "hint" }, "What a file says of itself is a claim until somebody whom you trust has signed it.")),
    section("Verdict", verdicts, checking(file, mine)),
    engine,
    section("Signatures", signatures, trust.root),
    section("Findings", findings),
    section("Members", members),
  );
  tell(quick);
  if (file.manifest) mountEngine(engine, blobOf(file), file.manifest, new Set());
  else engine.hidden = true;
}

/** Put what a report says in its places. */
function tell(report) {
  const { file, places } = shown;
  const damaged = new Set(report.findings.filter(each => /^LF40(?!1)|^LF7020$/.test(each.rule)).map(each => each.where.member));
  fill(places.verdicts, verdictList(report));
  fill(places.findings, findingList(report), leftOutList(report));
  fill(places.signatures, signatureList(report));
  fill(places.members, memberTable(file, ({ path }) => (damaged.has(path) ? "damaged" : report.checked.has(path) ? "as recorded" : "not checked")));
}

/** Another key is trusted, or one no longer: quickly, but for bytes that were checked already. */
async function judgeAgain(signers) {
  if (!shown) return;
  const { file, report } = shown;
  const mine = (shown.asked = {});
  const judged = await verify(file, { full: false, signers, known: report.full ? report : undefined });
  if (shown.asked === mine) tell((shown.report = judged));
}

function blobOf(file) {
  return file.source.blob;
}

/** The button that checks every byte, with progress and a way to stop. */
function checking(file, mine) {
  if (file.kind !== "legacy" && !file.manifest) return undefined;
  let stopped = false;
  const progress = element("progress", { max: "1", value: "0", "aria-label": "Bytes checked", hidden: true });
  const start = element("button", { type: "button", onclick: begin }, file.manifest ? "Check every byte" : "Check every member");
  const stop = element("button", { type: "button", hidden: true, onclick: () => (stopped = true) }, "Stop");
  async function begin() {
    stopped = false;
    start.disabled = true;
    stop.hidden = progress.hidden = false;
    const began = performance.now();
    let last = 0;
    const report = await verify(file, {
      full: true,
      signers: trust.signers,
      stop: () => stopped || mine !== turn,
      told(done, total) {
        progress.value = total ? done / total : 1;
        const percent = Math.floor((10 * done) / total);
        if (percent !== last) fill(status, `Checking: ${10 * (last = percent)} % of ${size(total)}`);
      },
    }).catch(error => void fill(status, `Reading failed: ${error.message}`));
    start.disabled = false;
    stop.hidden = progress.hidden = true;
    if (report && mine === turn) finished(file, report, (performance.now() - began) / 1000);
  }
  return element("p", { class: "actions" }, start, stop, progress);
}

function finished(file, report, seconds) {
  if (report.stopped) return fill(status, "Stopped. What was not read is not known.");
  shown.asked = undefined;
  tell((shown.report = report));
  if (file.manifest) mountEngine(shown.places.engine, blobOf(file), file.manifest, report.checked);
  const rate = file.source.size > 1e7 ? `, ${grouped(Math.round(file.source.size / seconds / 1e6))} MB/s` : "";
  const word = report.verdicts["well-formed"];
  const what = file.manifest ? "Every byte was checked" : "Every member was compared with its CRC-32";
  return fill(status, `${what} in ${seconds.toFixed(1)} s${rate}. Well-formed: ${word}.`);
}

async function take(files) {
  for (const file of files) {
    if (await isKeyFile(file)) await trust.add(await file.text());
    else look(file);
  }
}

document.getElementById("file").addEventListener("change", event => take(event.target.files));
document.addEventListener("dragover", event => event.preventDefault());
document.addEventListener("drop", event => {
  event.preventDefault();
  take(event.dataTransfer.files);
});
servedFile().then(
  file => file && (document.getElementById("choose").hidden = true) && look(file),
  error => fill(status, `The file cannot be read: ${error.message}`),
);
