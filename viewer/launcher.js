// The launcher, made again from its templates and the manifest, and compared byte for byte (14.2).
import TEMPLATES from "data:launchers";
import { ascii, difference, hex, join, little, number, shownText, startsWith, unhex, utf8 } from "./bytes.js";
import { ENTRY, HEAD, INDEX, INDEX_MAGIC, MOST_BUILDS, POLYGLOT, readIndex } from "./bootstrap.js";
import { buildName } from "./builds.js";
import { finding } from "./findings.js";

const SIZE = 1 << 18;
const PARTS = [
  ["bootstrap", 0], ["PE headers", 0x40], ["index", INDEX], ["second stage", 0x1000], ["PE sections", 0x3000], ["swap slots", 0xfe00],
  ["ELF launcher for x86_64", 0x10000], ["ELF launcher for aarch64", 0x20000], ["reserve", 0x30000],
];
const SHELLS = ["linux", "macos", "freebsd", "netbsd", "openbsd"];
/** A launcher that cannot be made: the manifest lists what no index holds. */
class Impossible extends Error {}

/** Findings about the launcher in front of a container. At level quick only its first 64 KiB are compared. */
export async function checkLauncher({ source, manifest, form }, full) {
  const { prefix, members } = manifest;
  const findings = form === "polyglot" ? [] : [finding("LF1103", { offset: 0, length: 64, field: "form" }, { form })];
  const head = await source.read(0, Math.min(HEAD, prefix.size));
  const index = readIndex(head);
  if (!index || !Object.hasOwn(TEMPLATES, index.version)) return [...findings, finding("LF1027", { offset: 0, length: prefix.size })];
  const differs = (part, offset, length, reason) => findings.push(finding("LF1101", { offset, length }, { part, reason }));
  let implied;
  try {
    implied = impliedLauncher(manifest, index.version);
  } catch (error) {
    if (!(error instanceof Impossible)) throw error;
    differs("index", INDEX, 0x1000 - INDEX, error.message);
    return findings;
  }
  if (prefix.size !== SIZE) {
    differs("size", 0, prefix.size, `${prefix.size} bytes instead of ${SIZE}`);
    return findings;
  }
  findings.push(...strayEntries(index, members));
  const found = full ? await source.read(0, prefix.size) : head;
  PARTS.forEach(([part, start], row) => {
    const end = row + 1 < PARTS.length ? PARTS[row + 1][1] : SIZE;
    const first = start < found.length ? difference(implied.subarray(start, end), found.subarray(start, end)) : -1;
    if (first >= 0) differs(part, start + first, end - start - first, `the first difference is at byte ${start + first}`);
  });
  return findings;
}

/** Entries that lead to something else than a build that the manifest lists (LF1102). */
function strayEntries({ builds }, members) {
  const there = build => members.some(member => member.role === "runtime" && member.offset === build.offset && member.size === build.size &&
    member.sha256 === build.sha256 && member.path.endsWith(`/${build.flavour}/${build.target}`));
  return builds.flatMap((build, row) => {
    const { target, flavour, offset, size } = build;
    return there(build) ? [] : [finding("LF1102", { offset, length: size, field: `index.builds[${row}]` }, { target, flavour, offset })];
  });
}

/** The launcher of a version that a manifest implies. */
function impliedLauncher({ members, prefix, default: model }, version) {
  const listed = members.slice(0, -1).filter(member => member.role === "runtime" && buildName(member.path));
  const builds = listed.map(({ path, offset, size, sha256 }) => ({ ...buildName(path), offset, size, sha256 }));
  for (const { target, offset, size } of builds)
    if (offset % 65536 || !(size > 0 && size < 2 ** 40) || !(offset > 0 && offset < 2 ** 62)) throw new Impossible(`the launcher cannot reach the build for ${target}`);
  const shown = builds.filter(build => version < 2 || build.flavour !== "gpu").sort((a, b) => a.offset - b.offset || (a.target + a.flavour < b.target + b.flavour ? -1 : 1));
  if (shown.length > MOST_BUILDS) throw new Impossible("too many runtime builds for one launcher");
  const found = members.slice(0, -1).find(member => member.role === "weights" && member.path === model);
  const weights = prefix.sibling ? prefix.sibling.weights : found && [found.offset, found.size];
  const parts = TEMPLATES[version];
  const launcher = new Uint8Array(SIZE);
  const put = (at, data, room) => {
    if (data.length > room) throw new Impossible("a part of the launcher is too long");
    launcher.set(data, at);
  };
  const { headers, sections } = windowsProgram(base64(parts["launcher.exe"]));
  put(0, POLYGLOT, 64);
  put(0x40, headers, INDEX - 0x40);
  put(INDEX, indexOfBuilds(version, shown, weights, prefix.sibling), 0x1000 - INDEX);
  put(0x1000, secondStage(parts["stage2.sh"], shown, weights, prefix.sibling), 0x2000);
  put(0x3000, sections, 0xfe00 - 0x3000);
  const slots = [join(ascii("LFFSWP1\0"), 56), POLYGLOT];
  for (const [processor, base] of [["x86_64", 0x10000], ["aarch64", 0x20000]]) {
    const { header, image } = nativeProgram(base64(parts[`launcher-${processor}.elf`]), base);
    put(base, image, 0x10000);
    const kept = header.slice();
    if (version >= 2) kept[0] ^= 0xff;
    slots.push(kept);
  }
  put(0xfe00, join(...slots), 512);
  return launcher;
}

function base64(text) {
  return Uint8Array.from(atob(text), character => character.charCodeAt(0));
}

