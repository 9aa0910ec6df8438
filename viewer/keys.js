// Public keys and signatures: the key decides the algorithm, and each has one encoding (13.8). WebCrypto does the sums.
import { digest, equal, hex, join, startsWith, unhex, utf8 } from "./bytes.js";

/** Each kind of key by the bytes that its SubjectPublicKeyInfo begins with in the one spelling that is taken. */
const KINDS = [
  kind("ecdsa-p256-sha256", "3059301306072a8648ce3d020106082a8648ce3d03010703420004", 64, { name: "ECDSA", namedCurve: "P-256" }, "SHA-256", 32),
  kind("ecdsa-p384-sha384", "3076301006072a8648ce3d020106052b8104002203620004", 96, { name: "ECDSA", namedCurve: "P-384" }, "SHA-384", 48),
  kind("ecdsa-p521-sha512", "30819b301006072a8648ce3d020106052b810400230381860004", 132, { name: "ECDSA", namedCurve: "P-521" }, "SHA-512", 66),
  kind("ed25519", "302a300506032b6570032100", 32, { name: "Ed25519" }, "", 64),
  kind("ml-dsa-65", "308207b2300b0609608648016503040312038207a100", 1952, { name: "ML-DSA-65" }, "", 3309),
  kind("ml-dsa-87", "30820a32300b060960864801650304031303820a2100", 2592, { name: "ML-DSA-87" }, "", 4627),
];
const MOST_TEXT = 65536;
const HASHES = { "06082a8648ce3d040302": "SHA-256", "06082a8648ce3d040303": "SHA-384", "06082a8648ce3d040304": "SHA-512" };

function kind(algorithm, start, rest, parameters, hash, size) {
  const opening = unhex(start);
  return { algorithm, opening, length: opening.length + rest, parameters, hash, size };
}

/** A key that cannot be used, and why. */
export class BadKey extends Error {}

/** The key of a SubjectPublicKeyInfo in DER: `{algorithm, spki, keyId, hint, postQuantum}`. Throws BadKey. */
export async function keyOf(spki) {
  const found = KINDS.find(each => startsWith(spki, each.opening) && spki.length === each.length);
  if (!found) throw new BadKey("not a public key that can be used here: P-256, P-384, P-521, Ed25519, ML-DSA-65 or ML-DSA-87 in its one spelling");
  const keyId = hex(await digest(spki));
  return { ...found, spki, keyId, hint: hex(await digest(utf8(pemOf(spki)))), postQuantum: found.algorithm.startsWith("ml-dsa") };
}

/** The keys of a text with PEM blocks: one key, or a pair of a classical and a post-quantum one (13.8.5). Throws BadKey. */
export async function keysIn(text) {
  if (text.length > MOST_TEXT) throw new BadKey("this is longer than a key file may be");
  const blocks = [...text.matchAll(/-----BEGIN ([A-Z ]+)-----([^-]*)-----END \1-----/g)];
  if (!blocks.length) throw new BadKey("no public key was found: it begins with -----BEGIN PUBLIC KEY-----");
  if (blocks.some(([, label]) => label !== "PUBLIC KEY")) throw new BadKey("only public keys are taken: never give a private key to a page");
  const keys = await Promise.all(blocks.map(([, , body]) => keyOf(unbase64(body.replace(/\s+/g, "")))));
  if (keys.length > 2 || (keys.length === 2 && keys[0].postQuantum === keys[1].postQuantum)) throw new BadKey("one key at a time, or a pair of a classical and a post-quantum one");
  return keys;
}

function unbase64(text) {
  try {
    return Uint8Array.from(atob(text), character => character.charCodeAt(0));
  } catch {
    throw new BadKey("the key is not base64");
  }
}

function pemOf(spki) {
  const text = btoa(String.fromCharCode(...spki));
  return `-----BEGIN PUBLIC KEY-----\n${text.replace(/.{1,64}/g, "$&\n")}-----END PUBLIC KEY-----\n`;
}

