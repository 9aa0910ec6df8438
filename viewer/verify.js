// The procedure (10.6): what is it, the archive, the manifest, the canonical bytes, digests, signatures, verdicts.
import { sha256 } from "./bytes.js";
import { HEAD, INDEX, INDEX_MAGIC, POLYGLOT, convertedForm } from "./bootstrap.js";
import { checkPadding, checkStructure } from "./canonical.js";
import { MOST_WHOLE, Stopped, checkChunks } from "./chunks.js";
import { checkClaims } from "./claims.js";
import { checkContents, membersOf } from "./contents.js";
import { engineRecords } from "./engine_archive.js";
import { isEngineAsset } from "./engine_name.js";
import { checkFits } from "./fit.js";
import { AUTHENTIC, VALID, WELL_FORMED, finding, judge, unique } from "./findings.js";
import { engineEnd, generationsOf } from "./generations.js";
import { isFrozen, programWithArchive, recognise } from "./impostors.js";
import { checkLauncher } from "./launcher.js";
import { checkCrcs, checkLegacy, checkLostTail } from "./legacy.js";
import { CHUNK, MANIFEST_PATH, layoutOf, manifestPlace } from "./layout.js";
import { readManifest } from "./manifest.js";
import { isWeightsName } from "./names.js";
import { learnOwn } from "./own.js";
import { checkPrograms } from "./programs.js";
import { PROGRAMS, checkPrefix, identify } from "./prefix.js";
import { equal, startsWith } from "./bytes.js";
import { checkRecovery } from "./recovery.js";
import { checkRuntimes } from "./runtimes.js";
import { checkRecords, judgeRecords } from "./signatures.js";
import { sourceOf, withHead } from "./source.js";
import { entryOf, inPlace, MARK, readArchive } from "./zip.js";
import { checkArchive } from "./zip_faults.js";

const MOST_MANIFEST = 16 << 20;

/** A file, opened: archive, manifest, kind. Reads some tens of KiB, however large the file is. */
export async function openFile(blob) {
  await learnOwn();
  const raw = sourceOf(blob);
  const archive = await readArchive(raw);
  const form = await formOf(raw);
  const source = form ? withHead(raw, POLYGLOT) : raw;
  const file = { source, archive, form: form || "polyglot", manifest: undefined, manifestFindings: [], data: new Uint8Array(0), digest: "" };
  const entry = entryOf(archive, MANIFEST_PATH);
  if (entry && entry.dataOffset >= 0 && entry.size > MOST_MANIFEST)
    file.manifestFindings = [finding("LF3001", {}, { size: entry.size, limit: MOST_MANIFEST })];
  else if (entry && entry.dataOffset >= 0) {
    file.data = await source.read(entry.dataOffset, entry.size);
    file.digest = await sha256(file.data);
    const { manifest, findings, value } = readManifest(file.data, entry.dataOffset);
    Object.assign(file, { manifest, manifestFindings: findings, value });
  }
  const [first] = inPlace(archive.entries);
  file.facts = await identify(source, file.manifest ? file.manifest.prefix.size : first ? first.headerOffset : source.size);
  file.kind = await isFrozen(raw) ? "other" : kindOf(file);
  return file;
}

async function formOf(source) {
  const head = await source.read(0, 4);
  if (!startsWith(head, [0x7f, 0x45, 0x4c, 0x46]) || !startsWith(await source.read(INDEX, 8), INDEX_MAGIC)) return undefined;
  return convertedForm(await source.read(0, HEAD));
}

function kindOf({ archive, facts }) {
  if (entryOf(archive, MANIFEST_PATH) || (archive.tail && equal(archive.tail.comment, MARK))) return "container";
  if (archive.entries.some(({ path }) => isWeightsName(path) || path === ".args")) return "legacy";
  return PROGRAMS.includes(facts.kind) && archive.entries.some(({ path }) => isEngineAsset(path)) ? "legacy" : "other";
}

/** A report of an opened file: verdicts, findings, `checked` (paths of members that were found right), and `leftOut`: what this
 * page does not look at. `signers` are whom the visitor trusts: lists of one key or a pair. `known` is an earlier report with `full`: its bytes are not read
 * again. `full` reads every byte; `told(done, total)` is called as it goes, and `stop()` asked. */
export async function verify(file, { full = true, signers = [], known, told, stop } = {}) {
  const run = { findings: [], leftOut: [], checked: new Set(), records: [], publishers: [], full: full || Boolean(known), known, signers, told, stop, complete: true };
  try {
    await procedure(file, run);
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    run.complete = false;
    run.stopped = true;
  }
  const verdicts = {};
  const asked = run.signers.length && file.kind !== "other";
  if (asked) run.findings.push(...unestablished(file, run));
  const findings = unique(run.findings);
  if (file.kind !== "other")
    for (const layer of [WELL_FORMED, VALID, ...(asked ? [AUTHENTIC] : [])])
      verdicts[layer] = judge(findings, layer, run.complete && !run.leftOut.some(left => left.layer === layer));
  return { ...run, findings, verdicts };
}

