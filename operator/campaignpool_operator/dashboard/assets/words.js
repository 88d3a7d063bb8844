/* How facts read: times in the reader's zone, durations, shares, and the mark of each answer. */

export const MARKS = {
  Yes: ["ok", "ok"], Until: ["soon", "warn"], Slower: ["slow", "warn"], No: ["no", "bad"], Unknown: ["unk", "idle"],
};

export const clock = (moment) => new Date(moment).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

export function when(moment) {
  const at = new Date(moment);
  const today = at.toDateString() === new Date().toDateString();
  return today ? at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" })
    : at.toLocaleString([], { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

export function duration(seconds) {
  if (seconds == null) return "-";
  for (const [bound, factor, unit] of [[1, 1000, "ms"], [120, 1, "s"], [7200, 1 / 60, "min"], [172800, 1 / 3600, "h"]]) {
    if (seconds < bound) {
      const value = seconds * factor;
      return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
    }
  }
  return `${Math.round(seconds / 86400)} d`;
}

/* 99.96 % is never shown as 100 %. */
export const share = (rate) => (rate == null ? "-" : rate === 1 ? "100 %" : `${Math.floor(rate * 10000) / 100} %`);

export const answer = (verdict) => verdict.text.replace("{until}", verdict.until ? clock(verdict.until) : "");

export const count = (number, one, more) => `${number.toLocaleString()} ${number === 1 ? one : more}`;
