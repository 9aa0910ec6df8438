// The members of a file: listed, and saved one by one, damaged or not being told.
import { printable } from "../escape.js";
import { element } from "./dom.js";
import { size } from "./words.js";

const SHOWN = 1000;

/** A table of members. `stateOf(member)` is a word for what is known of its bytes; `blob` is the file itself. */
export function memberTable(file, stateOf) {
  const members = membersOf(file);
  const head = element("tr", {}, ...["Member", "Role", "Size", "Bytes", ""].map(title => element("th", { scope: "col" }, title)));
  const rows = members.slice(0, SHOWN).map(member => memberRow(file, member, stateOf(member)));
  const more = members.length - SHOWN;
  return element(
    "div",
    { class: "wide", tabindex: "0", role: "region", "aria-label": "Members" },
    element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)),
    more > 0 ? element("p", {}, `and ${more} more`) : undefined,
  );
}

function membersOf({ manifest, archive, source }) {
  if (manifest) return manifest.members.filter(member => member.offset + member.size <= source.size);
  return archive.entries
    .filter(entry => entry.dataOffset >= 0 && entry.method === 0)
    .map(entry => ({ path: entry.path, role: "", size: entry.size, offset: entry.dataOffset, sha256: "" }));
}

function memberRow(file, member, state) {
  const name = printable(member.path, 300);
  const save = element("button", { type: "button", "aria-label": `Save ${name}`, onclick: () => saveMember(file, member) }, "Save");
  const digest = member.sha256 && element("details", {}, element("summary", {}, "SHA-256"), element("code", {}, member.sha256));
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, name, digest || undefined),
    element("td", {}, printable(member.role, 60)),
    element("td", {}, size(member.size)),
    element("td", { class: `state ${state}` }, state),
    element("td", {}, save),
  );
}

/** Hand the bytes of a member to the browser's own way of saving, under the last part of its name. */
export function saveMember(file, member) {
  const data = file.source.blob.slice(member.offset, member.offset + member.size, "application/octet-stream");
  const address = URL.createObjectURL(data);
  const name = printable(member.path.split("/").pop()).replace(/[<>:"/\\|?*]/g, "_") || "member";
  const link = element("a", { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}