/** *true* if a signature of `data` holds under `key`, *false* if not, *undefined* if this browser does not know the algorithm. */
export async function holds(key, signature, data) {
  const { parameters, hash, size } = key;
  const plain = hash ? plainEcdsa(signature, size) : signature.length === size && signature;
  if (!plain) return false;
  let imported;
  try {
    imported = await crypto.subtle.importKey("spki", key.spki, parameters, false, ["verify"]);
  } catch (error) {
    return error.name === "NotSupportedError" ? undefined : false;
  }
  return crypto.subtle.verify(hash ? { name: "ECDSA", hash } : parameters, imported, plain, data);
}

/** `r` and `s`, each of `size` bytes, of an Ecdsa-Sig-Value in its one spelling; undefined for any other bytes. */
function plainEcdsa(signature, size) {
  const long = signature[1] === 0x81;
  const start = long ? 3 : 2;
  const length = long ? signature[2] : signature[1];
  if (signature[0] !== 0x30 || (long && length < 128) || (!long && length > 127) || start + length !== signature.length) return undefined;
  const parts = [];
  let at = start;
  for (let part = 0; part < 2; part++) {
    const bytes = signature.subarray(at + 2, at + 2 + signature[at + 1]);
    const padded = bytes[0] === 0;
    const spelt = signature[at] === 2 && bytes.length === signature[at + 1] && bytes.length && bytes[0] < 128 && (!padded || bytes[1] > 127);
    const digits = padded ? bytes.subarray(1) : bytes;
    if (!spelt || digits.length > size || !digits.length) return undefined;
    parts.push(join(size - digits.length, digits));
    at += 2 + bytes.length;
  }
  return at === signature.length ? join(...parts) : undefined;
}

/** What of an X.509 certificate in DER says who signed it, and nothing else: undefined if it has another form. */
export function certificateOf(data) {
  const outer = element(data, 0);
  const body = outer && element(data, outer.start);
  const algorithm = body && element(data, body.end);
  const signature = algorithm && element(data, algorithm.end);
  if (!signature || outer.tag !== 0x30 || outer.end !== data.length || signature.end !== data.length || signature.tag !== 3) return undefined;
  const first = element(data, body.start);
  let at = first && first.tag === 0xa0 ? first.end : body.start;
  const fields = [];
  for (let number = 0; number < 6; number++) {
    const field = element(data, at); // serial number, signature, issuer, validity, subject, key
    if (!field || field.end > body.end) return undefined;
    fields.push(data.subarray(at, field.end));
    at = field.end;
  }
  const [, , issuer, , subject, spki] = fields;
  const algorithmId = hex(data.subarray(algorithm.start, algorithm.end));
  return { issuer, subject, spki, signed: data.subarray(outer.start, body.end), algorithmId, signature: data.subarray(signature.start + 1, signature.end) };
}

/** *false* if `issuer` has not signed `certificate`; *undefined* if this page cannot tell: it knows ECDSA alone. */
export async function issuedBy(certificate, issuer) {
  if (!equal(certificate.issuer, issuer.subject)) return false;
  const kindOf = KINDS.find(each => startsWith(issuer.spki, each.opening) && issuer.spki.length === each.length);
  const hash = HASHES[certificate.algorithmId];
  return kindOf && kindOf.hash && hash ? holds({ ...kindOf, hash, spki: issuer.spki }, certificate.signature, certificate.signed) : undefined;
}

function element(data, at) {
  if (at + 2 > data.length) return undefined;
  const more = data[at + 1] & 0x80 ? data[at + 1] & 0x7f : 0;
  if (more > 3 || (data[at + 1] & 0x80 && !more)) return undefined;
  let length = more ? 0 : data[at + 1];
  for (let index = 0; index < more; index++) length = length * 256 + data[at + 2 + index];
  const start = at + 2 + more;
  return start + length <= data.length ? { tag: data[at], start, end: start + length } : undefined;
}