/** Why nobody's word can count, whatever the records say (13.4.2). What this page left out leaves that open too. */
function unestablished({ manifest }, run) {
  const formed = judge(run.findings, WELL_FORMED, run.complete);
  if (formed === "no") return [finding("LF8116")];
  if (!manifest) return [finding("LF8101")];
  if (judge(run.findings, AUTHENTIC) === "no") return [];
  for (const left of run.leftOut.filter(each => each.layer === WELL_FORMED)) run.leftOut.push({ ...left, layer: AUTHENTIC });
  return formed === "undetermined" ? [finding("LF8122")] : [];
}

async function procedure(file, run) {
  const { source, archive, manifest } = file;
  const add = found => run.findings.push(...found);
  const leave = (layer, clause, what) => run.leftOut.push({ layer, clause, what });
  if (file.kind === "other") return notOurs(file, run, add);
  if (file.kind === "legacy") return ofLegacy(file, run, add, leave);
  add(await checkArchive(source, archive, { prefixSize: manifest && manifest.prefix.size }));
  if (archive.capped) return add([finding("LF9003", {}, { path: "the members", reason: "the directory has more than is read" })]);
  add(file.manifestFindings);
  if (!manifest) {
    if (!file.manifestFindings.length) add([finding("LF3028", {}, { mark: "llamafile-format/1" })]);
    return add([finding("LF9003", {}, { path: "the members", reason: "there is no usable manifest" })]);
  }
  const claimed = checkClaims(manifest);
  add(claimed);
  const layout = layoutOf(manifest);
  const end = layout ? manifestPlace(layout, file.data.length).end : 0;
  if (layout && end > source.size) add([finding("LF3107", { offset: source.size }, { end, size: source.size })]);
  if (!layout || end > source.size) return add([finding("LF9003", {}, { path: "the members", reason: "the manifest does not fit the file" })]);
  const engine = await engineOf(source, manifest);
  const records = [];
  if (manifest.prefix.directory) for (const entry of engine.carried) records.push(await source.read(entry.recordOffset, entry.record.length));
  const claims = { manifest, data: file.data, layout, engineRecords: records };
  const trailing = run.findings.filter(found => found.rule === "LF2011").map(found => found.where.offset);
  add((await checkStructure(source, archive, claims)).filter(found => found.rule !== "LF3106" || !trailing.includes(found.where.offset)));
  await checkFront(file, engine, run, add);
  add(await checkPadding(source, manifest));
  if (claimed.some(found => found.rule === "LF3013" || found.rule === "LF3016"))
    add([finding("LF9001", {}, { what: "digests, because the layout is not the manifest's" })]);
  else if (run.full) {
    run.digests = run.known ? run.known.digests : await checkChunks(source, claims, { told: run.told, stop: run.stop });
    const { findings, checked, left } = run.digests;
    add(findings);
    run.checked = checked;
    add(await checkRecovery(source, claims, file.value, judge(run.findings, WELL_FORMED) === "no"));
    if (left.length) add([finding("LF9002", {}, { what: left.slice(0, 3).join(", ") + (left.length > 3 ? ` and ${left.length - 3} more` : "") })]);
  } else {
    if (manifest.prefix.size || manifest.members.some(member => member.size)) add([finding("LF9001", {}, { what: "member data and prefix" })]);
    add(await checkRecovery(source, claims, file.value, judge(run.findings, WELL_FORMED) === "no"));
  }
  const runtimes = await checkRuntimes(source, manifest, run.full);
  add(runtimes.findings);
  if (runtimes.pins.length) add(await checkFits(source, membersOf(file, 0), manifest.default, runtimes.pins));
  leave(VALID, "7", "what is in weights and templates");
  add(await checkContents(file, Math.min(manifest.prefix.engineSize, source.size), run.full));
  if (run.full) add(await unknownPrograms(file, Math.min(manifest.prefix.engineSize, source.size), run));
  await checkSigned(file, claims, run, add);
  return undefined;
}

/** Step 7: what the records say, and whether they are by a key that is trusted. */
async function checkSigned({ source, archive }, claims, run, add) {
  const { findings, records, publishers } = await checkRecords(source, archive, claims);
  add(findings);
  Object.assign(run, { records, publishers });
  if (records.some(record => record.kind === "tsr" || record.kind === "vm")) run.leftOut.push({ layer: WELL_FORMED, clause: "13.6", what: "time stamps" });
  if (records.some(record => record.bundle && record.bundle.certificates.length))
    run.leftOut.push({ layer: WELL_FORMED, clause: "13.9", what: "certificates: a signature by one is by somebody unknown to this page" });
  if (run.signers.length) add(await judgeRecords(records, publishers, run.signers));
  else if (records.length) add([finding("LF9005", {}, { count: records.length })]);
}

