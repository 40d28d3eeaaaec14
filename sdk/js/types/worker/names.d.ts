/** The index of leases: a sorted set of runs by when theirs expires, in ms of the clock of Redis. */
export declare const LEASES_KEY = "jobs:leases";
/** The script that enters a run there, or postpones when it is due, by so many ms from now. */
export declare const ENTER = "\nlocal time = redis.call('TIME')\nlocal now = time[1] * 1000 + math.floor(time[2] / 1000)\nlocal function enter(member, delay_ms)\n  redis.call('ZADD', KEYS[1], string.format('%.0f', now + delay_ms), member)\nend\nenter(ARGV[1], ARGV[2])";
/**
 * The id as keys spell it (a UUID in lower case), or null if it is none.
 *
 * @param {unknown} text
 */
export declare function parseJobId(text: unknown): string | null;
/** @param {string} jobId */
export declare const logKey: (jobId: string) => string;
/** @param {string} jobId */
export declare const stateKey: (jobId: string) => string;
/** @param {string} jobId @param {string} run */
export declare const leaseMember: (jobId: string, run: string) => string;
/**
 * The commands that list a job among those of its owners, for longer than it can live. `created` is its first entry.
 *
 * @param {string} jobId
 * @param {string} created
 * @param {import("./append.js").Owner} owner
 * @param {number} retentionS
 * @param {string} publish the command by which streams of all jobs of an owner hear of it
 * @returns {string[][]} for each owner
 */
export declare function listing(jobId: string, created: string, { userId, sessionId }: import("./append.js").Owner, retentionS: number, publish: string): string[][];
/**
 * A job's first entry and owners, of the fields `created userId sessionId` of its state; no entry if it is invalid.
 *
 * @param {(string | null)[]} reply
 */
export declare function creationOf([created, userId, sessionId]: (string | null)[]): {
    created: string | null;
    owner: {
        userId: string | null;
        sessionId: string | null;
    };
};
/**
 * A job's first entry, of the fields `created userId sessionId` of its state; null unless it is of these owners.
 *
 * @param {(string | null)[]} reply
 * @param {import("./append.js").Owner} owner
 */
export declare function createdBy(reply: (string | null)[], { userId, sessionId }: import("./append.js").Owner): string | null;
