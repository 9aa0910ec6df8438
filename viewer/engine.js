// The part of the page that runs the model: what runs is said and judged first, then asked; records are replayed (chapters 14, 15).
import { readBehaviour, requestOf, RECORD_MOST } from "./behaviour.js";
import { browserBuilds, chooseBuild, objectionTo, promises } from "./builds.js";
import { printable } from "./escape.js";
import { finding, words } from "./findings.js";
import { compareAll, departures, meets, MORE_LOGITS } from "./replay.js";
import { startBuild } from "./running.js";
import { lineReader, requestBytes, traceReader } from "./trace.js";
import { element, fill } from "./view/dom.js";

const MEMORY_LIMIT = 3.5e9; // bytes of weights: a 32-bit program has 4 GiB for them and everything else
const AGREEMENT_WORDS = { E: "the same bits", T: "the same tokens", N: "within the tolerance", none: "no agreement" };

let mounted; // what is on the page now: { root, desk }

/**
 * Put into `root` what runs a build of the container `file` (a `File`, or what is read like one). `checkedMembers` is a Set of
 * the paths whose every chunk was found right in this page. Called again for the same root it learns these, and what is being
 * said goes on; called for another one, what ran before is ended.
 */
export function mountEngine(root, file, manifest, checkedMembers) {
  if (mounted && mounted.root === root && mounted.desk.file === file) {
    mounted.desk.checkedMembers = checkedMembers;
    return;
  }
  if (mounted && mounted.desk.running) mounted.desk.running.stop();
  const desk = { file, manifest, checkedMembers, builds: browserBuilds(manifest), running: undefined, confirmed: new Set() };
  mounted = { root, desk };
  fillDesk(root, desk);
}

function fillDesk(root, desk) {
  const { manifest, builds } = desk;
  const model = manifest.members.find(member => member.path === manifest.default);
  root.hidden = !model && !builds.length;
  if (root.hidden) return;
  if (!builds.length || !model) {
    const reason = model
      ? "The file has no build for browsers (wasm32-wasi), so this page cannot run its model."
      : "The file has a build for browsers, and no model for it.";
    fill(root, element("h2", {}, "Run the model here"), element("p", {}, reason));
    return;
  }
  const ask = askSection(desk, model);
  const records = manifest.members.filter(member => member.role === "behaviour");
  fill(root, element("h2", {}, "Run the model here"), ...ask, ...(records.length ? recordSection(desk, records) : []));
}

/** Ask `build` for `request`; `heard(event)` gets each event of the answer. What comes back: `trace` and how it ran. */
export async function askBuild(desk, build, request, weights, heard) {
  if (desk.running) throw new Error("it is busy with something else");
  const reader = traceReader(request);
  let fault;
  const take = lineReader(line => heard(reader.take(line)));
  const other = weights.path === desk.manifest.default ? [] : ["-m", `/zip/${weights.path}`];
  desk.running = startBuild(desk.file, build, ["--trace", ...other], requestBytes(request), weights, data => {
    if (fault) return;
    try {
      take(data);
    } catch (error) {
      fault = error;
      desk.running.stop();
    }
  });
  const end = await desk.running.done;
  desk.running = undefined;
  if (fault) throw new Error(`${fault.message}${end.complaint ? `; its last words: ${end.complaint}` : ""}`);
  if (end.stopped) throw new Error("stopped");
  if (end.problem || end.code) throw new Error(`${end.problem || `it ended with code ${end.code}`}${end.complaint ? `; its last words: ${end.complaint}` : ""}`);
  return { trace: reader.result(), end };
}

