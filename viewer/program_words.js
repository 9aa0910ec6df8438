// Words in the bytes of a program that say what it would do: commands, addresses, paths (7.15.2, 7.15.3, 14.8.2). What a find contains is
// looked for first, and patterns see only the text around it. Nothing that is found is followed or run.
import { latin } from "./bytes.js";

const AROUND = 300;
const LINE = 400;
const SHOWN = 80;
const ANCHORS = {
  pipeline: ["curl ", "wget ", "downloadstring", "base64 ", "invoke-"],
  command: [
    "bin/sh", "bin/bash", "subprocess.", "powershell", "python", "perl -", "pickle.load", "cmd.exe", "cmd /", "rm -", "chmod ", "os.system", "__import__",
    "/dev/tcp/", "eval(", "rundll32", "schtasks", "certutil",
  ],
  address: ["://"],
  path: ["/etc/", ".ssh", "id_rsa", "\\system32", "launchagents"],
};
const S = "[ \\t\\n\\r\\f\\v]"; // blanks of bytes, and no other characters
const N = "[^ \\t\\n\\r\\f\\v]";
const any = source => new RegExp(source.replace(/\\s/g, S).replace(/\\S/g, N), "gi");
const INTERPRETER =
  "(?:/(?:usr/)?(?:local/)?bin/)?(?:env )?(?:(?:ba|z|k|da|fi|c|tc)?sh|python[0-9.]{0,4}|perl|ruby|node|php|lua|osascript|pwsh|powershell(?:\\.exe)?|cmd(?:\\.exe)?|iex|invoke-expression)";
const FETCH = any("(?<![\\w.-])(?:curl|wget|fetch|aria2c|iwr|irm|invoke-webrequest|invoke-restmethod|downloadstring|base64|openssl|xxd|printf|echo)(?![\\w-])");
const BAR = any(`\\|\\s{0,4}(?:sudo\\s{1,4}(?:-\\S{1,9}\\s{1,4}){0,3})?${INTERPRETER}(?![\\w.-])`);
const SUBSTITUTED = any(
  "(?<![\\w.-])(?:eval|source|(?:ba|z|k|da)?sh(?:\\s{1,4}-\\w{1,4})?|python[0-9.]{0,4}(?:\\s{1,4}-\\w{1,4})?)\\s{1,4}[\"']?(?:\\$\\(|`|<\\()\\s{0,4}(?:curl|wget|fetch|base64)(?![\\w-])",
);
const EXPRESSION = any("(?<![\\w.-])(?:iex|invoke-expression)\\s{0,4}\\(");
const COMMAND = any([
  "(?<![\\w.-])(?:curl|wget|aria2c)\\s{1,4}(?:-\\S{1,40}\\s{1,4}){0,6}[\"']?(?:https?|ftp)://",
  "(?<![\\w.-])rm\\s{1,4}-\\w{0,3}[rf]\\w{0,3}\\s{1,4}(?:--no-preserve-root\\s{1,4})?[~/$*.]",
  "(?<![\\w.-])(?:nc|ncat|netcat)\\s{1,4}(?:\\S{1,60}\\s{1,4}){0,5}-e(?![\\w-])|/dev/(?:tcp|udp)/",
  "(?<![\\w.-])chmod\\s{1,4}(?:\\+x|[0-7]{0,1}7[0-7]{2})(?!\\w)",
  "(?<![\\w.-])(?:python[0-9.]{0,4}|perl|ruby|node|php)\\s{1,4}-[ce](?!\\w)",
  "(?<![\\w.-])(?:powershell|pwsh)(?:\\.exe)?\\s{1,4}[-/]\\w",
  "(?<![\\w.-])(?:cmd(?:\\.exe)?\\s{1,4}/[ck]|certutil(?:\\.exe)?\\s{1,4}-\\w{1,40}|bitsadmin|mshta|regsvr32|rundll32|schtasks)(?!\\w)",
  "(?<![\\w.-])(?:base64|openssl)\\s{1,4}(?:enc\\s{1,4})?-{1,2}d(?:ecode)?(?!\\w)",
  "(?<![\\w.-])/bin/(?:ba|z|da)?sh(?!\\w)|(?<!\\w)crontab\\s{1,4}-",
  "(?<!\\w)(?:os\\.(?:system|popen|exec[lv]p?e?)|subprocess\\.(?:Popen|run|call|check_output|check_call)|pty\\.spawn)\\s{0,4}\\(",
  "(?<![\\w.])(?:__import__|eval|exec)\\s{0,4}\\(|(?<!\\w)(?:pickle|marshal|dill|joblib)\\.loads?\\s{0,4}\\(",
  "(?<!\\w)socket\\.socket\\s{0,4}\\(|(?<!\\w)urllib\\.request\\.|(?<!\\w)requests\\.(?:get|post|put)\\s{0,4}\\(",
].join("|"));
const ADDRESS = any("(?<!\\w)(?:https?|ftps?|file|smb|ssh|gopher|ldaps?)://[^ \\t\\n\\r\\f\\v\"'<>\\\\^`{|}]{2,200}|(?<!\\w)javascript:[a-z(]");
const LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
const HOSTED = new RegExp(
  `^(?:file:///|javascript:|[a-z]{3,6}://(?:[!-?A-~]{1,60}@)?(?:(?:${LABEL}\\.){1,10}(?:[a-z]{2,24}|[0-9]{1,3})|localhost|\\[[0-9a-f:.]{2,45}\\]|[0-9]{8,10}|0x[0-9a-f]{8})(?![\\w\\x80-\\xff-]))`,
  "i",
);
const PATH = any([
  "(?:\\.\\.[/\\\\]){2,20}|/etc/(?:passwd|shadow|sudoers|cron|ld\\.so|hosts(?!\\w))|/proc/(?:self|[0-9]{1,7})/",
  "(?<!\\w)\\.(?:ssh|aws|kube|docker|gnupg|netrc|pgpass|git-credentials|bashrc|bash_history|zshrc|profile)(?![\\w.])",
  "(?<!\\w)id_(?:rsa|ed25519|ecdsa|dsa)(?!\\w)|[\\\\/]windows[\\\\/]system32|%(?:appdata|temp|userprofile|systemroot)%",
  "(?<![\\\\\\w])\\\\\\\\[\\w.-]{2,60}\\\\[\\w$.-]{2,60}|/(?:Library|System)/Launch(?:Agents|Daemons)/",
].join("|"));

