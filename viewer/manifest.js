// The manifest: its fields (5.3, 5.4, 5.6), read strictly. A fault is a finding; a manifest is returned only if a layout can
// be computed from it.
import { finding } from "./findings.js";
import { Refused, decode } from "./json.js";
import { MANIFEST_PATH } from "./layout.js";

const MOST_BYTES = 16 << 20;
const MOST_TEXT = 4096;
const MOST_MEMBERS = 65534;
const FIELDS = ["format", "version", "profile", "created", "name", "license", "source", "default", "critical", "history", "prefix", "members"];
const PREFIX_FIELDS = ["kind", "size", "sha256", "sha512", "engine_size", "engine_sha256", "directory", "opaque", "sibling"];
const MEMBER_FIELDS = ["alignment", "chunk_root", "crc32", "media_type", "merged_from", "offset", "path", "role", "sha256", "sha512", "size"];
const CREATED = /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$/;
const VERSION = /^(0|[1-9]\d{0,3})\.(0|[1-9]\d{0,3})$/;

/** `{manifest, findings, value}` of the bytes of a manifest; `base` is their offset. `value` is the JSON as it was read. */
export function readManifest(data, base) {
  const reader = new Reader(base);
  const done = manifest => ({ manifest: reader.fatal ? undefined : manifest, findings: reader.findings, value });
  let value;
  if (data.length > MOST_BYTES) {
    reader.report("LF3001", "", { size: data.length, limit: MOST_BYTES });
    return done();
  }
  try {
    value = decode(data);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    reader.report(error.rule, "", { reason: error.message, what: "values in the manifest", found: error.message, limit: 1 << 18 });
    return done();
  }
  if (!(value instanceof Map) || value.get("format") !== "llamafile") {
    reader.report("LF3003", "format", { found: value instanceof Map ? String(value.get("format")).slice(0, 40) : typeof value });
    return done();
  }
  return done(readVersion(reader, value) ? readFields(reader, value) : undefined);
}

/** Gives the fields of an object, and notes what is wrong with them. */
class Reader {
  constructor(base) {
    this.base = base;
    this.findings = [];
    this.fatal = false;
  }

  report(rule, field, values = {}, fatal = true) {
    this.findings.push(finding(rule, { offset: this.base, member: MANIFEST_PATH, field }, { field, ...values }));
    this.fatal ||= fatal;
  }

  /** The value of a field if `fits` says so; else a finding, and `otherwise`. `optional` is what an absent field is. */
  get(object, name, path, [allowed, fits, otherwise], optional) {
    if (!object.has(name)) {
      if (optional === undefined) this.report("LF3006", path + name);
      return optional === undefined ? otherwise : optional;
    }
    const found = object.get(name);
    if (fits(found)) return found;
    this.report("LF3007", path + name, { found: String(found).slice(0, 40), allowed });
    return otherwise;
  }

  text(object, name, path, optional) {
    const found = this.get(object, name, path, ["a string", value => typeof value === "string", ""], optional);
    const length = Array.from(found).length;
    if (length > MOST_TEXT) this.report("LF3007", path + name, { found: `${length} characters`, allowed: `at most ${MOST_TEXT}` });
    return found;
  }

  digest(object, name, path, length, optional) {
    const found = this.get(object, name, path, ["a string", value => typeof value === "string", ""], optional);
    if ((found || object.has(name)) && typeof object.get(name) === "string" && !(found.length === length && /^[0-9a-f]*$/.test(found)))
      this.report("LF3007", path + name, { found: found.slice(0, 72), allowed: `${length} lower-case hex digits` });
    return found;
  }

  number(object, name, path) {
    return Number(this.get(object, name, path, ["an integer", value => ["number", "bigint"].includes(typeof value), 0]));
  }

  object(object, name, path, optional) {
    return this.get(object, name, path, ["an object", value => value instanceof Map, optional === undefined ? new Map() : optional], optional);
  }

  items(object, name, path, optional) {
    return this.get(object, name, path, ["an array", Array.isArray, []], optional);
  }

  /** The objects of an array, each through `read(object, path)`. */
  objects(object, name, path, read, optional) {
    const found = [];
    this.items(object, name, path, optional).forEach((item, index) => {
      const at = `${path}${name}[${index}]`;
      if (item instanceof Map) found.push(read(item, `${at}.`));
      else this.report("LF3007", at, { found: typeof item, allowed: "an object" });
    });
    return found;
  }

  unknown(object, known, path) {
    for (const name of object.keys()) if (!known.includes(name)) this.report("LF3009", path + name, {}, false);
  }
}

function readVersion(reader, value) {
  const version = reader.text(value, "version", "");
  const found = VERSION.exec(version);
  if (!found) reader.report("LF3007", "version", { found: version.slice(0, 20), allowed: "MAJOR.MINOR" });
  else if (found[1] !== "1") reader.report("LF3004", "version", { found: version, allowed: "1.x" });
  else if (Number(found[2]) > 1) reader.report("LF3005", "version", { found: version, allowed: "1.1" }, false);
  return found && found[1] === "1";
}