function askSection(desk, model) {
  const build = chooseBuild(desk.builds);
  const talk = [];
  const chat = element("input", { type: "checkbox", id: "ask-chat" });
  const text = element("textarea", { id: "ask-text", rows: 3 });
  const most = element("input", { type: "number", id: "ask-most", min: 1, max: 4096, value: 64 });
  const context = element("input", { type: "number", id: "ask-context", min: 256, max: 1048576, step: 256, value: 512 });
  const log = element("div", { id: "ask-log", role: "log", "aria-label": "What was asked and answered" });
  const state = element("p", { id: "ask-state", role: "status" });
  const go = element("button", { id: "ask-go", type: "submit" }, "Ask");
  const stop = element("button", { id: "ask-stop", type: "button", disabled: true, onclick: () => desk.running && desk.running.stop() }, "Stop");
  const warning = element("div", { id: "ask-warning" });
  const form = element(
    "form",
    { id: "ask-form", onsubmit: event => (event.preventDefault(), submit()) },
    element("p", {}, element("label", { for: "ask-text" }, "What the model is to go on with, or to answer"), text),
    element("p", {}, chat, element("label", { for: "ask-chat" }, "It is a message of a conversation")),
    element("p", {}, element("label", { for: "ask-most" }, "Tokens at most"), most, element("label", { for: "ask-context" }, "Context"), context),
    element("p", { class: "actions" }, go, stop),
  );
  text.addEventListener("keydown", event => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit();
  });

  async function submit() {
    if (desk.running || !text.value) return;
    if (!consent(desk, build, warning)) return;
    const asked = text.value;
    const question = { id: "asked", max_tokens: bounded(most, 1, 4096), top: 1 };
    if (chat.checked) talk.push({ role: "user", content: asked });
    else talk.length = 0;
    Object.assign(question, chat.checked ? { messages: [...talk] } : { text: asked });
    const size = Math.ceil(bounded(context, 256, 1 << 20) / 256) * 256;
    await answer({ prompts: [question], threads: 1, context: size, batch: 512 }, asked);
  }

  async function answer(request, asked) {
    const said = element("p", { class: "ask-answer" });
    log.append(element("p", { class: "ask-question" }, shown(asked)), said);
    const voice = speech(said);
    busy(true, "It is being started.");
    const began = performance.now();
    let first = 0;
    try {
      const { trace, end } = await askBuild(desk, build, request, model, event => {
        if (event.event === "step") {
          first = first || performance.now();
          voice.step(event);
          state.textContent = `${voice.count()} tokens`;
        }
      });
      const [prompt] = trace.prompts;
      const answered = voice.close(prompt.end === "end-of-generation");
      if (chat.checked) talk.push({ role: "assistant", content: answered });
      busy(false, summary(prompt, end, first - began, performance.now() - first));
    } catch (error) {
      voice.close(false);
      if (chat.checked) talk.pop();
      busy(false, error.message === "stopped" ? `Stopped after ${voice.count()} tokens.` : `It could not be done: ${printable(error.message)}.`);
    }
  }

  function busy(is, message) {
    go.disabled = is;
    stop.disabled = !is;
    state.textContent = message;
  }
  return [description(desk, build, model), warning, form, log, state];
}

function bounded(input, least, most) {
  return Math.min(most, Math.max(least, Math.round(Number(input.value)) || least));
}

/** What of a text is shown: its lines as lines, everything else that hides made visible. */
function shown(text) {
  return text.split("\n").map(line => printable(line, 1 << 16)).join("\n");
}

/** Tokens become text in `target` as they come; the last one is held back, because it may be the sign that it was the last. */
function speech(target) {
  const decoder = new TextDecoder();
  let held, count = 0, text = "";
  const say = piece => {
    const more = decoder.decode(piece, { stream: true });
    text += more;
    target.textContent += shown(more);
  };
  return {
    count: () => count,
    step(event) {
      if (held) say(held);
      held = Uint8Array.from(event.piece.match(/../g) || [], pair => parseInt(pair, 16));
      count++;
    },
    close(isSign) {
      if (held && !isSign) say(held);
      held = undefined;
      return text;
    },
  };
}