/** A file that is neither: what it is instead, and then there is no word needed about an archive that is not there. */
async function notOurs({ source, archive, facts }, run, add) {
  const instead = (await recognise(source)) || programWithArchive(facts, archive.entries.length);
  if (instead) add([instead]);
  run.complete = !instead || !["LF1010", "LF1011"].includes(instead.rule);
  add(archive.findings.filter(found => !(instead && found.rule === "LF2001")));
  if (!archive.tail) add(await checkLostTail(source));
}

/** A legacy llamafile (chapter 9): explained, and verified as far as CRC-32 goes. */
async function ofLegacy(file, run, add, leave) {
  const { source, archive, facts } = file;
  add(await checkArchive(source, archive, { legacy: true }));
  if (archive.capped) return add([finding("LF9003", {}, { path: "the members", reason: "the directory has more than is read" })]);
  const generations = await generationsOf(source, archive);
  const programEnd = facts.end || 0;
  const engineSize = engineEnd(archive, generations, source.size, programEnd);
  add(await checkLegacy(source, archive, generations, programEnd));
  add(await checkPrefix(source, engineSize, facts, { legacy: true }));
  if (run.full) {
    const stop = () => {
      if (run.stop && run.stop()) throw new Stopped();
    };
    run.digests = run.known ? run.known.digests : await checkCrcs(source, archive, { told: run.told, stop });
    add(run.digests.findings);
    run.checked = run.digests.checked;
  }
  add([finding("LF9004", {}, { detail: run.full ? "" : ", and not at level quick" })]);
  leave(VALID, "7", "what is in weights and templates");
  add(await checkContents(file, engineSize, run.full));
  return run.full ? add(await unknownPrograms(file, engineSize, run)) : undefined;
}

/** Programs that nobody knows (14.8), once for a file; a launcher that was compared byte for byte is none of them. */
async function unknownPrograms(file, engineSize, run) {
  if (run.known && run.known.programs) return (run.programs = run.known.programs);
  const { manifest, facts } = file;
  const launcher = manifest && manifest.prefix.kind === "launcher" && facts.kind === "launcher";
  const launched = launcher && !(await checkLauncher(file, true)).some(found => found.rule === "LF1027");
  const compared = ({ path, role, size }) => run.checked.has(path) && (size <= CHUNK || (role === "runtime" && size <= MOST_WHOLE));
  const proven = new Set((manifest ? manifest.members : []).filter(compared).map(member => member.path));
  return (run.programs = await checkPrograms(file, engineSize, membersOf(file, engineSize), { launched, proven }));
}

async function engineOf(source, manifest) {
  const { prefix, members } = manifest;
  const without = prefix.directory ? prefix.directory.dropped.filter(({ path, reason }) => reason === "unsafe-name" && path.endsWith("/")) : [];
  return engineRecords(source, Math.min(prefix.engineSize, source.size), members.map(member => member.path), without.map(({ path }) => path));
}

/** The prefix against what the manifest says of it (LF3027, LF3026, LF2047). */
async function checkFront(file, engine, run, add) {
  const { source, manifest } = file;
  const { prefix } = manifest;
  const { facts } = file;
  if (facts.kind !== prefix.kind) add([finding("LF3027", { offset: 0, length: prefix.size, field: "prefix.kind" }, { claimed: prefix.kind, found: facts.kind })]);
  const launcher = facts.kind === "launcher" ? await checkLauncher(file, run.full) : undefined;
  add(await checkPrefix(source, prefix.size, facts, { launcher }));
  const where = { offset: engine.offset, length: engine.size, field: "prefix.directory" };
  const actual = JSON.stringify([engine.offset, engine.size, engine.count, engine.carried.map(({ path, size }) => [path, size]), engine.dropped]);
  const { directory } = prefix;
  const claimed = directory
    ? [directory.offset, directory.size, directory.count, directory.assets.map(({ path, size }) => [path, size]), directory.dropped.map(({ path, reason }) => [path, reason])]
    : [0, 0, 0, [], []];
  if (JSON.stringify(claimed) !== actual) add([finding("LF3026", where, { reason: `it has ${engine.count} records, ${engine.carried.length} to carry over` })]);
  else if (engine.leftOut.length) add([finding("LF2047", where, { count: engine.leftOut.length, first: engine.leftOut[0] })]);
  if (engine.opaque !== prefix.opaque)
    add([finding("LF3026", { field: "prefix.opaque" }, { reason: `the manifest calls it ${JSON.stringify(prefix.opaque)}, the bytes ${JSON.stringify(engine.opaque)}` })]);
}
