export type Settings = {
    /**
     * seconds for which a job that is created here is kept after its end; a day
     */
    retentionS?: number;
    /**
     * bound of its log; 10,000
     */
    maxEntries?: number;
    /**
     * bound of the data of each of its events, a result too, from 1024 to 1 MiB
     */
    maxEventBytes?: number;
    /**
     * seconds without a renewal after which a run's worker is taken for lost; 60. null is
     * for runs without a lease, which nobody misses.
     */
    leaseS?: number | null;
    /**
     * seconds for which a call waits while Redis is unavailable; 30. null is for ever.
     */
    blockS?: number | null;
    /**
     * how many events of a run may wait for Redis; 1,000
     */
    bufferEvents?: number;
    /**
     * and about how many bytes; 4 MiB
     */
    bufferBytes?: number;
    /**
     * progress events a second, at the most; 20. null sends each.
     */
    progressPerS?: number | null;
};
export type Limits = {
    blockS: number | null;
    maxEvents: number;
    maxBytes: number;
    paceMs: number;
};
/**
 * @typedef {object} Settings
 * @property {number} [retentionS] seconds for which a job that is created here is kept after its end; a day
 * @property {number} [maxEntries] bound of its log; 10,000
 * @property {number} [maxEventBytes] bound of the data of each of its events, a result too, from 1024 to 1 MiB
 * @property {number | null} [leaseS] seconds without a renewal after which a run's worker is taken for lost; 60. null is
 *   for runs without a lease, which nobody misses.
 * @property {number | null} [blockS] seconds for which a call waits while Redis is unavailable; 30. null is for ever.
 * @property {number} [bufferEvents] how many events of a run may wait for Redis; 1,000
 * @property {number} [bufferBytes] and about how many bytes; 4 MiB
 * @property {number | null} [progressPerS] progress events a second, at the most; 20. null sends each.
 */
/**
 * How long a call may wait for Redis (null: for ever), how much may wait of each run, and the least time between two
 * progress events.
 *
 * @typedef {{ blockS: number | null, maxEvents: number, maxBytes: number, paceMs: number }} Limits
 */
/**
 * What bounds a job, its leases and its calls; InvalidEvent that names the setting.
 *
 * @param {Settings} settings
 */
export declare function checkedSettings(settings: Settings): {
    bounds: {
        retentionS: number;
        maxEntries: number;
        maxEventBytes: number;
    };
    leaseMs: number | null;
    /** @type {Limits} */
    limits: Limits;
};
/** The number of an attempt, null for any; InvalidEvent if it is no number. @param {number | null} [attempt] */
export declare function checkedAttempt(attempt?: number | null): number | null;
/** A job id as keys spell it; InvalidEvent if it is none. @param {unknown} jobId */
export declare function canonical(jobId: unknown): string;