function summary(prompt, end, wait, time) {
  const count = prompt.steps.length;
  if (!count) return "The prompt has more tokens than the context has room for.";
  const rate = count > 1 ? `, ${((count - 1) / (time / 1000)).toFixed(1)} tokens a second` : "";
  const why = { length: "as many as were allowed", "end-of-generation": "to its own end", context: "until the context was full" }[prompt.end];
  return `${prompt.tokens.length} tokens read, ${count} written, ${why}; the first after ${(wait / 1000).toFixed(2)} s${rate}. ${(end.memory / 1e6).toFixed(0)} MB of memory.`;
}

/** What will run, on what, and what is known of it. */
function description(desk, build, model) {
  const objection = objectionTo(build.sha256);
  const size = model.size / 1e9;
  const parts = [
    `It runs ${build.engine} ${build.version} (${build.flavour}) out of this file, in this browser, on the weights where they lie: `,
    `${model.path}, ${size < 0.1 ? `${(model.size / 1e6).toFixed(1)} MB` : `${size.toFixed(1)} GB`}. `,
    objection ? `Of the build: ${objection}. ` : "Its digest is that of a build that this page knows. ",
  ];
  if (model.size > MEMORY_LIMIT) parts.push("A browser gives such a program 4 GiB of memory: with these weights it will not start. ");
  return element("p", { id: "ask-what" }, printable(parts.join(""), 2000));
}

/** True if `build` may run: it is known, or its user has said so. Otherwise the warning is shown, with a way to say so. */
function consent(desk, build, place) {
  const objection = objectionTo(build.sha256);
  const weights = desk.manifest.members.find(member => member.path === desk.manifest.default);
  const reasons = [];
  if (objection) reasons.push(`Of the build ${build.member.path} in this file: ${objection}. It runs in the browser's sandbox, and can do no more than compute and answer; whether what it answers is the model's, nobody says.`);
  if (weights && weights.size > MEMORY_LIMIT) reasons.push(`The weights have ${(weights.size / 1e9).toFixed(1)} GB, more than such a program can hold: it will read for a long while and then most likely fail.`);
  if (!reasons.length || desk.confirmed.has(build.sha256)) return fill(place);
  const button = element("button", { id: "ask-confirm", type: "button", onclick: () => (desk.confirmed.add(build.sha256), fill(place)) }, "Run it all the same");
  fill(place, element("div", { role: "alert" }, ...reasons.map(reason => element("p", {}, printable(reason, 2000)))), button);
  button.focus();
  return undefined;
}

function recordSection(desk, records) {
  const rows = records.map((member, index) => {
    const result = element("div", { id: `ask-record-${index}`, "aria-live": "polite" });
    const button = element("button", { type: "button", id: `ask-replay-${index}`, onclick: () => replayInto(desk, member, result, button) }, "Replay");
    return element("li", {}, printable(member.path), " ", button, result);
  });
  const intro = "Ask the model again what it was asked when its behaviour was recorded, and compare every stage of the answer.";
  return [element("h3", {}, "Behaviour"), element("p", {}, intro), element("ul", {}, ...rows)];
}

async function replayInto(desk, member, place, button) {
  if (desk.running || !consent(desk, chooseBuild(desk.builds), place)) return;
  button.disabled = true;
  fill(place, element("p", {}, "It is being asked."));
  const report = await replayRecord(desk, member, () => undefined);
  button.disabled = false;
  fill(place, ...reportView(report));
  place.dataset.verdict = report.verdict;
}

