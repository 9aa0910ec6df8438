// Signature records (13.2 to 13.5): what each says of this very file, and whether it is by a key that the visitor trusts.
import { byCodePoints, digest, equal, hex } from "./bytes.js";
import { RECORD_NAME, signatureEntries } from "./canonical.js";
import { finding } from "./findings.js";
import { Refused } from "./json.js";
import { BadKey, certificateOf, holds, issuedBy, keyOf } from "./keys.js";
import { MANIFEST_PATH, manifestPlace } from "./layout.js";
import { readManifest } from "./manifest.js";
import { COUNTERSIGNATURE, OMS, readBundle, readStatement } from "./statements.js";

const MOST_RECORD = 1 << 20;
const MOST_RECORDS = 1024;
const MOST_TAIL = 16 << 20;
const MOST_PUBLISHERS = 64;
const TYPES = { oms: OMS, sig: OMS, cnt: COUNTERSIGNATURE };
const STRUCTURAL = new Set(["readme", "chunks", "manifest", "history", "publisher-signature"]);
const MODELS = new Set(["weights", "projector", "adapter", "draft"]);
const KEPT = /^META-LLAMAFILE\/history\/([0-9a-f]{64})\/([^/]+)$/;

/** `{findings, records, publishers}`: each record and publisher signature, and, if it is in order, its `bundle` and `statement`. */
export async function checkRecords(source, archive, { manifest, data, layout }) {
  const findings = [];
  const records = await readRecords(source, archive);
  const about = {
    manifest: hex(await digest(data)),
    covered: manifestPlace(layout, data.length).end,
    due: dueResources(manifest, hex(await digest(data))),
    digests: new Set(manifest.members.map(member => member.sha256)),
    records,
  };
  for (const record of records) if (TYPES[record.kind] || record.kind === "att") findings.push(...(await checkRecord(record, about)));
  const publishers = await checkPublishers(source, manifest, findings);
  findings.push(...(await checkHistory(source, manifest)));
  return { findings, records, publishers };
}

/** Records in order, up to the first that is out of form. */
async function readRecords(source, archive) {
  const found = [];
  let total = 0;
  for (const entry of signatureEntries(archive)) {
    const name = RECORD_NAME.exec(entry.path);
    total += entry.size;
    const fits = entry.dataOffset >= 0 && entry.size <= MOST_RECORD && total <= MOST_TAIL && found.length < MOST_RECORDS;
    if (!name || Number(name[1]) !== found.length + 1 || !fits) break;
    const data = await source.read(entry.dataOffset, entry.size);
    found.push({ path: entry.path, kind: name[2] || name[3], index: found.length, offset: entry.dataOffset, data, size: data.length, sha256: hex(await digest(data)) });
  }
  return found;
}

/** What the statement of an `oms` or `sig` record must name (13.3.6): digests by name. */
function dueResources({ members, prefix }, manifestDigest) {
  const assets = prefix.directory ? prefix.directory.assets.filter(asset => !(asset.path.endsWith("/") && !asset.size)) : [];
  return new Map([...members, ...assets].map(({ path, sha256 }) => [path, sha256])).set(MANIFEST_PATH, manifestDigest);
}

const ofRecord = (rule, record, values = {}) => finding(rule, { offset: record.offset, length: record.size, member: record.path }, { path: record.path, ...values });

async function checkRecord(record, about) {
  let bundle;
  let statement;
  try {
    bundle = readBundle(record.data);
    statement = await readStatement(bundle.payload);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return [ofRecord("LF8001", record, { reason: error.message })];
  }
  const due = TYPES[record.kind];
  if (due ? statement.type !== due : Object.values(TYPES).includes(statement.type))
    return [ofRecord("LF8001", record, { reason: `a record of kind ${record.kind} has the predicate type ${statement.type.slice(0, 100)}` })];
  const findings = [...(await ownCertificate(bundle, record)), ...speaksOf(record, statement, about)];
  if (!findings.length) Object.assign(record, { bundle, statement });
  return findings;
}

/** A bundle that brings certificates must at least hold under the first (13.3.10). Who is behind them is not asked here. */
async function ownCertificate(bundle, record) {
  if (bundle.method === "key") return [];
  try {
    const chain = bundle.certificates.map(certificateOf);
    if (chain.includes(undefined)) throw new BadKey("a certificate is none");
    for (const [at, certificate] of chain.entries()) {
      const issuer = chain[at + 1] || (equal(certificate.issuer, certificate.subject) ? certificate : undefined); // a root signs itself
      if (issuer && (await issuedBy(certificate, issuer)) === false) throw new BadKey("the certificates are no chain: one has not signed the one before it");
    }
    const key = await keyOf(chain[0].spki);
    const held = await holds(key, bundle.signature, bundle.signed);
    const named = ["", key.keyId].includes(bundle.keyId);
    return held === false || !named ? [ofRecord("LF8006", record)] : [];
  } catch (error) {
    if (!(error instanceof BadKey)) throw error;
    return [ofRecord("LF8001", record, { reason: error.message })];
  }
}

