// Strings that come from a file, made harmless to show (10.8.2): whatever is not plainly visible becomes an escape.

const FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0";
const HIDDEN = new RegExp(
  `[\\p{Cc}\\p{Cf}\\p{Cs}\\p{Co}\\p{Cn}\\p{Zl}\\p{Zp}${FILLERS}\\ufe00-\\ufe0f\\u{e0100}-\\u{e01ef}]|(?! )\\p{Zs}`,
  "gu",
);
const SHORT = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** `value` as text in which every character shows itself; at most `most` characters of it. */
export function printable(value, most = 4096) {
  const text = String(value);
  const shown = text.replace(HIDDEN, character => SHORT[character] || escaped(character.codePointAt(0)));
  return shown.length > most ? `${Array.from(shown).slice(0, most).join("")}…` : shown;
}

function escaped(code) {
  const digits = code.toString(16);
  if (code < 0x100) return `\\x${digits.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${digits.padStart(4, "0")}` : `\\U${digits.padStart(8, "0")}`;
}
