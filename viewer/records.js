// Records of a ZIP as they stand in the file (4.3, 4.6): fields by name, nothing judged.
import { ascii, number, shownText } from "./bytes.js";

export const SENTINEL = 0xffffffff;
export const LOCAL = ascii("PK\x03\x04");
export const DIRECTORY = ascii("PK\x01\x02");
export const END = ascii("PK\x05\x06");
export const END64 = ascii("PK\x06\x06");
export const LOCATOR = ascii("PK\x06\x07");
export const DIGITAL_SIGNATURE = ascii("PK\x05\x05");
export const LOCAL_SIZE = 30;
export const DIRECTORY_SIZE = 46;
export const END_SIZE = 22;
export const END64_SIZE = 56;
export const LOCATOR_SIZE = 20;
export const ZIP64 = 1;

/** The directory record at `at`. Its three lengths may lead out of `data`; then `whole` is false. */
export function directoryRecord(data, at) {
  const names = number(data, at + 28, 2);
  const extras = number(data, at + 30, 2);
  const comments = number(data, at + 32, 2);
  const name = at + DIRECTORY_SIZE;
  return {
    versionMade: number(data, at + 4, 2),
    versionNeeded: number(data, at + 6, 2),
    flags: number(data, at + 8, 2),
    method: number(data, at + 10, 2),
    time: number(data, at + 12, 2),
    date: number(data, at + 14, 2),
    crc32: number(data, at + 16, 4),
    compressed: number(data, at + 20, 4),
    size: number(data, at + 24, 4),
    disk: number(data, at + 34, 2),
    internal: number(data, at + 36, 2),
    external: number(data, at + 38, 4),
    headerOffset: number(data, at + 42, 4),
    name: data.slice(name, name + names),
    extra: data.slice(name + names, name + names + extras),
    commentLength: comments,
    length: DIRECTORY_SIZE + names + extras + comments,
    whole: name + names + extras + comments <= data.length,
  };
}

/** The local header at the start of `data`, which holds all of it. */
export function localHeader(data) {
  const names = number(data, 26, 2);
  const extras = number(data, 28, 2);
  return {
    versionNeeded: number(data, 4, 2),
    flags: number(data, 6, 2),
    method: number(data, 8, 2),
    time: number(data, 10, 2),
    date: number(data, 12, 2),
    crc32: number(data, 14, 4),
    compressed: number(data, 18, 4),
    size: number(data, 22, 4),
    name: data.slice(LOCAL_SIZE, LOCAL_SIZE + names),
    extra: data.slice(LOCAL_SIZE + names, LOCAL_SIZE + names + extras),
    length: LOCAL_SIZE + names + extras,
  };
}

/** `[kind, body]` of each field of an extra field, as far as whole ones reach. */
export function extraFields(extra) {
  const found = [];
  for (let at = 0; at + 4 <= extra.length; ) {
    const length = number(extra, at + 2, 2);
    if (at + 4 + length > extra.length) break;
    found.push([number(extra, at, 2), extra.subarray(at + 4, at + 4 + length)]);
    at += 4 + length;
  }
  return found;
}

/** True if an extra field is a sequence of whole fields. */
export function extraIsWhole(extra) {
  return extraFields(extra).reduce((sum, [, body]) => sum + 4 + body.length, 0) === extra.length;
}

/** `values` with sentinels replaced, in that order, from the first Zip64 field; undefined if one is not there. */
export function withZip64(extra, values) {
  const body = (extraFields(extra).find(([kind]) => kind === ZIP64) || [])[1];
  let at = 0;
  const found = [];
  for (const value of values) {
    if (value !== SENTINEL) found.push(value);
    else {
      if (!body || at + 8 > body.length) return undefined;
      found.push(number(body, at, 8));
      at += 8;
    }
  }
  return found;
}

/** `[size, compressed size]` as a local header tells them; undefined if a sentinel has no value. */
export function localSizes(header) {
  return withZip64(header.extra, [header.size, header.compressed]);
}

export function pathOf(record) {
  return shownText(record.name);
}