function indexOfBuilds(version, builds, weights, sibling) {
  const [offset, size] = weights || [0, 0];
  const beside = sibling || { offset: 0, size: 0, sha256: "0".repeat(64) };
  const word = (text, length) => {
    if (!text || text.length >= length || !/^[a-z0-9_-]+$/.test(text)) throw new Impossible(`${text} cannot stand in a launcher's index`);
    return join(utf8(text), length - text.length);
  };
  return join(
    INDEX_MAGIC, little(4, version), little(4, sibling ? 1 : 0), little(4, builds.length), little(4, ENTRY), little(8, offset), little(8, size),
    little(8, beside.offset), little(8, beside.size), unhex(beside.sha256), 104,
    ...builds.map(build => join(word(build.target, 20), word(build.flavour, 12), little(8, build.offset), little(8, build.size), unhex(build.sha256))),
  );
}

/** The shell script of 14.2.5. */
function secondStage(template, builds, weights, sibling) {
  const lines = template.split("\n").map(line => line.trim()).filter(line => line && !line.startsWith("#"));
  const model = weights && !sibling ? weights[0] + weights[1] : 0;
  const end = Math.max(model, ...builds.map(build => build.offset + build.size));
  const names = "LFF_WEIGHTS_OFFSET LFF_WEIGHTS_SIZE";
  const slots = {
    BUILDS: buildLines(builds).join("\n"),
    TARGETS: targets(builds),
    WEIGHTS: weights ? `LFF_WEIGHTS_OFFSET=${weights[0]} LFF_WEIGHTS_SIZE=${weights[1]}; export ${names}` : `unset ${names}`,
    END: String(Math.floor(end / 100000)),
  };
  const script = lines.join("\n").replace(/@(BUILDS|TARGETS|WEIGHTS|END)@/g, (_, slot) => slots[slot]);
  if (script.length >= 0x2000) throw new Impossible("too many runtime builds for one launcher");
  return utf8(`${script.padEnd(0x1fff)}\n`);
}

function buildLines(builds) {
  return builds.filter(build => SHELLS.includes(build.target.split("-")[0])).map(build => {
    const { target, flavour, offset, size, sha256 } = build;
    const same = builds.filter(each => each.target === target);
    const starts = same.find(each => each.flavour === "native") || same[0];
    const pattern = `${flavour !== "native" && build === starts ? `${target}-|` : ""}${target}-${flavour}`;
    const rest = size % 65536;
    return `${pattern}) a=${offset / 65536} b=${Math.floor(size / 65536)} c=${Math.floor(rest / 512)} g=${rest % 512} s=${sha256};;`;
  });
}

function targets(builds) {
  const flavours = new Map();
  for (const { target, flavour } of builds) flavours.set(target, new Set(flavours.get(target)).add(flavour));
  return [...flavours].map(([target, names]) => `${target}/${[...names].join(",")}`).join(" ") || "none";
}

/** Headers and sections of the Windows program, moved to where the launcher has them (14.2.6). */
function windowsProgram(program) {
  const start = number(program, 0x3c, 4);
  const count = number(program, start + 6, 2);
  const table = 24 + number(program, start + 20, 2);
  const headers = program.slice(start, start + table + 40 * count);
  const set = (data, at, value) => data.set(little(4, value), at);
  for (const [at, value] of [[12, 0], [16, 0], [24 + 60, 0x1000], [24 + 64, 0]]) set(headers, at, value);
  const parts = [];
  const moved = [];
  let here = 0x3000;
  for (let row = table; row < table + 40 * count; row += 40) {
    const [address, size, pointer] = [12, 16, 20].map(at => number(headers, row + at, 4));
    const kept = size && pointer;
    set(headers, row + 20, kept ? here : 0);
    if (!kept) continue;
    moved.push({ address, size, pointer, here });
    parts.push(program.subarray(pointer, pointer + size), (512 - (size % 512)) % 512);
    here += Math.ceil(size / 512) * 512;
  }
  const sections = join(...parts);
  const [directory, length] = [number(headers, 24 + 112 + 48, 4), number(headers, 24 + 112 + 52, 4)];
  const holder = moved.find(({ address, size }) => address <= directory && directory < address + size);
  if (holder)
    for (let at = holder.here - 0x3000 + directory - holder.address, end = at + length; at < end; at += 28) {
      const pointer = number(sections, at + 24, 4);
      const into = moved.find(each => each.pointer <= pointer && pointer < each.pointer + each.size);
      if (into) set(sections, at + 24, into.here + pointer - into.pointer);
    }
  return { headers, sections };
}

/** Header and image of a native program at its base (14.2.7). */
function nativeProgram(program, base) {
  const image = program.slice();
  const [table, count] = [number(image, 32, 8), number(image, 56, 2)];
  let end = table + 56 * count;
  const add = (at, value) => image.set(little(8, number(image, at, 8) + value), at);
  for (let row = table; row < table + 56 * count; row += 56) {
    const [kind, offset] = [number(image, row, 4), number(image, row + 8, 8)];
    end = Math.max(end, offset + number(image, row + 32, 8));
    const ahead = kind === 1 && !offset ? base : 0;
    add(row + 8, base - ahead);
    for (const [at, value] of [[16, -ahead], [24, -ahead], [32, ahead], [40, ahead]]) add(row + at, value);
  }
  add(32, base);
  image.fill(0, 40, 48);
  image.fill(0, 58, 64);
  return { header: image.slice(0, 64), image: image.slice(0, end) };
}
