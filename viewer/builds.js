// Builds that a browser can run (14.1), and what is known of them: the pins' own are in the page, by digest.
import BUILDS from "data:builds";
import { hex } from "./bytes.js";

const BUILD_PATH = /^runtimes\/([A-Za-z0-9](?:[A-Za-z0-9._+-]*[A-Za-z0-9])?)\/([A-Za-z0-9](?:[A-Za-z0-9._+-]*[A-Za-z0-9])?)\/([a-z]+)\/([a-z0-9]+-[a-z0-9_]+)$/;
const BROWSER_TARGET = "wasm32-wasi";
const BUILD_MOST = 1 << 28; // bytes

/** The members of `manifest` that a browser can run: `member`, `engine`, `version`, `flavour`, `target`. */
export function browserBuilds(manifest) {
  return manifest.members.flatMap(member => {
    const match = member.role === "runtime" && BUILD_PATH.exec(member.path);
    if (!match || match[4] !== BROWSER_TARGET) return [];
    const [, engine, version, flavour, target] = match;
    return [{ member, engine, version, flavour, target, sha256: member.sha256 }];
  });
}

/** Why a build with this digest is not started unasked; empty if nothing is against it (14.3.4). */
export function objectionTo(sha256) {
  const row = BUILDS[sha256];
  if (!row) return "it is no build that this page knows";
  return row.status === "refused" ? `it is refused: ${row.reason}` : "";
}

/** True if `build` owes the bits that `recorded` said (15.5.4). */
export function promises(build, recorded) {
  if (build.engine !== recorded.engine || build.flavour !== recorded.flavour) return false;
  const row = BUILDS[build.sha256];
  return build.version === recorded.version || (build.flavour === "reference" && row !== undefined && row.logits_as.includes(recorded.version));
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