/** The first find of each sort in the windows that are given to `look`: `found` is a Map of sort and `{at, text}`; `left` bounds the bytes
 * that patterns see, and is at most 0 where more was there. */
export function wording(left) {
  const state = { left, found: new Map() };
  state.look = (data, at) => {
    if (state.left <= 0 || state.found.size === Object.keys(ANCHORS).length) return;
    const text = latin(data);
    for (const [step, first] of [[1, 0], [2, 0], [2, 1]]) {
      const own = step === 1 ? text : everyOther(text, first);
      const low = own.toLowerCase().replace(/[\t\n\v\f\r]/g, " ");
      for (const [sort, anchors] of Object.entries(ANCHORS)) if (!state.found.has(sort)) around(state, sort, startsOf(low, anchors), own, place => at + first + step * place);
    }
  };
  return state;
}

function everyOther(text, first) {
  const parts = [];
  for (let at = first; at < text.length; at += 2) parts.push(text[at]);
  return parts.join("");
}

function startsOf(low, anchors) {
  const found = [];
  for (const word of anchors) for (let at = low.indexOf(word); at >= 0; at = low.indexOf(word, at + 1)) found.push(at);
  return found.sort((a, b) => a - b);
}

function around(state, sort, starts, text, placeOf) {
  let end = 0;
  for (const place of starts) {
    if (state.found.has(sort) || state.left <= 0) return;
    if (place < end) continue;
    const before = /[\t\n\r\x20-\x7e\x80-\xff]*$/.exec(text.slice(Math.max(0, place - AROUND), place))[0];
    const run = before + /^[\t\n\r\x20-\x7e\x80-\xff]*/.exec(text.slice(place, place + AROUND))[0];
    const start = place - before.length;
    state.left -= run.length + 64;
    for (const [kind, at] of search(run)) if (!state.found.has(kind)) state.found.set(kind, { at: placeOf(start + at), text: run.slice(at, at + SHOWN) });
    end = start + run.length;
  }
}

function search(text) {
  const finds = [["pipeline", pipeline(text)], ["command", firstOf(COMMAND, text)], ["address", address(text)], ["path", firstOf(PATH, text)]];
  return finds.filter(([, at]) => at >= 0);
}

function firstOf(pattern, text, from = 0) {
  pattern.lastIndex = from;
  const found = pattern.exec(text);
  return found ? found.index : -1;
}

/** Where what is fetched, or unpacked, and goes into an interpreter begins; -1 if nowhere. */
function pipeline(text) {
  let behind = 0;
  for (const bar of text.matchAll(BAR)) {
    const start = Math.max(behind, bar.index - LINE);
    const line = Math.max(start, text.slice(start, bar.index).lastIndexOf("\n") + start);
    const fetched = [...text.slice(0, bar.index).matchAll(FETCH)].map(found => found.index).filter(at => at >= line);
    if (fetched.length) return fetched[fetched.length - 1];
    behind = bar.index + bar[0].length;
  }
  const found = [firstOf(SUBSTITUTED, text), firstOf(EXPRESSION, text)].filter(at => at >= 0);
  return found.length ? Math.min(...found) : -1;
}

function address(text) {
  const found = [...text.matchAll(ADDRESS)].find(each => HOSTED.test(each[0]));
  return found ? found.index : -1;
}
