/** The call to Jobcast was refused. */
export class JobcastError extends Error {
  static text = "The call to Jobcast was refused";

  /** @param {string} [message] */
  constructor(message) {
    super(message || new.target.text);
    this.name = new.target.name;
  }
}

/** There is no such job, or it has expired. */
export class UnknownJob extends JobcastError {
  static text = "There is no such job, or it has expired";
}

/** A job with this id exists already. */
export class JobExists extends JobcastError {
  static text = "A job with this id exists already";
}

/** The job has succeeded or failed already. */
export class JobFinished extends JobcastError {
  static text = "The job has succeeded or failed already";
}

/** The lease of this run expired without being renewed, and the job was failed. */
export class JobStalled extends JobFinished {
  static text = "The lease of this run ran out while nobody renewed it, and the job was failed";
}

/** Another run or attempt has taken over this job. */
export class JobSuperseded extends JobcastError {
  static text = "Another run or attempt has taken over this job";
}

/** The job was not started. */
export class JobNotRunning extends JobcastError {
  static text = "The job was not started";
}

/** The job has not failed, so there is nothing to retry. */
export class JobNotFailed extends JobcastError {
  static text = "The job has not failed, so there is nothing to retry";
}

/** An argument is not what the contract allows. */
export class InvalidEvent extends JobcastError {
  static text = "An argument is not what the contract allows";
}

/** Redis is unavailable, and the buffer of this run is full. */
export class BufferFull extends JobcastError {
  static text = "Redis is unavailable, and as many events of this run wait for it as may";
}

/** The job was asked to stop. */
export class JobCancelled extends JobcastError {
  static text = "The job was asked to stop";
}

/**
 * Redis can't be reached, or did not answer in time; `cause` is the error of ioredis. It is no JobcastError, because
 * nothing was refused.
 */
export class RedisUnavailable extends Error {
  /** @param {string} message @param {unknown} [cause] */
  constructor(message, cause) {
    super(message, { cause });
    this.name = "RedisUnavailable";
  }
}

/** @type {Record<string, typeof JobcastError>} */
const KINDS = {
  NOJOB: UnknownJob,
  EXISTS: JobExists,
  FINISHED: JobFinished,
  STALLED: JobStalled,
  SUPERSEDED: JobSuperseded,
  NOTRUNNING: JobNotRunning,
  NOTFAILED: JobNotFailed,
  NOTCANCELLABLE: JobFinished,
  BADEVENT: InvalidEvent,
};

const OF_THE_DATA = new RegExp(
  "WRONGTYPE|invalid stream id|top item|last possible id" + // from a command, about a key or an entry
    "|attempt to |bad argument|must be strings or integers" + // from the script, about data that it can't process
    "|not an integer|value is out of range|invalid expire",
  "i",
);

/**
 * The JobcastError for an error reply to an append; null if the reply does not concern the job.
 *
 * @param {string} reply
 */
export function refused(reply) {
  const [code, ...words] = reply.split(" ");
  const text = words.join(" ");
  const Kind = Object.hasOwn(KINDS, code) ? KINDS[code] : undefined;
  if (Kind) return new Kind(text.slice(0, 1).toUpperCase() + text.slice(1));
  if (OF_THE_DATA.test(reply)) return new UnknownJob(`What is stored under this id is no job: ${reply}`);
  return null;
}
