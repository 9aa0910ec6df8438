// Whom the visitor trusts, and what the signature records are by that (13.1.3): intact, signed by whom, and why that is believed.
import { printable } from "../escape.js";
import { BadKey, keysIn } from "../keys.js";
import { nameOf } from "../signatures.js";
import { element, fill } from "./dom.js";

const KINDS = { oms: "signature", sig: "signature", cnt: "countersignature", att: "attestation", tsr: "time stamp", vm: "validation material" };

/** A place to paste a public key. `changed(signers)` is told the list of trusted keys, each a list of one or a pair. The
 * function `add(text)` of what is returned takes a key that came another way. */
export function trustDesk(changed) {
  const signers = [];
  const listed = element("ul", { class: "keys" });
  const said = element("p", { role: "status", "aria-live": "polite" });
  const field = element("textarea", { id: "key", rows: "3", spellcheck: "false", autocomplete: "off", placeholder: "-----BEGIN PUBLIC KEY-----" });
  const add = async text => {
    try {
      const keys = await keysIn(text);
      if (!signers.some(each => each[0].keyId === keys[0].keyId)) signers.push(keys);
      field.value = "";
      fill(said, `Trusted: ${nameOf(keys)}.`);
    } catch (error) {
      if (!(error instanceof BadKey)) throw error;
      return void fill(said, `Not taken: ${error.message}.`);
    }
    return show();
  };
  const show = () => {
    fill(listed, ...signers.map(keys => element("li", {}, keys.map(describe).join(" and "), " ", forget(keys))));
    changed(signers);
  };
  const forget = keys =>
    element("button", { type: "button", "aria-label": `No longer trust ${nameOf(keys)}`, onclick: () => (signers.splice(signers.indexOf(keys), 1), show()) }, "Forget");
  const root = element(
    "details",
    { class: "trust" },
    element("summary", {}, "Name a public key that you trust"),
    element("p", { class: "hint" }, "Take it from the signer by another way than this file: a key out of the file would vouch for itself."),
    element("label", { for: "key" }, "Public key (PEM), pasted, or dropped on this page as a file"),
    field,
    element("p", { class: "actions" }, element("button", { type: "button", onclick: () => add(field.value) }, "Trust this key")),
    said,
    listed,
  );
  return { root, signers, add };
}

function describe(key) {
  return `${key.algorithm}, key id ${key.keyId}`;
}

/** True for a file that is a public key and no container. */
export async function isKeyFile(file) {
  return file.size < 65536 && (await file.slice(0, 4096).text()).includes("-----BEGIN PUBLIC KEY-----");
}

/** The signature records of a report, one line each. What an unproven record says of itself is never shown as a fact. */
export function signatureList({ records, publishers, signers, verdicts }) {
  const line = (name, words) => element("li", {}, element("strong", {}, name), `: ${words}`);
  const lines = records.map(record => line(`${record.path.slice(26, 30)} ${KINDS[record.kind]}`, standing(record, signers, verdicts)));
  lines.push(...publishers.map(each => line(`publisher's signature ${printable(each.path, 200)}`, ofPublisher(each))));
  return lines.length ? element("ul", { class: "signatures" }, ...lines) : element("p", {}, "The file has no signature records.");
}

function ofPublisher({ signer, key, about, statement }) {
  const whom = key ? `by ${nameOf(signer)}, which you named` : "by somebody unknown to you";
  return `${whom}; it names ${about.length} of ${statement.resources.length} files that are in here, by digests that the manifest claims`;
}

function standing(record, signers, verdicts) {
  if (record.kind === "tsr" || record.kind === "vm") return "not looked at by this page";
  if (!record.bundle) return "not in order, see the findings";
  if (record.unchecked) return `not checked: ${record.unchecked}`;
  if (record.key && record.kind === "att") return `by ${nameOf(record.signer)}, which you named; it says something of its own, and does not vouch for the file`;
  if (record.key && !record.counts) return `by ${nameOf(record.signer)}, and does not count without the other half of the pair`;
  if (record.key) return `by ${nameOf(record.signer)}, because you named this key. The file is ${verdicts.authentic === "yes" ? "" : "not shown to be "}what was signed.`;
  const { annotations } = record.statement;
  const claim = annotations && annotations.time ? ` It claims to be of ${printable(annotations.time)}.` : "";
  return (signers.length ? "by somebody whom you did not name." : "by somebody unknown: nobody to trust was named.") + claim;
}
