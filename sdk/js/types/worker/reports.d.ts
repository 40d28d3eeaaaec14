import type { Answer, Append } from "./append.js";
import type { Fields } from "./event.js";
import type { Sender } from "./sender.js";
export type ProgressFields = Fields & {
    progress?: number | null;
    step?: string | null;
    eta?: number | null;
    current?: number;
    total?: number;
    unit?: string;
};
/** @import { Answer, Append } from "./append.js" */
/** @import { Fields } from "./event.js" */
/** @import { Sender } from "./sender.js" */
/**
 * Fields of a progress event. The contract defines `progress` (percent), `step` and `eta` (seconds left); `current`,
 * `total` and `unit` are a count; others are your own.
 *
 * @typedef {Fields & { progress?: number | null, step?: string | null, eta?: number | null, current?: number,
 *   total?: number, unit?: string }} ProgressFields
 */
/** The calls by which a run reports, between its start and its end. */
export declare class Reports {
    #private;
    jobId: string;
    /** Whether Redis has acknowledged the end of this run. */
    finished: boolean;
    /** @protected @type {Sender} */
    protected _sender: Sender;
    /** @param {Sender} sender @param {string} jobId */
    constructor(sender: Sender, jobId: string);
    /** Whether the job was asked to stop, according to the last answer or renewal of the lease. */
    get cancelRequested(): boolean;
    /**
     * Aborted, with JobCancelled as the reason, when the job is asked to stop. Pass it to `fetch` and similar calls.
     *
     * @returns {AbortSignal}
     */
    get signal(): AbortSignal;
    /**
     * Reports progress: percent, the current step and further fields, of which `eta` is the seconds left.
     *
     * Viewers get null for what is left out. A percentage below the job's is raised to it. Throws JobCancelled, after the
     * event was written, if the job was asked to stop.
     *
     * Or reports a count, `progress({ current: 3, total: 12, unit: "page" })`: it determines the percentage and, from the
     * recent rate, the seconds left, once 3 s have passed and 2 % are done. `total` and `unit` stay as they are until the
     * next step. Without a total, viewers see that the end is unknown (`indeterminate`).
     *
     * Progress, counted or not, is sent at most 20 times a second (`progressPerS` of `connect`). Within 50 ms of the last
     * progress event, a call returns an empty id and its progress is held back. Of what is held back, the newest is sent,
     * with the highest percentage: when the 50 ms are over, or before the next event of another kind, the end of the run
     * or the closing of its `Jobs`. Throws InvalidEvent at once if an argument is invalid. Progress that is too large for
     * the job is only refused when it is sent: if it was held back, it is dropped with a process warning.
     *
     * @param {number | null | ProgressFields} [progress]
     * @param {string | null | ProgressFields} [step]
     * @param {ProgressFields} [fields]
     * @returns {Promise<string>}
     */
    progress(progress?: number | null | ProgressFields, step?: string | null | ProgressFields, fields?: ProgressFields): Promise<string>;
    /**
     * Reports that a step begins. Like `progress`, but may lower the percentage; without one, the job's stays as it is.
     *
     * @param {string} step
     * @param {Omit<ProgressFields, "step">} [fields]
     * @returns {Promise<string>}
     */
    step(step: string, fields?: Omit<ProgressFields, "step">): Promise<string>;
    /** Increases the count of the current step. See `progress`. @param {number} [count] @returns {Promise<string>} */
    advance(count?: number): Promise<string>;
    /**
     * Iterates over items, and reports each as done when the next one is requested:
     * `for await (const file of run.track(files, "Hashing", { unit: "file" }))`.
     *
     * `step` begins a step. `total` defaults to the length or size of the items; if they have none, viewers see how many
     * are done and that the end is unknown.
     *
     * @template T
     * @param {Iterable<T> | AsyncIterable<T>} items
     * @param {string | null} [step]
     * @param {{ unit?: string, total?: number }} [options]
     * @returns {AsyncGenerator<T, void, undefined>}
     */
    track<T>(items: Iterable<T> | AsyncIterable<T>, step?: string | null, { unit, total }?: {
        unit?: string;
        total?: number;
    }): AsyncGenerator<T, void, undefined>;
    /**
     * Sets the steps of the job, and the share of the work that each is, in any unit.
     *
     * `{ download: 1, analyse: 4 }`: while the step `analyse` counts from 0 to its total, the job goes from 20 to 100
     * percent. The events of the steps carry `stepIndex` and `stepCount`.
     *
     * @param {Record<string, number>} weights
     */
    plan(weights: Record<string, number>): void;
    /**
     * Sends a custom event, which reaches viewers in order and is never dropped.
     *
     * `name` is `[a-z][a-z0-9-]{0,63}` and not reserved; `data` is an object of at most 1 MiB of JSON. Throws
     * JobCancelled, after the event was written, if the job was asked to stop.
     *
     * @param {string} name
     * @param {object} data
     * @returns {Promise<string>}
     */
    emit(name: string, data: object): Promise<string>;
    /**
     * Sends a line of text as the event `log`.
     *
     * @param {string} text
     * @param {"debug" | "info" | "warning" | "error"} [level]
     * @param {Fields} [more]
     * @returns {Promise<string>}
     */
    log(text: string, level?: "debug" | "info" | "warning" | "error", more?: Fields): Promise<string>;
    /**
     * Sends a report of a queue's task, subject to the rate limit of progress; the last report is always sent.
     *
     * @param {import("./report.js").Report} report
     * @returns {Promise<string>}
     */
    note({ percent, step, eta, more, ...count }: import("./report.js").Report): Promise<string>;
    /** @protected */
    protected _begin(): void;
    /** Sends progress that is held back, before another event, which is sent even if that fails. @protected */
    protected _flush(): void;
    /** Called with each event that was written. @protected @param {Append} made @param {Answer} answer */
    protected _answered(made: Append, answer: Answer): void;
    /** @protected @param {boolean} isRequested */
    protected _noteCancel(isRequested: boolean): void;
}
