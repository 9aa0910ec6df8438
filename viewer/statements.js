// What a signature record holds: a bundle (13.3.2), and in it a statement (13.3.5), both read strictly.
import { digest, hex, join, unhex, utf8 } from "./bytes.js";
import { Refused, decode, encode } from "./json.js";

const BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PAYLOAD = "application/vnd.in-toto+json";
const STATEMENT = "https://in-toto.io/Statement/v1";
export const OMS = "https://model_signing/signature/v1.0";
export const COUNTERSIGNATURE = "urn:llamafile-format:countersignature:1.0";
const MOST_CERTIFICATES = 10;
const MOST_TEXT = 4096;
const ID = /^[0-9a-f]{64}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

const wrong = (name, allowed) => new Refused(`${name} is wrong: ${allowed} is allowed`);

/** The fields of an object that has all of `needed`, and no others but `optional`. */
function fields(value, name, needed, optional = []) {
  if (!(value instanceof Map)) throw wrong(name, "an object");
  for (const field of needed) if (!value.has(field)) throw wrong(`${name}.${field}`, "a value");
  for (const field of value.keys()) if (!needed.includes(field) && !optional.includes(field)) throw wrong(`${name}.${field}`, "no such field");
  return value;
}

function bytesOf(value, name) {
  let data = "";
  try {
    data = typeof value === "string" ? atob(value) : "";
  } catch {
    throw wrong(name, "base64 with padding");
  }
  if (!data || btoa(data) !== value) throw wrong(name, "base64 in its one spelling");
  return Uint8Array.from(data, character => character.charCodeAt(0));
}

const text = (value, name) => {
  if (typeof value !== "string" || Array.from(value).length > MOST_TEXT) throw wrong(name, "a text of at most 4,096 characters");
  return value;
};
const sha = (value, name) => {
  if (typeof value !== "string" || !ID.test(value)) throw wrong(name, "64 lower-case hexadecimal digits");
  return value;
};
const count = (value, name) => {
  if (typeof value !== "number" && typeof value !== "bigint") throw wrong(name, "a whole number");
  return Number(value);
};
const identifier = (value, name) => (value === "" ? "" : sha(value, name));
const list = (value, name, least = 0) => {
  if (!Array.isArray(value) || value.length < least) throw wrong(name, "a list");
  return value;
};

/** A bundle: `{payload, signature, signed, method, keyId, hint, certificates}`. `canonical` is false for what others keep as
 * they wrote it (13.5.3), where a `keyid` of null is one that is absent. Throws Refused. */
export function readBundle(data, canonical = true) {
  const value = fields(canonical ? decode(data) : ofOthers(data), "the bundle", ["dsseEnvelope", "mediaType", "verificationMaterial"]);
  if (value.get("mediaType") !== BUNDLE) throw wrong("mediaType", BUNDLE);
  const envelope = fields(value.get("dsseEnvelope"), "dsseEnvelope", ["payload", "payloadType", "signatures"]);
  if (envelope.get("payloadType") !== PAYLOAD) throw wrong("payloadType", PAYLOAD);
  const signatures = list(envelope.get("signatures"), "signatures");
  if (signatures.length !== 1) throw wrong("signatures", "exactly one");
  const signature = fields(signatures[0], "signatures[0]", ["sig"], ["keyid"]);
  const payload = bytesOf(envelope.get("payload"), "payload");
  const type = utf8(PAYLOAD);
  return {
    ...material(value.get("verificationMaterial")),
    payload,
    signature: bytesOf(signature.get("sig"), "sig"),
    keyId: identifier(signature.has("keyid") ? signature.get("keyid") : "", "keyid"),
    signed: join(utf8(`DSSEv1 ${type.length} `), type, utf8(` ${payload.length} `), payload),
  };
}

function ofOthers(data) {
  const value = decode(data, { exact: false, nulls: true });
  const envelope = value instanceof Map && value.get("dsseEnvelope");
  const signatures = envelope instanceof Map && envelope.get("signatures");
  const signature = Array.isArray(signatures) && signatures[0];
  if (signature instanceof Map && signature.get("keyid") === null) signature.delete("keyid");
  return decode(encode(value)); // no null is left
}

