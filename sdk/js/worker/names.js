/** How many seconds an index lists an unfinished job: longer than the job lives after its last entry. */
const LISTED_S = 8 * 24 * 3600;

const JOB_ID = /^[A-Za-z0-9._-]{1,128}$/;
const UUID = /^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$/;
const ENTRY_ID = /^[0-9]{1,19}-[0-9]{1,20}$/;

/** The index of leases: a sorted set of runs by the expiry of their leases, in ms of the clock of Redis. */
export const LEASES_KEY = "jobs:leases";

/**
 * The beginning of each script that adds to a sorted set of Jobcast. What is no sorted set is replaced: nobody can read
 * it, and it would refuse every later addition.
 */
const ADD = `
local function add(score, member)
  local added = redis.pcall('ZADD', KEYS[1], score, member)
  if type(added) == 'number' then return end
  if string.find(added.err, 'WRONGTYPE', 1, true) then redis.call('DEL', KEYS[1]) end
  redis.call('ZADD', KEYS[1], score, member)
end
`;

/** The script that adds a run to the index, or updates its expiry, to so many ms from now. */
export const ENTER = `${ADD}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function enter(member, delay_ms)
  add(string.format('%.0f', now + delay_ms), member)
end
enter(ARGV[1], ARGV[2])`;

/**
 * The job id as keys spell it (a UUID in lower case); null if it is invalid.
 *
 * @param {unknown} text
 */
export function parseJobId(text) {
  if (typeof text !== "string" || !JOB_ID.test(text)) return null;
  return UUID.test(text) ? text.toLowerCase() : text;
}

/** @param {string} jobId */
export const logKey = (jobId) => `jobs:{${jobId}}:log`;

/** @param {string} jobId */
export const stateKey = (jobId) => `jobs:{${jobId}}:state`;

/** @param {string} jobId @param {string} run */
export const leaseMember = (jobId, run) => `${jobId}:${run}`;

/** The script that lists a job and publishes its id on its owner's channel, which has the name of the list. */
const LIST = `${ADD}
add(0, ARGV[1])
if redis.call('TTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
redis.pcall(ARGV[3], KEYS[1], ARGV[4])`;

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
export function indexCommands(jobId, created, { userId, sessionId }, retentionS, publish) {
  const keys = [];
  if (userId != null) keys.push(`jobs:by-user:${userId}`);
  if (sessionId != null) keys.push(`jobs:by-session:${sessionId}`);
  const member = `${created.split("-")[0].padStart(13, "0")}:${jobId}`;
  return keys.map((key) => ["EVAL", LIST, "1", key, member, `${LISTED_S + retentionS}`, publish, jobId]);
}

/**
 * A job's first entry and owners, from the fields `created userId sessionId` of its state; an invalid entry is null.
 *
 * @param {(string | null)[]} reply
 */
export function creationOf([created, userId, sessionId]) {
  return { created: created && ENTRY_ID.test(created) ? created : null, owner: { userId, sessionId } };
}

/**
 * A job's first entry, from the fields `created userId sessionId` of its state; null unless it has exactly these
 * owners.
 *
 * @param {(string | null)[]} reply
 * @param {import("./append.js").Owner} owner
 */
export function createdBy(reply, { userId, sessionId }) {
  const { created, owner } = creationOf(reply);
  return owner.userId === (userId ?? null) && owner.sessionId === (sessionId ?? null) ? created : null;
}
