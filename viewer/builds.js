// Builds in a file: what their paths say, whether anybody knows them, and which of them a browser runs (14.1.2, 14.3.4). What is
// known of a build is one table, by its SHA-256.
import KNOWN from "data:known-builds";
import { hex } from "./bytes.js";

const WORD = "[A-Za-z0-9](?:[A-Za-z0-9._+-]*[A-Za-z0-9])?";
const BUILD_PATH = new RegExp(`^runtimes/(${WORD})/(${WORD})/(native|reference|gpu)/([a-z0-9]+-[a-z0-9_]+)$`);
const BROWSER_TARGET = "wasm32-wasi";
const BUILD_MOST = 1 << 28; // bytes

/** Engine, version, flavour and target of the path of a build (14.1.2); undefined if it has another form. */
export function buildName(path) {
  const found = BUILD_PATH.exec(path);
  return found && { engine: found[1], version: found[2], flavour: found[3], target: found[4] };
}

/** What is known of a build by its SHA-256: `{key, status, date, reason, lacks, logits_as}`; undefined of a stranger's. */
export function knownBuild(sha256) {
  return Object.hasOwn(KNOWN.builds, sha256) ? KNOWN.builds[sha256] : undefined;
}

/** The pin that was published under a name and version: SHA-256 of its document and licences, digests of its builds. */
export function knownPin(key) {
  return Object.hasOwn(KNOWN.pins, key) ? KNOWN.pins[key] : undefined;
}

/** True if the registry or a pin has a program with this digest, as a build or as an engine (14.8.1). */
export function isKnownProgram(sha256) {
  return knownBuild(sha256) !== undefined || KNOWN.engines.includes(sha256);
}

/** The build that takes the place of one that lacks something (14.3.13): newer, of a complete pin, and lacking less. */
export function better({ engine, version, flavour, target, sha256 }) {
  const found = KNOWN.offered
    .filter(each => each.complete && each.engine === engine && each.flavour === flavour && each.target === target && byVersion(each.version, version) > 0)
    .reduce((best, each) => (best && byVersion(best.version, each.version) >= 0 ? best : each), undefined);
  const [here, there] = [knownBuild(sha256), found && knownBuild(found.sha256)];
  const less = here && there && there.lacks.length < here.lacks.length && there.lacks.every(guard => here.lacks.includes(guard));
  return less ? found : undefined;
}

/** How two versions are ordered (14.7.8): numbers and a number behind `+`, what is missing before 0; all others are older. */
function byVersion(one, other) {
  const parts = text => (/^\d+(?:\.\d+)*(?:\+\d+)?$/.test(text) ? text.split("+") : undefined);
  const [a, b] = [parts(one), parts(other)];
  if (!a || !b) return a ? 1 : b ? -1 : one < other ? -1 : one > other ? 1 : 0;
  const [left, right] = [a[0].split(".").map(Number), b[0].split(".").map(Number)];
  for (let at = 0; at < Math.max(left.length, right.length); at++) if ((left[at] ?? -1) !== (right[at] ?? -1)) return (left[at] ?? -1) - (right[at] ?? -1);
  return Number(a[1] ?? -1) - Number(b[1] ?? -1);
}

/** The members of `manifest` that a browser can run: `member`, `engine`, `version`, `flavour`, `target`. */
export function browserBuilds(manifest) {
  return manifest.members.flatMap(member => {
    const name = member.role === "runtime" && buildName(member.path);
    return name && name.target === BROWSER_TARGET ? [{ member, ...name, sha256: member.sha256 }] : [];
  });
}

/** Why a build with this digest is not started unasked; empty if nothing is against it (14.3.4). */
export function objectionTo(sha256) {
  const known = knownBuild(sha256);
  if (!known) return "it is no build that this page knows";
  return known.status === "refused" ? `it is refused: ${known.reason}` : "";
}

/** True if `build` owes the bits that `recorded` said (15.5.4). */
export function promises(build, recorded) {
  if (build.engine !== recorded.engine || build.flavour !== recorded.flavour) return false;
  const known = knownBuild(build.sha256);
  return build.version === recorded.version || (build.flavour === "reference" && known !== undefined && known.logits_as.includes(recorded.version));
}

/** The build of `builds` that replays what `recorded` said (15.5.2); without a record the first by place. */
export function chooseBuild(builds, recorded) {
  const rank = build => {
    if (!recorded) return build.flavour === "native" ? 0 : 1;
    const same = build.engine === recorded.engine && build.version === recorded.version;
    if (same && build.flavour === recorded.flavour) return 0;
    return promises(build, recorded) ? 1 : same ? 2 : 3;
  };
  const known = builds.filter(build => !objectionTo(build.sha256));
  return [...(known.length ? known : builds)].sort((one, other) => rank(one) - rank(other))[0];
}

/** The program of `build`, read in one piece, with the digest that the manifest names. Throws if it has another. */
export async function readBuild(blob, build) {
  const { offset, size, sha256 } = build.member;
  if (size > BUILD_MOST) throw new Error(`the build has ${size} bytes; at most ${BUILD_MOST} are started here`);
  const data = await blob.slice(offset, offset + size).arrayBuffer();
  const found = hex(new Uint8Array(await crypto.subtle.digest("SHA-256", data)));
  if (found !== sha256) throw new Error(`the build is damaged: its SHA-256 is ${found}, the manifest says ${sha256}`);
  return data;
}