/** Does a statement speak of this file? A genuine signature of another file is none of this one. */
function speaksOf(record, statement, about) {
  const findings = [];
  const earlier = about.records.slice(0, record.index);
  if (record.kind === "oms" || record.kind === "sig") {
    const reason = resourcesDiffer(statement.resources, about.due, earlier);
    if (reason) findings.push(ofRecord("LF8002", record, { reason }));
  } else if (record.kind === "cnt") {
    const listed = JSON.stringify(statement.records.map(({ path, sha256, size }) => [path, sha256, size]));
    const there = JSON.stringify(earlier.map(({ path, sha256, size }) => [path, sha256, size]));
    if (statement.subject !== about.manifest || listed !== there) findings.push(ofRecord("LF8004", record, { reason: "its subject is another manifest, or the records in front of it are others" }));
  } else if (statement.subject !== about.manifest && !about.digests.has(statement.subject)) findings.push(ofRecord("LF8005", record, { sha256: statement.subject }));
  const { annotations } = statement;
  for (const [field, found, allowed] of annotations ? [["manifest_sha256", annotations.manifest, about.manifest], ["covered", annotations.covered, about.covered]] : [])
    if (found !== allowed) findings.push(ofRecord("LF8003", record, { field, found, allowed }));
  return findings;
}

function resourcesDiffer(resources, due, earlier) {
  const named = new Map(resources.map(({ name, sha256 }) => [name, sha256]));
  const before = new Map(earlier.map(({ path, sha256 }) => [path, sha256]));
  const other = [...due].filter(([name, sha256]) => named.has(name) && named.get(name) !== sha256).map(([name]) => name);
  const absent = [...due.keys()].filter(name => !named.has(name));
  const strange = [...named].filter(([name, sha256]) => !due.has(name) && before.get(name) !== sha256).map(([name]) => name);
  return [["has another digest for", other], ["does not name", absent], ["names what is not there:", strange]]
    .filter(([, names]) => names.length)
    .map(([what, names]) => `it ${what} ${names.sort(byCodePoints).slice(0, 3).join(", ")}`)
    .join("; ");
}

/** Publisher signatures: their form, and which members they name, matched by digest (13.5.3, 13.5.4). */
async function checkPublishers(source, { members }, findings) {
  const found = [];
  const publishers = members.filter(member => member.role === "publisher-signature");
  for (const [number, member] of publishers.entries()) {
    const told = (rule, values) => findings.push(finding(rule, { offset: member.offset, length: member.size, member: member.path }, { path: member.path, ...values }));
    try {
      if (number >= MOST_PUBLISHERS) throw new Refused("there are too many");
      if (!member.size || member.size > MOST_RECORD) throw new Refused("it has not the size of a bundle");
      const bundle = readBundle(await source.read(member.offset, member.size), false);
      const statement = await readStatement(bundle.payload);
      if (statement.type !== OMS) throw new Refused("its statement is of another type");
      const there = new Set(members.filter(each => !STRUCTURAL.has(each.role)).map(each => each.sha256));
      const matched = statement.resources.filter(each => there.has(each.sha256));
      const total = statement.resources.length;
      told(matched.length ? "LF8303" : "LF8302", { total, matched: matched.length, names: matched.slice(0, 3).map(each => each.name).join(", ") });
      found.push({ path: member.path, kind: "publisher", offset: member.offset, size: member.size, bundle, statement, about: matched.map(each => each.sha256) });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      told("LF8301", { reason: error.message });
    }
  }
  return found;
}

/** Records of earlier files that a repack kept (13.7.2): what cannot be read as one is said. */
async function checkHistory(source, { members }) {
  const files = new Map();
  let count = 0;
  for (const member of members.filter(each => each.role === "history")) {
    const [, folder, name] = KEPT.exec(member.path) || [];
    if (!folder) continue;
    if (!files.has(folder)) files.set(folder, { signed: [] });
    const record = RECORD_NAME.exec(`META-LLAMAFILE/signatures/${name}`);
    if (name === "manifest.json") files.get(folder).manifest = member;
    else if (record && count++ < MOST_RECORDS && TYPES[record[2]]) files.get(folder).signed.push(member);
  }
  const findings = [];
  const told = (member, reason) => findings.push(finding("LF8311", { offset: member.offset, length: member.size, member: member.path }, { path: member.path, reason }));
  for (const [folder, { manifest, signed }] of files) {
    if (!signed.length) continue;
    const data = manifest ? await source.read(manifest.offset, Math.min(manifest.size, 16 << 20)) : new Uint8Array(0);
    if (!manifest || hex(await digest(data)) !== folder || !readManifest(data, 0).manifest) {
      told(manifest || signed[0], "the manifest that it signs is not kept beside it, or cannot be read");
      continue;
    }
    for (const member of signed) {
      const reason = await faultOfKept(source, member, folder);
      if (reason) told(member, reason);
    }
  }
  return findings;
}

