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
export declare function read(progress: unknown, complain: (text: string) => void): Report | null;
