// Which pages are registered (11.10): earlier ones by their digests, and this one, which cannot hold its own and computes it.
import VIEWERS from "data:viewers";
import { sha256, utf8 } from "./bytes.js";

const OWN_TEXT = ownText(); // before anything on the page is changed
let own;

/** Learn this page's own digest; to be awaited before `isRegistered` is asked. */
export async function learnOwn() {
  if (own === undefined) own = OWN_TEXT && (await sha256(utf8(OWN_TEXT)));
  return own;
}

/** True for the digest of a page that may be a container's viewer, as far as this page knows them. */
export function isRegistered(digest) {
  return VIEWERS.includes(digest) || digest === own;
}

/** The bytes of this page, as text, from what the browser has read of it; a served copy (11.10.4) as it was registered. */
function ownText() {
  if (typeof document !== "object") return "";
  const mark = document.querySelector('meta[name="llamafile-served"]');
  const ends = "</body></html>".length;
  let text = document.documentElement.outerHTML.slice(0, -ends).replace("><head>", ">\n<head>");
  if (mark) text = text.replace(`\n${mark.outerHTML}`, "").replace("connect-src 'self'", "connect-src 'none'");
  return `<!doctype html>\n${text}\n</body>\n</html>\n`;
}
