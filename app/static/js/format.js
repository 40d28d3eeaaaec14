/** Figures as people read them. */

const grouped = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
});
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

export const count = (value) => grouped.format(value);

export const plural = (value, noun) => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;

/** Bytes in decimal units, with three significant digits. */
export function bytes(value) {
  let unit = 0;
  let scaled = value;
  while (scaled >= 999.5 && unit < UNITS.length - 1) {
    scaled /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || scaled >= 99.95 ? 0 : scaled >= 9.995 ? 1 : 2;
  return `${scaled.toFixed(digits)} ${UNITS[unit]}`;
}

const SECONDS_AN_HOUR = 3600;

/** A length of time, from seconds. */
export function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(seconds < 1 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  if (whole < 100) return `${whole} s`;
  if (whole < SECONDS_AN_HOUR) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / SECONDS_AN_HOUR)} h ${Math.floor((whole % SECONDS_AN_HOUR) / 60)} min`;
}

/** An estimate of the time left, from seconds, no finer than an estimate is. */
export function timeLeft(seconds) {
  const whole = Math.ceil(seconds);
  if (whole <= 1) return "about a second left";
  if (whole < 100) return `about ${whole} s left`;
  if (whole < 2 * SECONDS_AN_HOUR) return `about ${Math.round(whole / 60)} min left`;
  return `about ${Math.round(whole / SECONDS_AN_HOUR)} h left`;
}

/** Time of day with milliseconds, in the reader's zone. */
export const timeOfDay = (date) => clock.format(date);

/** Day and time of day, in the reader's zone. */
export const moment = (date) => day.format(date);
