export type Settings = {
    /**
     * how many seconds a job that is created here is kept after its end; default one day
     */
    retentionS?: number;
    /**
     * how many entries its log may have; default 10,000
     */
    maxEntries?: number;
    /**
     * how many bytes the data of each event may have, also a result: from 1024 to 1 MiB
     * (the default)
     */
    maxEventBytes?: number;
    /**
     * seconds without a renewal after which the service fails a run; default 60. With
     * null, runs have no lease, and lost ones are not detected.
     */
    leaseS?: number | null;
    /**
     * how many seconds a call waits while Redis is unavailable; default 30, null: for
     * ever
     */
    blockS?: number | null;
    /**
     * how many events a run may buffer while Redis is unavailable; default 1,000
     */
    bufferEvents?: number;
    /**
     * and about how many bytes; default 4 MiB
     */
    bufferBytes?: number;
    /**
     * maximum rate of progress events per second; default 20, null sends each
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
 * @property {number} [retentionS] how many seconds a job that is created here is kept after its end; default one day
 * @property {number} [maxEntries] how many entries its log may have; default 10,000
 * @property {number} [maxEventBytes] how many bytes the data of each event may have, also a result: from 1024 to 1 MiB
 *   (the default)
 * @property {number | null} [leaseS] seconds without a renewal after which the service fails a run; default 60. With
 *   null, runs have no lease, and lost ones are not detected.
 * @property {number | null} [blockS] how many seconds a call waits while Redis is unavailable; default 30, null: for
 *   ever
 * @property {number} [bufferEvents] how many events a run may buffer while Redis is unavailable; default 1,000
 * @property {number} [bufferBytes] and about how many bytes; default 4 MiB
 * @property {number | null} [progressPerS] maximum rate of progress events per second; default 20, null sends each
 */
/**
 * How long a call may wait for Redis (null: for ever), how much each run may buffer, and the minimum time between two
 * progress events.
 *
 * @typedef {{ blockS: number | null, maxEvents: number, maxBytes: number, paceMs: number }} Limits
 */
/**
 * The limits of a job, its leases and its calls. Throws InvalidEvent, which names the setting, if one is invalid.
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
/** The number of an attempt, null for any. Throws InvalidEvent if it is invalid. @param {number | null} [attempt] */
export declare function checkedAttempt(attempt?: number | null): number | null;
/** A job id as keys spell it. Throws InvalidEvent if it is invalid. @param {unknown} jobId */
export declare function canonical(jobId: unknown): string;
