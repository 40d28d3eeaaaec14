/** The call to Jobcast was refused. */
export declare class JobcastError extends Error {
    static text: string;
    /** @param {string} [message] */
    constructor(message?: string);
}
/** There is no such job, or it has expired. */
export declare class UnknownJob extends JobcastError {
    static text: string;
}
/** A job with this id exists already. */
export declare class JobExists extends JobcastError {
    static text: string;
}
/** The job has succeeded or failed already. */
export declare class JobFinished extends JobcastError {
    static text: string;
}
/** The lease of this run expired without being renewed, and the job was failed. */
export declare class JobStalled extends JobFinished {
    static text: string;
}
/** Another run or attempt has taken over this job. */
export declare class JobSuperseded extends JobcastError {
    static text: string;
}
/** The job was not started. */
export declare class JobNotRunning extends JobcastError {
    static text: string;
}
/** The job has not failed, so there is nothing to retry. */
export declare class JobNotFailed extends JobcastError {
    static text: string;
}
/** An argument is not what the contract allows. */
export declare class InvalidEvent extends JobcastError {
    static text: string;
}
/** Redis is unavailable, and the buffer of this run is full. */
export declare class BufferFull extends JobcastError {
    static text: string;
}
/** The job was asked to stop. */
export declare class JobCancelled extends JobcastError {
    static text: string;
}
/**
 * Redis can't be reached, or did not answer in time; `cause` is the error of ioredis. It is no JobcastError, because
 * nothing was refused.
 */
export declare class RedisUnavailable extends Error {
    /** @param {string} message @param {unknown} [cause] */
    constructor(message: string, cause?: unknown);
}
/**
 * The JobcastError for an error reply to an append; null if the reply does not concern the job.
 *
 * @param {string} reply
 */
export declare function refused(reply: string): JobcastError | null;