async function faultOfKept(source, member, folder) {
  if (member.size > MOST_RECORD) return "larger than a record may be";
  try {
    const statement = await readStatement(readBundle(await source.read(member.offset, member.size)).payload);
    const named = statement.resources.filter(each => each.name === MANIFEST_PATH).map(each => each.sha256);
    if (statement.annotations) named.push(statement.annotations.manifest);
    if (!statement.resources.length) named.push(statement.subject);
    return named.length && named.every(each => each === folder) ? "" : "it is about another manifest than the one kept beside it";
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return error.message;
  }
}

/** Findings about who signed, by the trusted `signers`: a list of lists of one key or a pair (13.4, 13.8.5). What is by one of
 * them gets `signer` and `key`, and `counts`. */
export async function judgeRecords(records, publishers, signers) {
  const findings = [];
  const vouching = records.filter(record => record.bundle && TYPES[record.kind]);
  for (const record of [...records.filter(each => each.bundle), ...publishers]) findings.push(...(await judgeRecord(record, signers)));
  const held = vouching.filter(record => record.key);
  const votes = [...held, ...publishers.filter(each => each.key)];
  for (const vote of votes) {
    const half = vote.signer.length > 1 && !vote.key.postQuantum;
    const others = votes.filter(other => other.signer === vote.signer && other.key.postQuantum);
    vote.counts = !half || covered(vote, others);
    if (!vote.counts && ![...vouching, ...publishers].some(other => other.unchecked)) findings.push(ofRecord("LF8106", vote, { signer: nameOf(vote.signer), key: vote.key.keyId }));
  }
  const counting = held.filter(record => record.counts);
  const known = new Set(signers.flat().map(key => key.keyId));
  const due = new Map(counting.flatMap(record => (record.statement.annotations ? record.statement.annotations.cosigners : []).map(key => [key, record])));
  for (const [key, record] of due) {
    if (held.some(other => other.key.keyId === key)) continue;
    const claimed = vouching.some(other => other.bundle.keyId === key) && !known.has(key);
    findings.push(ofRecord(claimed ? "LF8119" : "LF8105", record, { key }));
  }
  const unsure = vouching.find(record => record.unchecked);
  if (!vouching.length) findings.push(finding("LF8101"));
  else if (!counting.length && unsure) findings.push(ofRecord("LF8112", unsure, { reason: unsure.unchecked }));
  else if (!counting.length) findings.push(finding("LF8104", {}, { role: "signer", wanted: 1, found: 0 }));
  return findings;
}

/** True if post-quantum halves speak of everything that a vote speaks of: the whole file, or the same weights. */
function covered(vote, halves) {
  const named = new Set(halves.flatMap(half => half.about || []));
  return halves.some(half => !half.about) || Boolean(halves.length && vote.about && vote.about.every(each => named.has(each)));
}

/** What a signer is called: nothing but its key says who it is. */
export function nameOf(signer) {
  return `key ${signer[0].keyId.slice(0, 16)}`;
}

async function judgeRecord(record, signers) {
  const { bundle } = record;
  for (const signer of bundle.method === "key" ? signers : [])
    for (const key of signer) {
      const held = await holds(key, bundle.signature, bundle.signed);
      const named = bundle.keyId === key.keyId || bundle.hint === key.hint;
      if (held) {
        if (!["", key.keyId].includes(bundle.keyId) || !["", key.hint].includes(bundle.hint)) return [ofRecord("LF8114", record, { key: key.keyId })];
        Object.assign(record, { key, signer });
        return [];
      }
      if (held === undefined && named) {
        record.unchecked = `this browser does not know ${key.algorithm}`;
        return [];
      }
      if (named) return [ofRecord(record.about ? "LF8305" : "LF8102", record, { signer: nameOf(signer), key: key.keyId, reason: "it claims this key and does not hold" })];
    }
  const claim = bundle.method === "key" ? `a key that it calls ${bundle.keyId || bundle.hint || "nothing"}` : "a certificate that it brings along";
  return [ofRecord("LF8103", record, { claim })];
}
