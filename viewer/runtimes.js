// Findings about the builds in a container: their names, what is known of them, their pins, and what goes with those (14.1, 14.3).
// What the runtimes inside make of the models is in fit.js.
import { better, buildName, knownBuild, knownPin } from "./builds.js";
import { digest, hex, join, sha256, textOf, utf8 } from "./bytes.js";
import { finding } from "./findings.js";
import { checkLibraries, checkList } from "./libraries.js";
import { Senseless, needsOf, objectionsTo } from "./needs.js";
import { BadPin, MOST_PIN, readPin, targetOf } from "./pins.js";
import { partOf } from "./source.js";
import { Broken, frameOf } from "./zstd.js";

const MOST_TEXT = 4 << 20;
const MOST_SHADERS = 16 << 20;
const GUARDS = { "allow-list": "list of what a file may ask for", sandbox: "sandbox around the model" };

/** All findings about the runtimes of a container, and `pins`: those in it if all could be read, none otherwise: an engine that nobody here knows may know
 * what the others do not. At level quick no pin is read. */
export async function checkRuntimes(source, { members, prefix }, full) {
  const findings = loosePages(members);
  const builds = [];
  for (const member of members.filter(each => each.role === "runtime")) {
    const name = buildName(member.path);
    if (name) builds.push({ member, ...name, sha256: member.sha256, key: `${name.engine}@${name.version}`, folder: `runtimes/${name.engine}/${name.version}/` });
    else findings.push(at("LF3300", member));
  }
  if (prefix.kind === "launcher" && !builds.length) findings.push(finding("LF3307", { offset: 0, length: prefix.size, field: "prefix.kind" }));
  findings.push(...builds.flatMap(build => ofDigest(build)));
  for (const key of new Set(builds.map(build => build.key))) findings.push(...ofVersion(builds.filter(build => build.key === key)));
  for (const { member, target, flavour, key } of builds) {
    const native = builds.some(each => each.key === key && each.target === target && each.flavour === "native");
    if (flavour === "gpu" && !native) findings.push(at("LF3328", member, { target, runtime: key }));
  }
  if (!full) return { findings, pins: [] };
  const pins = [];
  for (const folder of new Set(builds.map(build => build.folder))) {
    const told = await ofPin(source, members, prefix, folder, builds.filter(build => build.folder === folder));
    findings.push(...told.findings);
    pins.push(told.pin);
  }
  return { findings, pins: pins.includes(undefined) ? [] : pins };
}

function at(rule, { path, offset, size }, values = {}) {
  return finding(rule, { offset, length: size, member: path }, { path, ...values });
}

/** A chat page that a runtime would find by name, without a build whose pin says what it is (LF3323). */
function loosePages(members) {
  const folderOf = path => (/^(runtimes\/[^/]*\/[^/]*\/)webui\.tar$/.exec(path) || [])[1];
  return members
    .filter(({ path }) => folderOf(path) && !members.some(other => other.role === "runtime" && other.path.startsWith(folderOf(path))))
    .map(member => at("LF3323", member));
}

function ofDigest({ member }) {
  const known = knownBuild(member.sha256);
  if (!known) return [at("LF3330", member, { sha256: member.sha256 })];
  return known.status === "refused" ? [at("LF3331", member, { build: known.key, reason: known.reason })] : [];
}

/** What there is to say of builds of one engine and version: once for all of them (LF3350 to LF3352). */
function ofVersion(builds) {
  const group = builds.map(build => ({ build, known: knownBuild(build.sha256) })).filter(({ known }) => known && known.status !== "refused");
  if (!group.length) return [];
  const where = { member: group[0].build.folder.slice(0, -1) };
  const findings = [];
  const old = group.find(({ known }) => known.status === "superseded");
  if (old) findings.push(finding("LF3352", where, { build: old.known.key, date: old.known.date, reason: old.known.reason }));
  const lacking = Object.keys(GUARDS).filter(guard => group.some(({ known }) => known.lacks.includes(guard)));
  if (!lacking.length) return findings;
  const bare = group.filter(({ known }) => known.lacks.length);
  const { key } = group[0].known;
  const values = {
    build: bare.length === group.length ? key : `${key} for ${[...new Set(bare.map(({ build }) => build.target))].join(", ")}`,
    lacks: lacking.map(guard => GUARDS[guard]).join(" and no "),
  };
  const newer = group.map(({ build }) => better(build)).find(Boolean);
  findings.push(newer ? finding("LF3350", where, { ...values, runtime: `${newer.engine}@${newer.version}` }) : finding("LF3351", where, values));
  return findings;
}

/** The pin of a folder, and everything that it names, compared (14.1.5, 14.1.11). */
async function ofPin(source, members, prefix, folder, builds) {
  const path = `${folder}runtime.yaml`;
  const member = members.find(each => each.path === path);
  if (!member) return { findings: [finding("LF3304", {}, { path, reason: "it is not in the file" })] };
  if (member.size > MOST_PIN) return { findings: [at("LF3304", member, { reason: `it has ${member.size} bytes, more than ${MOST_PIN}` })] };
  const data = await source.read(member.offset, member.size);
  let pin;
  try {
    pin = readPin(data, path);
  } catch (error) {
    if (error instanceof BadPin) return { findings: [at("LF3304", member, { reason: error.message })] };
    throw error;
  }
  const findings = [];
  for (const build of builds) findings.push(...(await ofBuild(source, pin, build)));
  const known = knownPin(`${pin.name}@${pin.version}`);
  const digests = members.filter(each => each.role === "runtime").map(each => each.sha256);
  if (known && digests.some(each => known.builds.includes(each)) && (await sha256(data)) !== known.document) findings.push(at("LF3324", member, { pin: `${pin.name}@${pin.version}` }));
  return { findings: [...findings, ...(await companions(source, members, prefix, folder, pin, known))], pin };
}

