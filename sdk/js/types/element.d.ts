import type { JobState, Options } from "./types.js";
declare const JobProgress_base: {
    new (): HTMLElement;
    prototype: HTMLElement;
};
/**
 * `<job-progress job="…">`: bar, step, time left and a button to cancel. Attributes: `job` or `url`, `base`, `token`,
 * `session`, `label`, `no-cancel`, `share-across-tabs`. What is slotted as `result` is shown once the job has succeeded. A
 * `jobstate` event tells each state.
 */
export declare class JobProgress extends JobProgress_base {
    #private;
    /** Of all elements; those of one are its `texts`. */
    static texts: {
        /** Of numbers and times. */
        lang: string;
        label: string;
        connecting: string;
        reconnecting: string;
        unavailable: string;
        denied: string;
        /** Without a token or session, or with one that is invalid or has expired. */
        unauthorized: string;
        queued: string;
        running: string;
        succeeded: string;
        failed: string;
        cancelled: string;
        stalled: string;
        cancel: string;
        cancelling: string;
        notCancelled: string;
        /** The displayed step; `fields` has `stepKey` and `stepParams` for translations. */
        step: (/** @type {JobState} */ { step }: JobState) => string | null;
        eta: (/** @type {string} */ time: string) => string;
    };
    static observedAttributes: string[];
    constructor();
    /** The state as `watchJob` tells it. */
    get state(): JobState;
    /** Options of `watchJob` that no attribute can say: a function as `token`, callbacks. */
    get options(): Partial<Options>;
    set options(options: Partial<Options>);
    get texts(): Partial<{
        /** Of numbers and times. */
        lang: string;
        label: string;
        connecting: string;
        reconnecting: string;
        unavailable: string;
        denied: string;
        /** Without a token or session, or with one that is invalid or has expired. */
        unauthorized: string;
        queued: string;
        running: string;
        succeeded: string;
        failed: string;
        cancelled: string;
        stalled: string;
        cancel: string;
        cancelling: string;
        notCancelled: string;
        /** The displayed step; `fields` has `stepKey` and `stepParams` for translations. */
        step: (/** @type {JobState} */ { step }: JobState) => string | null;
        eta: (/** @type {string} */ time: string) => string;
    }>;
    set texts(texts: Partial<{
        /** Of numbers and times. */
        lang: string;
        label: string;
        connecting: string;
        reconnecting: string;
        unavailable: string;
        denied: string;
        /** Without a token or session, or with one that is invalid or has expired. */
        unauthorized: string;
        queued: string;
        running: string;
        succeeded: string;
        failed: string;
        cancelled: string;
        stalled: string;
        cancel: string;
        cancelling: string;
        notCancelled: string;
        /** The displayed step; `fields` has `stepKey` and `stepParams` for translations. */
        step: (/** @type {JobState} */ { step }: JobState) => string | null;
        eta: (/** @type {string} */ time: string) => string;
    }>);
    connectedCallback(): void;
    disconnectedCallback(): void;
    attributeChangedCallback(): void;
    adoptedCallback(): void;
    cancel(): Promise<void>;
}
export {};
