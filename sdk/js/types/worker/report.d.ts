export type Report = {
    percent: number | null;
    current?: number;
    total?: number;
    unit?: string;
    step?: string;
    eta?: number;
    more: Record<string, unknown>;
};
/**
 * What a task reports in its queue's own way: a percentage or a count, a step, the seconds left, further fields.
 *
 * @typedef {{ percent: number | null, current?: number, total?: number, unit?: string, step?: string, eta?: number,
 *   more: Record<string, unknown> }} Report
 */
/**
 * Reads what a task reports, a percentage or an object, as the adapters of the Python library do; null if there is
 * nothing to send. What can't be read is left out, and said to `complain`.
 *
 * @param {unknown} progress
 * @param {(text: string) => void} complain
 * @returns {Report | null}
 */
export declare function read(progress: unknown, complain: (text: string) => void): Report | null;