function material(value) {
  const kinds = ["publicKey", "x509CertificateChain", "certificate"];
  fields(value, "verificationMaterial", [], [...kinds, "tlogEntries", "timestampVerificationData"]);
  const named = kinds.filter(kind => value.has(kind));
  if (named.length !== 1) throw wrong("verificationMaterial", "exactly one way to say who signed");
  const rawBytes = item => bytesOf(fields(item, "certificates[]", ["rawBytes"]).get("rawBytes"), "rawBytes");
  if (named[0] === "certificate") return { method: "sigstore", hint: "", certificates: [rawBytes(value.get("certificate"))] };
  const entries = value.has("tlogEntries") ? value.get("tlogEntries") : [];
  const stamps = value.has("timestampVerificationData") ? value.get("timestampVerificationData") : new Map();
  if (!Array.isArray(entries) || entries.length || !(stamps instanceof Map) || stamps.size) throw wrong("verificationMaterial", "no entries that nobody checks");
  if (named[0] === "publicKey") {
    const key = fields(value.get("publicKey"), "publicKey", [], ["hint"]);
    return { method: "key", hint: identifier(key.has("hint") ? key.get("hint") : "", "hint"), certificates: [] };
  }
  const chain = list(fields(value.get("x509CertificateChain"), "x509CertificateChain", ["certificates"]).get("certificates"), "certificates", 1);
  if (chain.length > MOST_CERTIFICATES) throw wrong("certificates", `1 to ${MOST_CERTIFICATES}`);
  const certificates = chain.map(rawBytes);
  if (new Set(certificates.map(hex)).size !== certificates.length) throw wrong("certificates", "each once");
  return { method: "certificate", hint: "", certificates };
}

/** A statement: `{type, subject, annotations, resources, records}`, whoever wrote it. Throws Refused. */
export async function readStatement(payload) {
  const value = fields(decode(payload, { exact: false }), "the statement", ["_type", "predicate", "predicateType", "subject"]);
  if (value.get("_type") !== STATEMENT) throw wrong("_type", STATEMENT);
  const type = value.get("predicateType");
  if (typeof type !== "string" || !type) throw wrong("predicateType", "a URI");
  const subjects = list(value.get("subject"), "subject");
  if (subjects.length !== 1) throw wrong("subject", "exactly one");
  const subject = fields(subjects[0], "subject[0]", ["digest"], ["name", "annotations"]);
  const named = fields(subject.get("digest"), "subject[0].digest", ["sha256"]).get("sha256");
  const predicate = value.get("predicate");
  if (!(predicate instanceof Map)) throw wrong("predicate", "an object");
  const resources = type === OMS ? readResources(predicate) : [];
  const root = resources.length ? hex(await digest(join(...resources.map(each => unhex(each.sha256))))) : named;
  if (root !== named) throw wrong("subject[0].digest", "the digest of the resources");
  text(subject.has("name") ? subject.get("name") : "", "subject[0].name");
  return {
    type,
    subject: sha(named, "subject[0].digest.sha256"),
    annotations: readAnnotations(subject.get("annotations")),
    resources,
    records: type === COUNTERSIGNATURE ? readListed(predicate) : [],
  };
}

function readResources(predicate) {
  fields(predicate, "predicate", ["resources", "serialization"]);
  const serialization = fields(predicate.get("serialization"), "serialization", ["hash_type", "method"], ["allow_symlinks", "ignore_paths", "shard_size"]);
  if (serialization.get("method") !== "files" || serialization.get("hash_type") !== "sha256") throw wrong("serialization", "files by sha256");
  const found = list(predicate.get("resources"), "resources", 1).map((item, index) => {
    const at = `resources[${index}]`;
    if (!(item instanceof Map) || !["name", "digest", "algorithm"].every(field => item.has(field))) throw wrong(at, "name, digest and algorithm");
    if (item.get("algorithm") !== "sha256") throw wrong(`${at}.algorithm`, "sha256");
    return { name: text(item.get("name"), `${at}.name`), sha256: sha(item.get("digest"), `${at}.digest`) };
  });
  if (new Set(found.map(each => each.name)).size !== found.length) throw wrong("resources", "each once");
  return found;
}

function readListed(predicate) {
  return list(fields(predicate, "predicate", ["records"]).get("records"), "records").map((item, index) => {
    const at = `records[${index}]`;
    fields(item, at, ["path", "sha256", "size"]);
    return { path: text(item.get("path"), `${at}.path`), sha256: sha(item.get("sha256"), `${at}.sha256`), size: count(item.get("size"), `${at}.size`) };
  });
}

/** Our own annotations (13.3.7); undefined for those of others, which say nothing here. */
function readAnnotations(value) {
  if (!(value instanceof Map) || value.get("format") !== "llamafile/1.0") return undefined;
  fields(value, "annotations", ["cosigners", "covered", "format", "manifest_sha256", "revision"], ["declared_time"]);
  const cosigners = list(value.get("cosigners"), "cosigners").map(each => sha(each, "cosigners"));
  if (cosigners.some((each, index) => index && each <= cosigners[index - 1])) throw wrong("cosigners", "key ids, sorted, each once");
  const time = value.has("declared_time") ? value.get("declared_time") : "";
  if (time !== "" && !isTime(time)) throw wrong("declared_time", "a time such as 2026-11-21T14:00:00Z");
  count(value.get("revision"), "revision");
  return { manifest: sha(value.get("manifest_sha256"), "manifest_sha256"), covered: count(value.get("covered"), "covered"), cosigners, time };
}

function isTime(value) {
  const made = typeof value === "string" && TIME.test(value) ? new Date(value) : new Date(NaN);
  return !Number.isNaN(made.getTime()) && made.toISOString().startsWith(value.slice(0, -1));
}
