/** The index of leases: a sorted set of runs by the expiry of their leases, in ms of the clock of Redis. */
export declare const LEASES_KEY = "jobs:leases";
/** The script that adds a run to the index, or updates its expiry, to so many ms from now. */
export declare const ENTER = "\nlocal function add(score, member)\n  local added = redis.pcall('ZADD', KEYS[1], score, member)\n  if type(added) == 'number' then return end\n  if string.find(added.err, 'WRONGTYPE', 1, true) then redis.call('DEL', KEYS[1]) end\n  redis.call('ZADD', KEYS[1], score, member)\nend\n\nlocal time = redis.call('TIME')\nlocal now = time[1] * 1000 + math.floor(time[2] / 1000)\nlocal function enter(member, delay_ms)\n  add(string.format('%.0f', now + delay_ms), member)\nend\nenter(ARGV[1], ARGV[2])";
/**
 * The job id as keys spell it (a UUID in lower case); null if it is invalid.
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
 * The commands that add a job to its owners' lists, which expire later than the job. `created` is its first entry.
 *
 * @param {string} jobId
 * @param {string} created
 * @param {import("./append.js").Owner} owner
 * @param {number} retentionS
 * @param {string} publish PUBLISH or SPUBLISH, which announces it to the owners' streams of all jobs
 * @returns {string[][]} for each owner
 */
export declare function indexCommands(jobId: string, created: string, { userId, sessionId }: import("./append.js").Owner, retentionS: number, publish: string): string[][];
/**
 * A job's first entry and owners, from the fields `created userId sessionId` of its state; an invalid entry is null.
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
 * A job's first entry, from the fields `created userId sessionId` of its state; null unless it has exactly these
 * owners.
 *
 * @param {(string | null)[]} reply
 * @param {import("./append.js").Owner} owner
 */
export declare function createdBy(reply: (string | null)[], { userId, sessionId }: import("./append.js").Owner): string | null;
