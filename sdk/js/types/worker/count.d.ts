import type { Fields } from "./event.js";
/** Progress as a count: how much of the current step is done. Does no I/O. */
export declare class Count {
    #private;
    /** Whether it has progress that was not sent yet. */
    isHeld: boolean;
    /** Sets the steps, in order, and the share of the work that each is. @param {Record<string, number>} weights */
    plan(weights: Record<string, number>): void;
    /**
     * Begins a step; returns its progress and its fields, including those of the plan.
     *
     * @param {string} step
     * @param {unknown} progress
     * @param {Fields} more
     * @returns {[progress: unknown, more: Fields]}
     */
    step(step: string, progress: unknown, more: Fields): [progress: unknown, more: Fields];
    /**
     * Sets how much is done; an undefined `current`, `total` or `unit` stays unchanged.
     *
     * @param {{ current?: unknown, total?: unknown, unit?: unknown, step?: any, eta?: any, more: Fields }} given
     */
    set({ current, total, unit, step, eta, more }: {
        current?: unknown;
        total?: unknown;
        unit?: unknown;
        step?: any;
        eta?: any;
        more: Fields;
    }): void;
    /** Counts from 0 again, within the same step. */
    anew(): void;
    /** Increases the count. @param {unknown} count */
    advance(count: unknown): void;
    /** The event to send now. */
    event(): import("./append.js").Append;
}