/** Replay one record (15.5). The report has what 15.5.6 says; `error` says why it could not be. */
export async function replayRecord(desk, member, heard) {
  const report = { member: member.path, recorded: undefined, replayed: undefined, demanded: undefined, reached: undefined, comparison: undefined, findings: [], verdict: "undetermined", error: "", notes: [] };
  try {
    if (member.size > RECORD_MOST) throw new Error(`it has ${member.size} bytes, which no record has`);
    const record = await readBehaviour(new Uint8Array(await desk.file.slice(member.offset, member.offset + member.size).arrayBuffer()));
    report.recorded = record.subject.runtime;
    const weights = weightsOf(desk, record);
    const allowed = desk.builds.filter(each => !objectionTo(each.sha256) || desk.confirmed.has(each.sha256));
    if (!allowed.length) throw new Error(`${desk.builds[0].member.path} was not started: ${objectionTo(desk.builds[0].sha256)}`);
    const build = chooseBuild(allowed, record.subject.runtime);
    const { trace, end } = await askBuild(desk, build, requestOf(record, MORE_LOGITS), weights, heard);
    report.replayed = { ...build, ...trace.identity, seconds: end.seconds };
    report.demanded = promises(build, record.subject.runtime) ? record.agreement : "N";
    report.comparison = compareAll(record, trace);
    report.reached = report.comparison.agreement;
    report.findings = departures(report.comparison, record, report.demanded, member.path);
    report.verdict = meets(report.reached, report.demanded) ? "yes" : "no";
    if (report.verdict === "no") report.notes.push(whyOf(desk, weights));
  } catch (error) {
    report.error = error.message;
    report.findings = [finding("LF9117", { member: member.path }, { path: member.path, reason: error.message })];
  }
  return report;
}

/** The first member of the recorded weights, whatever its name is now. */
function weightsOf(desk, record) {
  const named = record.subject.weights.map(part => [part, desk.manifest.members.find(member => member.role === "weights" && member.sha256 === part.sha256)]);
  const missing = named.find(([, member]) => !member);
  if (missing) throw new Error(`the recorded weights ${missing[0].path} are not in the file`);
  return named[0][1];
}

function whyOf(desk, weights) {
  const checked = desk.checkedMembers && desk.checkedMembers.has(weights.path);
  return checked
    ? "Every chunk of the weights was checked in this page and is right, so it is not they that differ."
    : "The weights were not checked to their end in this page: verify the file in full to tell damage from drift.";
}

function reportView(report) {
  const parts = [];
  const name = runtime => printable(`${runtime.engine} ${runtime.version} ${runtime.flavour} ${runtime.target} ${runtime.sha256.slice(0, 8)}`, 200);
  parts.push(element("p", { class: `verdict ${report.verdict}` }, `Behaviour: ${report.verdict}`));
  if (report.recorded) parts.push(element("p", {}, `Recorded by ${name(report.recorded)}.`));
  if (report.replayed) {
    const { cpu, seconds, threads } = report.replayed;
    parts.push(element("p", {}, `Replayed by ${name(report.replayed)}, out of the file; ${printable(cpu)}, ${threads} thread; ${seconds.toFixed(2)} s.`));
    parts.push(element("p", {}, `Class ${report.reached} (${AGREEMENT_WORDS[report.reached]}); ${report.demanded} was demanded.`));
    parts.push(promptTable(report.comparison));
  }
  for (const found of report.findings) parts.push(element("p", { class: "finding" }, printable(`${found.rule}: ${words(found)}`)));
  for (const note of report.notes) parts.push(element("p", {}, note));
  return parts;
}

function promptTable({ prompts, likelihood }) {
  const row = (tag, ...cells) => element("tr", {}, ...cells.map(cell => element(tag, tag === "th" ? { scope: "col" } : {}, printable(cell))));
  const rows = prompts.map(prompt => {
    const { stages, logits, token } = prompt;
    const input = stages.rendered === "differs" ? "rendered differs" : stages.tokens === "differs" ? "tokens differ" : "equal";
    const numbers = logits ? `from ${logits.step} by ${prompt.most.toPrecision(3)}` : stages.logits;
    const output = token ? `from ${token.step}` : stages.output === "equal" && stages.text === "equal" ? "equal" : "differs";
    return row("td", prompt.id, input, `${prompt.compared}/${prompt.steps}`, numbers, output, prompt.agreement);
  });
  if (likelihood) {
    const numbers = likelihood.difference ? `by ${likelihood.difference.toPrecision(3)} nats a token` : likelihood.logits;
    rows.push(row("td", likelihood.id, likelihood.tokens, "", numbers, "", likelihood.agreement));
  }
  const head = row("th", "prompt", "input", "steps", "logits", "output", "class");
  return element("div", { class: "wide" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
}
