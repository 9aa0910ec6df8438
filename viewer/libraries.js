// Libraries that others built, beside the programs that load them (14.9.4).
import { latin } from "./bytes.js";
import { finding } from "./findings.js";

const MOST_PROGRAM = 64 << 20;
const LONGEST_LIST = 64 << 10;
const MARK = "llamafile-libraries/1 ";

const toldOf = (rule, { path, offset, size }, values = {}) => finding(rule, { offset, length: size, member: path }, { path, ...values });

/** LF3329, LF3332, LF3334: members below `lib/` of a pin's folder, by their names in it, against what the pin names. */
export function checkLibraries(members, pin, folder, inside) {
  if (!pin.libraries.length) return [];
  const findings = [];
  const named = new Map(pin.libraries.map(each => [`lib/${each.target}/${each.name}`, each]));
  for (const [name, member] of inside) {
    const wanted = named.get(name);
    const same = wanted && wanted.sha256 === member.sha256 && wanted.size === member.size;
    if (name.startsWith("lib/") && !same) findings.push(toldOf("LF3329", member, { found: member.sha256, wanted: wanted ? wanted.sha256 : "no such library" }));
  }
  const runtime = `${pin.name}@${pin.version}`;
  const has = target => members.some(({ path, role }) => role === "runtime" && path.startsWith(folder) && path.endsWith(`/${target}`));
  for (const [name, { target }] of named)
    if (!inside.has(name) && has(target)) findings.push(finding("LF3332", { member: `${folder}${name}` }, { path: `${folder}${name}`, runtime }));
  return [...findings, toldOf("LF3334", inside.get("runtime.yaml"), { runtime, title: pin.title.slice(0, 200) })];
}

/** LF3333: a program that loads other libraries than its pin names. */
export async function checkList(source, pin, member, target) {
  if (pin.kind !== "native-library") return [];
  const program = latin(await source.read(member.offset, Math.min(member.size, MOST_PROGRAM)));
  const at = program.indexOf(MARK);
  const end = at < 0 ? -1 : program.indexOf("\0", at);
  const found = end < 0 || end - at >= LONGEST_LIST ? "" : program.slice(at + MARK.length, end);
  const wanted = [target, ...pin.libraries.filter(each => each.target === target).map(each => `${each.sha256} ${each.size} ${each.name}`)].join("\n") + "\n";
  return found === wanted ? [] : [toldOf("LF3333", member, { reason: found ? "it lists other libraries than its pin" : "it has no list of libraries" })];
}
