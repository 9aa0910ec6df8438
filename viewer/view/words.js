// Words and numbers that the page shows, in one place.

/** The five verdict words of clause 10.1 as people read them. */
export const LAYERS = { "well-formed": "Well-formed", valid: "Valid", authentic: "Authentic" };
export const QUESTIONS = {
  "well-formed": "Are the bytes the ones that the format and this file's own records demand?",
  valid: "Is the content what it claims to be?",
  authentic: "Does somebody vouch for the file whom you trust?",
};

/** 1,234,567 */
export function grouped(number) {
  return String(number).replace(/\B(?=(?:\d{3})+$)/g, ",");
}

/** A size for people: 705,664 bytes (689 KiB). */
export function size(bytes) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = bytes;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  const plain = `${grouped(bytes)} ${bytes === 1 ? "byte" : "bytes"}`;
  return unit ? `${plain} (${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]})` : plain;
}
