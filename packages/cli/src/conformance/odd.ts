const nested = (levels: number): string => `${'{"in":'.repeat(levels)}1${"}".repeat(levels)}`;

const many = JSON.stringify(
  Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`key_${index}`, index])),
);

/**
 * Variables that a runtime may send, as JSON text: JavaScript's own values cannot carry all of it (hostile input, rows of
 * variables).
 */
export const oddVariables: readonly (readonly [label: string, json: string])[] = [
  ["no variable at all", "{}"],
  ["null, false, 0 and empty values", '{"a":null,"b":false,"c":0,"d":"","e":[],"f":{}}'],
  [
    "the names __proto__ and constructor",
    '{"__proto__":{"isAdmin":true},"constructor":{"prototype":{"isAdmin":true}},"toString":"x","hasOwnProperty":1}',
  ],
  [
    "names that are empty, dotted or those of the payload",
    '{"":"empty","a.b":1,"$where":"1","with space":2,"event":"call.ended","sessionId":"x"}',
  ],
  ["names and values of many scripts", '{"名前":"Nancy 👩‍🚀","الاسم":"نانسي","combining":"é"}'],
  [
    "direction and control characters",
    '{"rtl":"\\u202eevil","esc":"\\u001b[31m","line":"\\u2028","bom":"\\ufeff"}',
  ],
  ["a NUL character", '{"nul":"a\\u0000b"}'],
  ["half of a surrogate pair", '{"lone":"\\ud800","other":"\\udfff"}'],
  ["numbers beyond those of JavaScript", '{"big":9007199254740993,"huge":1e400,"small":1e-400,"zero":-0}'],
  ["markup and statements", '{"name":"<script>alert(1)</script>","sql":"\'; DROP TABLE sessions;--"}'],
  ["25 levels", nested(25)],
  ["1,000 names", many],
];

/** Variables of so many bytes, as JSON text. */
export function variablesOf(bytes: number): string {
  const empty = '{"transcript":""}';
  return `{"transcript":"${"word ".repeat(Math.ceil(bytes / 5)).slice(0, bytes - empty.length)}"}`;
}