/** LF3305: a build that is not the one that its pin names; LF3326: one that needs what the pin does not say. */
async function ofBuild(source, pin, { member, target, flavour }) {
  const wanted = pin.builds.find(each => each.target === target && each.flavour === flavour);
  if (!wanted || wanted.sha256 !== member.sha256 || wanted.size !== member.size)
    return [at("LF3305", member, { found: member.sha256, wanted: wanted ? wanted.sha256 : "no such build" })];
  let wrong;
  try {
    const program = partOf(source, member.offset, member.size);
    wrong = pin.kind === "python-wheels" ? await objectionsToRunner(program) : objectionsTo(await needsOf(program), targetOf(pin, target, flavour));
  } catch (error) {
    if (!(error instanceof Senseless)) throw error;
    wrong = [error.message];
  }
  const findings = wrong.length ? [at("LF3326", member, { reason: wrong.slice(0, 4).join("; ") })] : [];
  return [...findings, ...(await checkList(source, pin, member, target))];
}

const RUNNER = '#!/bin/sh\n"""true"\n';

/** What speaks against a text that runs Python code of others (14.10.3). */
async function objectionsToRunner(program) {
  const head = await program.read(0, RUNNER.length);
  return textOf(head) === RUNNER ? [] : ["it is no text that says how it is started (14.10.3)"];
}

/** Page, shaders, licences, and whatever else lies in the folder of a pin. */
async function companions(source, members, prefix, folder, pin, known) {
  const findings = [];
  const inside = new Map(members.filter(({ path, role }) => path.startsWith(folder) && role !== "runtime").map(member => [member.path.slice(folder.length), member]));
  const has = name => members.some(({ path, role }) => role === "runtime" && path.startsWith(`${folder}${name}/`));
  const told = new Set(["webui.tar", "shaders.zst", "runtime.yaml", ...(pin.licences.length ? ["LICENCES.txt"] : [])]);
  const missing = (rule, name) => findings.push(finding(rule, { member: `${folder}runtime.yaml` }, { path: `${folder}${name}` }));
  const page = inside.get("webui.tar");
  if (page) {
    const same = pin.webui && pin.webui.sha256 === page.sha256 && pin.webui.size === page.size;
    if (!same) findings.push(at("LF3320", page, { found: page.sha256, wanted: pin.webui ? pin.webui.sha256 : "no page" }));
  } else if (pin.webui && has("native") && !prefix.sibling) missing("LF3353", "webui.tar");
  const shaders = inside.get("shaders.zst");
  if (shaders) {
    const reason = await shadersFault(source, pin.shaders, shaders);
    if (reason) findings.push(at("LF3327", shaders, { reason }));
  } else if (pin.shaders && has("gpu")) missing("LF3354", "shaders.zst");
  if (pin.licences.length) findings.push(...(await ofLicences(source, pin, known, inside.get("LICENCES.txt"), folder)));
  findings.push(...checkLibraries(members, pin, folder, inside));
  for (const [name, member] of inside) if (!told.has(name) && !(pin.libraries.length && name.startsWith("lib/"))) findings.push(...(await ofOther(source, pin, name, member)));
  return findings;
}

/** Why shaders are not the one frame that holds the archive of the pin; empty if they are. */
async function shadersFault(source, wanted, member) {
  if (!wanted) return "its pin names none";
  if (member.size > MOST_SHADERS) return `it has ${member.size} bytes, more than ${MOST_SHADERS}`;
  try {
    const found = frameOf(await source.read(member.offset, member.size), wanted.size);
    const own = await sha256(found);
    return found.length === wanted.size && own === wanted.sha256 ? "" : `it holds ${found.length} bytes with the SHA-256 ${own}; its pin names ${wanted.size} bytes with ${wanted.sha256}`;
  } catch (error) {
    if (error instanceof Broken) return error.message;
    throw error;
  }
}

async function ofLicences(source, pin, known, member, folder) {
  if (!member) return [finding("LF3321", {}, { path: `${folder}LICENCES.txt`, reason: "it is not in the file" })];
  if (member.size > MOST_TEXT) return [at("LF3321", member, { reason: `it has ${member.size} bytes, more than ${MOST_TEXT}` })];
  const data = await source.read(member.offset, member.size);
  if (known && (await sha256(data)) !== known.licences) return [at("LF3321", member, { reason: "it is not the text that goes with this pin" })];
  const text = new TextDecoder().decode(data);
  for (const { component, spdx, targets = [] } of pin.licences) {
    const reach = targets.length ? `(in the programs for ${targets.join(", ")})` : "(in every program)";
    if (!text.includes(`${component}\nSPDX-License-Identifier: ${spdx}\n${reach}\n`))
      return [at("LF3321", member, { reason: `${component.slice(0, 80)} under ${spdx.slice(0, 80)} is not in it` })];
  }
  return [];
}

/** What the pin names as its own, by its identifier (14.1.11); the rest is remarked. */
async function ofOther(source, pin, name, member) {
  const own = pin.own.find(each => each.path === name);
  if (!own) return [at("LF3325", member)];
  if (member.size > MOST_TEXT) return [at("LF3322", member, { reason: `it has ${member.size} bytes, more than ${MOST_TEXT}` })];
  const data = await source.read(member.offset, member.size);
  const found = hex(await digest(join(utf8(`blob ${data.length}\0`), data), "SHA-1"));
  return own.swhid === `swh:1:cnt:${found}` ? [] : [at("LF3322", member, { reason: `the pin names another: ${own.swhid}` })];
}
