// How a launcher is told: the bytes that it begins with, its index, its slots and its forms (3.2.3, 3.2.5, 14.2.4).
import { ascii, equal, hex, number, shownText, startsWith } from "./bytes.js";

export const HEAD = 65536;
export const INDEX = 0x0400;
export const INDEX_MAGIC = ascii("LFFIDX1\0");
export const ENTRY = 80;
export const MOST_BUILDS = 36;
export const BOOTSTRAP = ascii(`MZ=;eval "$(dd<"$0" bs=4k skip=1 count=2 2>&-)";exit 9`.padEnd(60, "\n"));
export const POLYGLOT = Uint8Array.from([...BOOTSTRAP, 0x40, 0, 0, 0]);
const SLOTS = 0xfe00;
const SLOTS_MAGIC = ascii("LFFSWP1\0");
const FORMS = ["polyglot", "elf-x86_64", "elf-aarch64"];

/** True if `head` says that it is a launcher and does not begin like one. */
export function isFalseLauncher(head) {
  return startsWith(head, BOOTSTRAP.subarray(0, 10)) || startsWith(head, INDEX_MAGIC, INDEX);
}

/** What an index says (14.2.4); undefined if there is none, or its form is another. */
export function readIndex(head) {
  if (head.length < 0x1000 || !startsWith(head, INDEX_MAGIC, INDEX)) return undefined;
  const count = number(head, INDEX + 16, 4);
  if (number(head, INDEX + 20, 4) !== ENTRY || count > MOST_BUILDS) return undefined;
  const text = (at, length) => shownText(head.subarray(at, at + length)).replace(/\0+$/, "");
  const builds = Array.from({ length: count }, (_, row) => {
    const at = INDEX + 192 + row * ENTRY;
    return { target: text(at, 20), flavour: text(at + 20, 12), offset: number(head, at + 32, 8), size: number(head, at + 40, 8), sha256: hex(head.subarray(at + 48, at + 80)) };
  });
  return { version: number(head, INDEX + 8, 4), builds };
}

/** The form that a launcher was converted to (3.2.5), told by its first 64 KiB; undefined if it was not. */
export function convertedForm(head) {
  if (!startsWith(head, INDEX_MAGIC, INDEX) || !equal(slot(head, 0), POLYGLOT)) return undefined;
  return FORMS.find((form, index) => index && equal(slot(head, index), head.subarray(0, 64)));
}

function slot(head, index) {
  if (!startsWith(head, SLOTS_MAGIC, SLOTS)) return [];
  const found = head.slice(SLOTS + 64 * (index + 1), SLOTS + 64 * (index + 2));
  if (found.length < 64 || found.every(byte => !byte)) return [];
  if (found[0] === (0x7f ^ 0xff)) found[0] ^= 0xff; // from version 2 on, headers are kept with their first byte inverted
  return found;
}
