import { InvalidEvent } from "./errors.js";
import { toJson } from "./json.js";

/** Size limit of the further fields of one report, as JSON: each event carries them. */
const MAX_FIELDS_BYTES = 16 * 1024;

const PERCENT = ["progress", "percent", "percentage"];
const STEP = ["step", "currentStep", "status", "stage", "description", "message"];
const ETA = ["eta", "estimatedTimeRemaining"];
const COUNT = ["current", "total", "unit"];
const OF_THE_CONTRACT = ["progress", "currentStep", "estimatedTimeRemaining"];

/**
 * One report of a task: a percentage or a count, a step, the seconds left, further fields.
 *
 * @typedef {{ percent: number | null, current?: number, total?: number, unit?: string, step?: string, eta?: number,
 *   more: Record<string, unknown> }} Report
 */

/**
 * Parses a report, a percentage or an object, as the adapters of the Python library do; null if there is nothing to
 * send. Leaves out invalid values, and calls `complain` with the reason.
 *
 * @param {unknown} progress
 * @param {(text: string) => void} complain
 * @returns {Report | null}
 */
export function read(progress, complain) {
  const isObject = progress !== null && typeof progress === "object" && !Array.isArray(progress);
  if (!isObject && typeof progress !== "number") return null;
  const left = new Map(Object.entries(isObject ? progress : { progress }));
  const percent = number(left, PERCENT, complain);
  const report = {
    percent: percent === undefined ? null : Math.floor(Math.min(percent, 100)),
    current: number(left, ["current"], complain),
    total: number(left, ["total"], complain),
    unit: text(left, ["unit"], complain),
    step: text(left, STEP, complain),
    eta: number(left, ETA, complain),
    more: further(left, complain),
  };
  const { more, ...parts } = report;
  return Object.keys(more).length || Object.values(parts).some((part) => part != null) ? report : null;
}

/**
 * Removes all these keys; returns the first value that is a finite number, 0 or more.
 *
 * @param {Map<string, unknown>} left
 * @param {string[]} names
 * @param {(text: string) => void} complain
 */
function number(left, names, complain) {
  let found;
  for (const name of names) {
    const value = left.get(name);
    left.delete(name);
    if (value == null || found !== undefined) continue;
    const read = typeof value === "string" && value.trim() ? Number(value) : value;
    if (typeof read === "number" && read >= 0 && Number.isFinite(read)) found = read;
    else complain(`${name} is no number from 0`);
  }
  return found;
}

/**
 * Removes and returns the first of these that is a string; the others stay further fields.
 *
 * @param {Map<string, unknown>} left
 * @param {string[]} names
 * @param {(text: string) => void} complain
 */
function text(left, names, complain) {
  for (const name of names) {
    const value = left.get(name);
    if (typeof value !== "string") continue;
    left.delete(name);
    if (value.length * 4 <= MAX_FIELDS_BYTES) return value.toWellFormed();
    complain(`${name} is too long`);
  }
  return undefined;
}

/** @param {Map<string, unknown>} left @param {(text: string) => void} complain */
function further(left, complain) {
  /** @type {[string, unknown][]} */
  const more = [];
  let size = 0;
  for (const [name, value] of left) {
    if (name.startsWith("_") || COUNT.includes(name) || OF_THE_CONTRACT.includes(name) || value === undefined) continue;
    try {
      size += Buffer.byteLength(toJson({ [name]: value }, name));
    } catch (error) {
      complain(error instanceof InvalidEvent ? error.message : `${name} can't be read`);
      continue;
    }
    if (size > MAX_FIELDS_BYTES) {
      complain(`${name} and what follows: more than ${MAX_FIELDS_BYTES} bytes`);
      break;
    }
    more.push([name, value]);
  }
  return Object.fromEntries(more);
}
