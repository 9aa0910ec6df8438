// The page of a gate. Everything that comes from a file goes into the page as text, never as markup.
"use strict";

const FORMS = { json: "json", jsonl: "jsonl", text: "txt", sarif: "sarif", junit: "xml", github: "log", markdown: "md", html: "html", "hub-status": "json" };
const QUESTIONS = {
  "well-formed": "Well-formed: are the bytes what the format says?",
  valid: "Valid: is the content what it claims?",
  authentic: "Authentic: does somebody trusted vouch for it?",
  policy: "Policy: does it meet this gate's demands?",
};
const ORDER = { error: 0, warning: 1, info: 2 };
const PATIENCE = 700; // milliseconds between two looks at a job

const at = (id) => document.getElementById(id);
const say = (text) => { at("status").textContent = text; };

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

async function ask(path, options = {}) {
  const headers = { Authorization: `Bearer ${at("key").value}`, ...options.headers };
  const answer = await fetch(path, { ...options, headers, cache: "no-store", redirect: "error" });
  if (!answer.ok) throw await refusal(answer.status, await answer.text(), answer.headers.get("Retry-After"));
  return answer;
}

function refusal(status, text, wait) {
  let detail = text;
  try { detail = JSON.parse(text).detail; } catch { /* a proxy's own page */ }
  const later = wait ? ` Try again in ${wait} seconds.` : "";
  return new Error(`${String(detail).slice(0, 500) || "No answer"} (${status}).${later}`);
}

function upload(file, level) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // tells how much was sent, which fetch does not
    const query = new URLSearchParams({ name: (file.name || "upload").slice(0, 200), level });
    request.open("POST", `/v1/uploads?${query}`);
    request.setRequestHeader("Authorization", `Bearer ${at("key").value}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => { at("sent").value = event.loaded / Math.max(event.total, 1); };
    request.onload = () => request.status === 202 ? resolve(JSON.parse(request.responseText))
      : reject(refusal(request.status, request.responseText, request.getResponseHeader("Retry-After")));
    request.onerror = () => reject(new Error("The gate broke off: the file may be larger than it takes."));
    at("sent").hidden = false;
    request.send(file);
  });
}

async function refer(url, level) {
  const body = JSON.stringify({ url, level });
  return (await ask("/v1/jobs", { method: "POST", body, headers: { "Content-Type": "application/json" } })).json();
}

async function ended(job) {
  let last = "";
  while (job.state === "queued" || job.state === "running") {
    if (job.state !== last) say(job.state === "queued" ? "It waits for its turn." : "It is being verified.");
    last = job.state;
    await new Promise((resolve) => setTimeout(resolve, PATIENCE));
    job = await (await ask(`/v1/jobs/${job.id}`)).json();
  }
  return job;
}

function finding(found) {
  const item = element("li");
  const head = element("p");
  head.append(element("span", found.severity, found.severity), ` ${found.rule}: ${found.title}`);
  item.append(head, element("p", found.message));
  const where = Object.entries(found.where || {}).map(([name, value]) => `${name} ${value}`).join(", ");
  if (where) item.append(element("p", `Where: ${where}`, "where"));
  if (found.remedy) item.append(element("p", `What to do: ${found.remedy}`, "remedy"));
  return item;
}

function show(job, report) {
  at("report-title").textContent = job.name;
  at("answer").textContent = `${job.status}: ${job.message}`;
  const rows = Object.entries(QUESTIONS).map(([layer, question]) => {
    const row = element("tr"), head = element("th", question), answer = job.verdicts[layer] || "not asked";
    head.scope = "row";
    row.append(head, element("td", answer, answer.replace(" ", "-")));
    return row;
  });
  at("verdicts").replaceChildren(...rows);
  const findings = [...report.findings].sort((a, b) => (ORDER[a.severity] ?? 3) - (ORDER[b.severity] ?? 3));
  at("findings").replaceChildren(...findings.slice(0, 1000).map(finding));
  at("findings-title").textContent = findings.length ? `Findings (${findings.length})` : "No findings";
  at("forms").replaceChildren(...Object.keys(FORMS).map((form) => keep(job, form)));
  at("report").hidden = false;
  at("report").focus();
}

function keep(job, form) {
  const item = element("li"), button = element("button", form);
  button.type = "button";
  button.setAttribute("aria-label", `Save the report as ${form}`);
  button.onclick = async () => {
    try {
      const data = await (await ask(`/v1/jobs/${job.id}/report?format=${form}`)).blob();
      const link = element("a");
      link.href = URL.createObjectURL(new Blob([data], { type: "application/octet-stream" })); // never a page of ours
      link.download = `report-${job.id.slice(0, 8)}.${FORMS[form]}`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    } catch (error) { say(error.message); }
  };
  item.append(button);
  return item;
}

async function verify(event) {
  event?.preventDefault();
  const file = at("file").files[0], url = at("url").value.trim(), level = at("level").value;
  const missing = !at("key").value ? ["key", "Enter your key first."] : !file && !url ? ["file", "Choose a file or enter an address."]
    : file && url ? ["url", "A file or an address, not both."] : null;
  if (missing) { say(missing[1]); at(missing[0]).focus(); return; }
  at("go").disabled = true;
  at("report").hidden = true;
  say(file ? "Sending the file." : "Asking for it.");
  try {
    const job = await ended(await (file ? upload(file, level) : refer(url, level)));
    const report = await (await ask(`/v1/jobs/${job.id}/report`)).json();
    show(job, report);
    say(`Done: ${job.status}.`);
  } catch (error) { say(error.message); } finally {
    at("go").disabled = false;
    at("sent").hidden = true;
  }
}

at("ask").addEventListener("submit", verify);
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("over", kind === "dragover");
    if (kind !== "drop" || at("go").disabled || !event.dataTransfer.files.length) return;
    at("file").files = event.dataTransfer.files;
    at("url").value = "";
    verify();
  });
}