function readFields(reader, value) {
  const profile = reader.text(value, "profile", "");
  if (profile !== "default" && profile !== "archive") reader.report("LF3011", "profile", { found: profile.slice(0, 40), allowed: "default, archive" });
  const critical = reader.items(value, "critical", "", []);
  critical.forEach((name, index) => FIELDS.includes(name) || reader.report("LF3008", `critical[${index}]`, { found: String(name).slice(0, 60) }));
  const created = reader.text(value, "created", "", "");
  if (created && !CREATED.test(created)) reader.report("LF3007", "created", { found: created.slice(0, 40), allowed: "YYYY-MM-DDThh:mm:ssZ" });
  const many = Array.isArray(value.get("members")) && value.get("members").length > MOST_MEMBERS;
  if (many) reader.report("LF3024", "members", { found: value.get("members").length, allowed: MOST_MEMBERS });
  const wide = profile === "archive";
  const manifest = {
    version: value.get("version"),
    profile,
    created,
    prefix: readPrefix(reader, reader.object(value, "prefix", ""), wide),
    members: many ? [] : reader.objects(value, "members", "", (object, path) => readMember(reader, object, path, wide)),
    history: reader.objects(value, "history", "", object => object, []),
  };
  for (const name of ["name", "license", "source", "default"]) manifest[name] = reader.text(value, name, "", "");
  reader.unknown(value, FIELDS, "");
  return manifest;
}

function readMember(reader, object, path, wide) {
  const alignment = reader.number(object, "alignment", path);
  if (!(alignment >= 1 && alignment <= 1 << 24) || alignment & (alignment - 1))
    reader.report("LF3015", `${path}alignment`, { found: alignment, allowed: `a power of two up to ${1 << 24}` });
  const member = {
    alignment,
    path: reader.text(object, "path", path),
    role: reader.text(object, "role", path),
    mediaType: reader.text(object, "media_type", path),
    offset: reader.number(object, "offset", path),
    size: reader.number(object, "size", path),
    crc32: reader.digest(object, "crc32", path, 8),
    sha256: reader.digest(object, "sha256", path, 64),
    chunkRoot: reader.digest(object, "chunk_root", path, 64),
    sha512: readSecondDigest(reader, object, path, wide),
  };
  if (object.has("merged_from"))
    reader.objects(object, "merged_from", path, (shard, at) => {
      reader.text(shard, "path", at);
      reader.number(shard, "size", at);
      reader.digest(shard, "sha256", at, 64);
    });
  reader.unknown(object, MEMBER_FIELDS, path);
  return member;
}

function readSecondDigest(reader, object, path, wide) {
  const found = reader.digest(object, "sha512", path, 128, "");
  if (wide !== Boolean(found)) reader.report("LF3025", `${path}sha512`, { found: found ? "a sha512" : "no sha512", allowed: wide ? "a sha512" : "none in this profile" });
  return found;
}

function readPrefix(reader, object, wide) {
  const path = "prefix.";
  const size = reader.number(object, "size", path);
  const engineSize = reader.number(object, "engine_size", path);
  if (size % 65536 || !(size - 65536 < engineSize && engineSize <= size))
    reader.report("LF3017", "prefix.size", { found: `size ${size}, engine_size ${engineSize}`, allowed: "size is a multiple of 65536 and holds engine_size bytes with less than 65536 zeros behind" });
  const directory = reader.object(object, "directory", path, null);
  const sibling = reader.object(object, "sibling", path, null);
  const prefix = {
    size,
    engineSize,
    kind: reader.text(object, "kind", path),
    sha256: reader.digest(object, "sha256", path, 64),
    engineSha256: reader.digest(object, "engine_sha256", path, 64),
    sha512: readSecondDigest(reader, object, path, wide),
    directory: directory && readDirectoryField(reader, directory, wide),
    opaque: reader.text(object, "opaque", path, ""),
    sibling: sibling && readSibling(reader, sibling),
  };
  reader.unknown(object, PREFIX_FIELDS, path);
  return prefix;
}

function readSibling(reader, object) {
  const path = "prefix.sibling.";
  const model = object.has("weights_offset") || object.has("weights_size");
  return {
    offset: reader.number(object, "offset", path),
    size: reader.number(object, "size", path),
    sha256: reader.digest(object, "sha256", path, 64),
    weights: model ? [reader.number(object, "weights_offset", path), reader.number(object, "weights_size", path)] : null,
  };
}

function readDirectoryField(reader, object, wide) {
  const path = "prefix.directory.";
  return {
    offset: reader.number(object, "offset", path),
    size: reader.number(object, "size", path),
    count: reader.number(object, "count", path),
    assets: reader.objects(object, "assets", path, (item, at) => {
      const role = reader.text(item, "role", at);
      if (role !== "engine-asset") reader.report("LF3007", `${at}role`, { found: role.slice(0, 40), allowed: "engine-asset" });
      readSecondDigest(reader, item, at, wide);
      return { path: reader.text(item, "path", at), size: reader.number(item, "size", at), sha256: reader.digest(item, "sha256", at, 64) };
    }),
    dropped: reader.objects(object, "dropped", path, (item, at) => ({ path: reader.text(item, "path", at), reason: reader.text(item, "reason", at) })),
  };
}
