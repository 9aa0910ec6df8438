// Builds in a file: their names, whether anything starts them, and whether anybody knows them (14.1.2, 14.1.8, 14.1.13, 14.3.4).
import KNOWN from "data:known-builds";
import { finding } from "./findings.js";
import { buildName } from "./launcher.js";

/** What is known of a build by its SHA-256: `{key, status, date, reason}`; undefined of a stranger's. */
export function knownBuild(sha256) {
  return Object.hasOwn(KNOWN, sha256) ? KNOWN[sha256] : undefined;
}

/** Findings about the builds that a manifest lists. Nothing is read for it. */
export function checkBuilds({ members, prefix }) {
  const findings = [];
  const told = (rule, { path, offset, size }, values = {}) => findings.push(finding(rule, { offset, length: size, member: path }, { path, ...values }));
  const builds = [];
  for (const member of members.filter(each => each.role === "runtime")) {
    const name = buildName(member.path);
    if (name) builds.push({ member, ...name, key: `${name.engine}@${name.version}` });
    else told("LF3300", member);
  }
  if (prefix.kind === "launcher" && !builds.length) findings.push(finding("LF3307", { offset: 0, length: prefix.size, field: "prefix.kind" }));
  for (const { member, target, flavour, key } of builds) {
    const native = builds.some(each => each.key === key && each.target === target && each.flavour === "native");
    if (flavour === "gpu" && !native) told("LF3328", member, { target, runtime: key });
    const known = knownBuild(member.sha256);
    if (!known) told("LF3330", member, { sha256: member.sha256 });
    else if (known.status === "refused") told("LF3331", member, { build: known.key, reason: known.reason });
  }
  for (const key of new Set(builds.map(build => build.key))) {
    const old = builds.filter(build => build.key === key).map(build => knownBuild(build.member.sha256)).find(known => known && known.status === "superseded");
    const { engine, version } = builds.find(build => build.key === key);
    if (old) findings.push(finding("LF3352", { member: `runtimes/${engine}/${version}` }, { build: old.key, date: old.date, reason: old.reason }));
  }
  return findings;
}
