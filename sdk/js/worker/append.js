import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/** The append script, the same as in the Python library and the service. */
export const SCRIPT = readFileSync(new URL("./append.lua", import.meta.url), "utf8");

const DIGEST = createHash("sha1").update(SCRIPT).digest("hex");
const ENDS = new Set(["complete", "fail"]);

const TRACES = ["status", "cancel", "error"];

/**
 * One call of the append script, without its job, attempt and run.
 *
 * `operation`, `name`, `data` and `number` (a progress, or the length of a lease) are as the script's header describes
 * them; `fields` are set in the job's state and `cleared` are removed from it.
 */
export class Append {
  /**
   * @param {string} operation
   * @param {{ name?: string, data?: string, number?: string, fields?: Record<string, string>, cleared?: string[] }} [given]
   */
  constructor(operation, { name = "", data = "{}", number = "", fields = {}, cleared = [] } = {}) {
    this.operation = operation;
    this.name = name;
    this.data = data;
    this.number = number;
    this.fields = fields;
    this.cleared = cleared;
    /** Approximate size in bytes, without the parts that all calls share. */
    this.size = [name, data, ...Object.values(fields)].reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  }

  /** Whether it ends its run. */
  get isEnd() {
    return ENDS.has(this.operation);
  }

  /** The fields of the job's state that `isIn` needs. */
  get traces() {
    return [...TRACES, ...Object.keys(this.fields), ...this.cleared];
  }

  /**
   * Whether the job's state, its `traces`, shows that this `cancel`, `retry` or `abandon` was written.
   *
   * For a caller that got no answer, and whose repeat was refused. Any cancellation of the job counts as a `cancel`. A
   * `retry` is recognized by its token (see `retried`) until another retry follows, an `abandon` by its failure.
   *
   * @param {(string | null)[]} stored
   */
  isIn(stored) {
    /** @type {Record<string, string | null>} */
    const state = Object.fromEntries(this.traces.map((name, n) => [name, stored[n]]));
    const isFailed = state.status === "failed";
    if (this.operation === "cancel") return state.cancel === "1" || (isFailed && state.error === "Cancelled");
    const hasFields = Object.entries(this.fields).every(([name, value]) => state[name] === value);
    if (this.operation === "retry") return hasFields;
    return isFailed && hasFields && this.cleared.every((name) => state[name] === null);
  }

  /** @param {string} name */
  named(name) {
    return new Append(this.operation, { ...this, name });
  }

  /**
   * The Redis command that appends it in this attempt (null: any) and run ("": any). `publish` is PUBLISH or SPUBLISH,
   * `keys` are the job's log and state. With `seq`, the sequence number of the append or the token of a creation, the
   * command may be repeated.
   *
   * @param {string} publish
   * @param {[string, string]} keys
   * @param {number | null} attempt
   * @param {string} run
   * @param {string} seq
   * @returns {string[]}
   */
  command(publish, keys, attempt, run, seq) {
    const pairs = Object.entries(this.fields);
    const count = seq ? `${pairs.length} ${seq}` : `${pairs.length}`;
    return [
      ...["EVALSHA", DIGEST, "2", ...keys, publish, this.operation, `${attempt ?? ""}`, run],
      ...[this.name, this.data, this.number, count, ...pairs.flat(), ...this.cleared],
    ];
  }
}

/**
 * The same command as an EVAL, which also loads the script into a Redis that lacks it.
 *
 * @param {string[]} command
 * @returns {string[]}
 */
export function withScript(command) {
  return ["EVAL", SCRIPT, ...command.slice(2)];
}

/** Fails a queued job, or asks the worker of a running one to stop. */
export const CANCEL = new Append("cancel");

/** Queues a failed job for its next attempt. @param {string} token random, by which the retry is recognized */
export function retried(token) {
  return new Append("retry", {
    fields: { retryToken: token },
    cleared: [
      ...["run", "currentStep", "estimatedTimeRemaining", "extra", "result"],
      ...["error", "errorCode", "cancel"],
    ],
  });
}

/** @typedef {{ retentionS: number, maxEntries: number, maxEventBytes: number }} Bounds the limits of a job */
/** @typedef {{ userId?: string | null, sessionId?: string | null }} Owner */

/**
 * The append that creates a job; `input` is JSON.
 *
 * @param {string} type
 * @param {string | null} input
 * @param {Owner} owner
 * @param {Bounds} bounds
 */
export function created(type, input, { userId, sessionId }, bounds) {
  /** @type {Record<string, string>} */
  const fields = {
    type,
    retention: `${bounds.retentionS}`,
    maxEntries: `${bounds.maxEntries}`,
    maxEventBytes: `${bounds.maxEventBytes}`,
  };
  for (const [name, value] of Object.entries({ input, userId, sessionId })) if (value != null) fields[name] = value;
  return new Append("create", { fields });
}

/** The append that completes a job. @param {string} result JSON */
export function completed(result) {
  const data = `{"result":${result}}`;
  if (result === "null") return new Append("complete", { data, cleared: ["result", "estimatedTimeRemaining"] });
  return new Append("complete", { data, fields: { result }, cleared: ["estimatedTimeRemaining"] });
}

/**
 * The append that fails a job; `data` is the JSON of error and code. `abandon` fails only a job that no worker has
 * started.
 *
 * @param {string} data
 * @param {string} error
 * @param {string | null} code
 * @param {"fail" | "abandon"} [operation]
 */
export function failed(data, error, code, operation = "fail") {
  if (code === null) return new Append(operation, { data, fields: { error }, cleared: ["errorCode"] });
  return new Append(operation, { data, fields: { error, errorCode: code } });
}

/**
 * The script's answer to an append that it did not refuse. `entryId` is the id of the log entry, empty if none was
 * written; `receivers` is the number of subscribers that Redis sent the publication to (-1: Redis refused to publish).
 * `type` and `input` (JSON) are those of the job after a start, else empty.
 *
 * @typedef {{ entryId: string, cancelRequested: boolean, receivers: number, attempt: number, type: string,
 *   input: string }} Answer
 */

/** @param {any} reply @returns {Answer} */
export function answerOf(reply) {
  const [entryId, cancel, receivers, attempt, , type = "", input = ""] = reply;
  return {
    entryId,
    cancelRequested: Number(cancel) !== 0,
    receivers: Number(receivers),
    attempt: Number(attempt),
    type,
    input,
  };
}
