// Text for people.

const numbers = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

export const unknown = "not known";

export const count = (n) => (n === null || n === undefined ? unknown : numbers.format(n));

// plural says a number with its noun.
export const plural = (n, one, many = one + "s") => `${count(n)} ${n === 1 ? one : many}`;

// rate says how many a second.
export const rate = (n) => (n === null || n === undefined ? unknown : n < 10 ? short.format(n) : numbers.format(Math.round(n)));

// bytes says a size with the units that declarations use.
export function bytes(n) {
  if (n === null || n === undefined) return unknown;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  for (; n >= 1024 && at < units.length - 1; at++) n /= 1024;
  return `${n < 10 && at > 0 ? short.format(n) : numbers.format(Math.round(n))} ${units[at]}`;
}

// duration says milliseconds in at most two units.
export function duration(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => s >= size);
  if (first < 0) return "0 s";
  let left = s;
  const words = [];
  for (const [name, size] of units.slice(first, first + 2)) {
    const n = Math.floor(left / size);
    left -= n * size;
    if (n > 0 || words.length === 0) words.push(`${n} ${name}`);
  }
  return words.join(" ");
}

// seconds says a short duration, given in seconds.
export function seconds(s) {
  if (s === null || s === undefined) return unknown;
  if (s >= 60) return duration(s * 1000);
  return s >= 1 ? `${short.format(s)} s` : `${s > 0 && s < 0.001 ? "<1" : Math.round(s * 1000)} ms`;
}

// time says when in the day, given in milliseconds; moment says the day as well.
export const time = (ms) => clock.format(ms);
export const moment = (ms) => day.format(ms);

// Signs that cannot be seen, or change the order in which others are shown.
const hidden = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

// brief makes an error one line, without the calls that led to it: the log has them.
export const brief = (text) => visible(text.split("\nstack traceback:")[0].replace(/\s*\n\s*/g, " "), 1000);

// visible makes a text one line on which all is seen, and cuts it.
export function visible(text, limit) {
  const cut = text.length > limit;
  const shown = (cut ? text.slice(0, limit) : text).replace(hidden, (sign) => {
    if (sign === "\n") return "\\n";
    if (sign === "\t") return "\\t";
    return `\\u{${sign.codePointAt(0).toString(16)}}`;
  });
  return cut ? `${shown}… (${numbers.format(text.length)} characters)` : shown;
}
