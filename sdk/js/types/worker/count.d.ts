import type { Fields } from "./event.js";
/** Progress by counting: how much of the current step is done. Nothing here waits or sends. */
export declare class Count {
    #private;
    /** Whether there is news that was not sent, because the last event is too recent. */
    isHeld: boolean;
    /** Says which steps there will be, in order, and what share of the work each is. @param {Record<string, number>} weights */
    plan(weights: Record<string, number>): void;
    /**
     * Begins a step, and returns its progress and fields, with those of the plan.
     *
     * @param {string} step
     * @param {unknown} progress
     * @param {Fields} more
     * @returns {[progress: unknown, more: Fields]}
     */
    step(step: string, progress: unknown, more: Fields): [progress: unknown, more: Fields];
    /**
     * Says how much is done; what is undefined stays as it is.
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
    /** Says that so much more is done. @param {unknown} count */
    advance(count: unknown): void;
    /** The event that says where things are, to be sent now. */
    event(): import("./append.js").Append;
}
