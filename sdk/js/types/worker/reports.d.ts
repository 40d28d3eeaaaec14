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
 * Fields of a progress event. `progress` (percent), `step` and `eta` (seconds left) are the contract's, `current`,
 * `total` and `unit` count; others are your own.
 *
 * @typedef {Fields & { progress?: number | null, step?: string | null, eta?: number | null, current?: number,
 *   total?: number, unit?: string }} ProgressFields
 */
/** What a run reports between its start and its end. */
export declare class Reports {
    #private;
    jobId: string;
    /** Whether Redis has acknowledged the end of this run. */
    finished: boolean;
    /** @protected @type {Sender} */
    protected _sender: Sender;
    /** @param {Sender} sender @param {string} jobId */
    constructor(sender: Sender, jobId: string);
    /** Whether the job was asked to stop, as far as the last answer or renewal of the lease says. */
    get cancelRequested(): boolean;
    /**
     * Is aborted, with JobCancelled as its reason, when the job was asked to stop: for `fetch` and the like.
     *
     * @returns {AbortSignal}
     */
    get signal(): AbortSignal;
    /**
     * Reports progress: percent, the current step and further fields, of which `eta` is the seconds left.
     *
     * What is left out is null for the viewers. A lower percentage than the job's is raised to it. Throws JobCancelled,
     * after the event was written, when the job was asked to stop.
     *
     * Or reports a count, `progress({ current: 3, total: 12, unit: "page" })`: then the percentage follows from it, and the
     * seconds left from how fast it went lately, once that is worth showing (after 3 s and 2 %). `total` and `unit` stay as
     * they are until the next step. Without a total, viewers see that the end is unknown (`indeterminate`).
     *
     * Progress is sent 20 times a second at the most (`progressPerS` of `connect`), counted or not: what follows another
     * sooner returns an empty id. The newest of it, with the highest percentage, is sent 50 ms after that other, or before
     * the next event of another kind, the end of the run or the closing of its `Jobs`. Throws InvalidEvent at once for what
     * is wrong; what is larger than the job allows is only known later, and is left out then with a warning of the process.
     *
     * @param {number | null | ProgressFields} [progress]
     * @param {string | null | ProgressFields} [step]
     * @param {ProgressFields} [fields]
     * @returns {Promise<string>}
     */
    progress(progress?: number | null | ProgressFields, step?: string | null | ProgressFields, fields?: ProgressFields): Promise<string>;
    /**
     * Reports that a step begins. As `progress`, but it may lower the progress; without one the job's own stays.
     *
     * @param {string} step
     * @param {Omit<ProgressFields, "step">} [fields]
     * @returns {Promise<string>}
     */
    step(step: string, fields?: Omit<ProgressFields, "step">): Promise<string>;
    /** Reports that so much more of the current step is done. See `progress`. @param {number} [count] @returns {Promise<string>} */
    advance(count?: number): Promise<string>;
    /**
     * Goes through items, and reports each as done when the next one is asked for:
     * `for await (const file of run.track(files, "Hashing", { unit: "file" }))`.
     *
     * `step` begins a step. Without `total`, that is the length or size of the items; if they have none, viewers see how
     * many are done and that the end is unknown.
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
     * Says which steps there will be and what share of the work each is, in any unit.
     *
     * `{ download: 1, analyse: 4 }`: while `step("analyse")` counts from 0 to its total, the job goes from 20 to 100
     * percent. The steps carry `stepIndex` and `stepCount`.
     *
     * @param {Record<string, number>} weights
     */
    plan(weights: Record<string, number>): void;
    /**
     * Sends an event of your own, which reaches viewers in order and is never dropped.
     *
     * `name` is `[a-z][a-z0-9-]{0,63}` and no reserved one; `data` is an object of at most 1 MiB of JSON. Throws
     * JobCancelled, after the event was written, when the job was asked to stop.
     *
     * @param {string} name
     * @param {object} data
     * @returns {Promise<string>}
     */
    emit(name: string, data: object): Promise<string>;
    /**
     * Sends a line of text, as the event `log`.
     *
     * @param {string} text
     * @param {"debug" | "info" | "warning" | "error"} [level]
     * @param {Fields} [more]
     * @returns {Promise<string>}
     */
    log(text: string, level?: "debug" | "info" | "warning" | "error", more?: Fields): Promise<string>;
    /**
     * Sends what a task reports in its queue's own way when there is time for it, 20 times a second at the most; the last
     * report is always sent.
     *
     * @param {import("./report.js").Report} report
     * @returns {Promise<string>}
     */
    note({ percent, step, eta, more, ...count }: import("./report.js").Report): Promise<string>;
    /** @protected */
    protected _begin(): void;
    /** Sends what is held back, before another event: it must not keep that from being sent. @protected */
    protected _flush(): void;
    /** Is called with each event that was written. @protected @param {Append} made @param {Answer} answer */
    protected _answered(made: Append, answer: Answer): void;
    /** @protected @param {boolean} isRequested */
    protected _noteCancel(isRequested: boolean): void;
}
