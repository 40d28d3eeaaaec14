// Types alone: no module needs this one when it runs.
export {};

/** @typedef {"succeeded" | "failed" | "cancelled" | "stalled"} Outcome */

/**
 * Why there are no live events, from the answer to a status request; `status` is 0 if none came.
 *
 * @typedef {{ status: number, code: string, message: string }} Problem
 */

/**
 * What is known of a job. Every change makes a new object.
 *
 * @typedef {object} JobState
 * @property {"queued" | "running" | "succeeded" | "failed" | null} status
 * @property {number | null} progress percent
 * @property {string | null} step
 * @property {number | null} eta seconds
 * @property {Record<string, any>} fields further fields of the last progress event
 * @property {any} result
 * @property {string | null} error
 * @property {string | null} errorCode
 * @property {Outcome | null} outcome null until the job ends
 * @property {number | null} attempt counts from 1; null as long as no status and no `reset` has told it
 * @property {number | null} updatedAt time of the last event, in ms since 1970
 * @property {"connecting" | "live" | "reconnecting" | "unavailable" | "denied" | "closed"} connection
 * @property {"stream" | "polling"} transport what the state comes from
 * @property {Problem | null} problem why `connection` is `unavailable` or `denied`
 */

/**
 * An event of the stream: `connected`, `reset`, `progress-update`, `step-change`, `complete`, `failed`, `log`, or one
 * of the worker's own. `reset` of reason `reopened` is the client's: it had to open a new stream, which could not
 * resume.
 *
 * @typedef {object} JobEvent
 * @property {string} name
 * @property {any} data
 * @property {string} [id] of the last entry of the log that was seen
 */

/**
 * @typedef {object} WatchOptions
 * @property {string | undefined} [jobId]
 * @property {string | URL | undefined} [url] of the job's stream or status, instead of `jobId`
 * @property {string | URL | undefined} [base] address below which the service is. By default the root of the page's
 *   origin; in a module that the service itself has served, its own.
 * @property {string | null | (() => string | null | undefined | Promise<string | null | undefined>) | undefined} [token]
 *   a JWT. A function is called before each connection, so also when a token has expired.
 * @property {string | undefined} [session] session id
 * @property {boolean | undefined} [withCredentials] send cookies to another origin
 * @property {"start" | undefined} [from] begin with the attempt's first event instead of the job's state
 * @property {"all" | string[] | undefined} [events] custom events that have no callback. An EventSource hears only
 *   names that it knows: for `"all"` the stream is read by `fetch` instead.
 * @property {boolean | undefined} [shareAcrossTabs] have one stream for all tabs of this origin that watch the job
 * @property {AbortSignal | undefined} [signal]
 * @property {typeof EventSource | undefined} [EventSource] instead of the browser's
 * @property {((state: JobState) => void) | undefined} [onState]
 * @property {((event: JobEvent) => void) | undefined} [onEvent]
 * @property {((data: import("../events.js").ProgressData, event: JobEvent) => void) | undefined} [onProgressUpdate]
 * @property {((data: import("../events.js").ProgressData, event: JobEvent) => void) | undefined} [onStepChange]
 * @property {((data: { result: any }, event: JobEvent) => void) | undefined} [onComplete]
 * @property {((data: { error: string, errorCode: string | null }, event: JobEvent) => void) | undefined} [onFailed]
 * @property {((data: { reason: string, attempt?: number }, event: JobEvent) => void) | undefined} [onReset]
 * @property {((data: { text: string, level?: string, time?: string, [field: string]: any }, event: JobEvent) => void) | undefined} [onLog]
 */

/**
 * Besides, each of the worker's own events may have a callback: `onFileHashed` for `file-hashed`.
 *
 * @typedef {WatchOptions & { [callback: `on${string}`]: ((data: any, event: JobEvent) => void) | undefined }} Options
 */

/**
 * @typedef {object} Handle
 * @property {JobState} state
 * @property {Promise<Outcome | null>} closed settles when the job ends: with its outcome, or with null if `close` or
 *   the signal came first. Rejects if the job can't be watched. After a retry it is another promise.
 * @property {(subscriber: (state: JobState) => void) => () => unknown} subscribe calls a function with the state, at once
 *   and at each change; returns what ends that
 * @property {() => Promise<void>} cancel
 * @property {() => Promise<void>} retry runs a failed job again, and watches that
 * @property {() => void} wake makes sure of the connection now; a failed job that was retried is watched again
 * @property {() => void} close
 */

/**
 * A job that is being watched. What is asynchronously iterated are its events from then on, until it ends.
 *
 * @typedef {Handle & AsyncIterable<JobEvent>} Job
 */

/**
 * A callback that throws affects no other: its error becomes an unhandled rejection. Subscribers never see the state
 * between a reset or a status and the event that follows it immediately (`shown`).
 *
 * @typedef {(options: Options) => Job} WatchJob
 */

/**
 * An event of one of many jobs; `left` says why a job has left the stream.
 *
 * @typedef {{ name: string, data: any, jobId: string }} ManyEvent
 */

/**
 * Either `jobs` or `mine`. The other options are those of `watchJob`.
 *
 * @typedef {object} WatchManyOptions
 * @property {string[] | undefined} [jobs] their ids; more than 200 take several streams
 * @property {"active" | undefined} [mine] the caller's active jobs, and those that have just ended; new ones join by themselves
 * @property {ReadonlyMap<string, JobState> | undefined} [known] states of listed jobs to begin with, as `jobs` of a handle that was
 *   closed for one with another list
 * @property {WatchOptions["base"] | undefined} [base]
 * @property {WatchOptions["token"] | undefined} [token]
 * @property {WatchOptions["session"] | undefined} [session]
 * @property {WatchOptions["withCredentials"] | undefined} [withCredentials]
 * @property {WatchOptions["events"] | undefined} [events]
 * @property {WatchOptions["signal"] | undefined} [signal]
 * @property {WatchOptions["EventSource"] | undefined} [EventSource]
 * @property {((jobs: ReadonlyMap<string, JobState>) => void) | undefined} [onJobs]
 * @property {((state: JobState, jobId: string) => void) | undefined} [onState]
 * @property {((event: ManyEvent) => void) | undefined} [onEvent]
 */

/**
 * Besides, a callback for each event by its name, as `onComplete`, `onLeft` or `onFileHashed`: with its data and itself.
 *
 * @typedef {WatchManyOptions & { [callback: `on${string}`]: ((data: any, event: any) => void) | undefined }} ManyOptions
 */

/**
 * Many jobs that are being watched.
 *
 * @typedef {object} ManyHandle
 * @property {ReadonlyMap<string, JobState>} jobs their states, by id; another map after each change. Of a job that was
 *   denied (unknown, of another owner, gone) `connection` is `denied`.
 * @property {Promise<ReadonlyMap<string, JobState>>} closed settles when all listed jobs have ended or left, or at
 *   `close`. Rejects if nothing can be watched.
 * @property {(subscriber: (jobs: ReadonlyMap<string, JobState>) => void) => () => unknown} subscribe calls a function with
 *   the states, at once and at each change; returns what ends that
 * @property {() => void} wake makes sure of the connection now
 * @property {() => void} close
 */

/** @typedef {ManyHandle & AsyncIterable<ManyEvent>} Jobs */

/** @typedef {(options: ManyOptions) => Jobs} WatchJobs */

// What the modules of the core are to each other.

/**
 * The state after an event. `$status` is the answer to a status request and `$link` what the client says of its
 * connection; no event of a job can have such a name. A status may be older than events received meanwhile. The same
 * object means that nothing has changed. A retry may come within the millisecond of the failure. The snapshot of a queued job equals that of a just started one.
 *
 * @typedef {(state: JobState, event: JobEvent) => JobState} Reduce
 */

/**
 * Yields what readers get from its first step on, until the end. Loads most of itself then.
 *
 * @typedef {(readers: Set<any>, closed: Promise<any>) => AsyncGenerator<any, void>} Iterate
 */

/**
 * Yields what is in an array, to which readers add events, until the end.
 *
 * @typedef {(waiting: any[], readers: Set<any>, closed: Promise<any>) => AsyncGenerator<any, void>} Reading
 */

/** @typedef {(name: string, data: any, id?: string) => void} Hear */
/** @typedef {(connection?: JobState["connection"], problem?: Problem | null) => void} Say */
/** @typedef {(isClosed: boolean) => void} Lose gets whether the source has given up */
/** @typedef {{ close(): void }} Source */

/**
 * Opens a stream that reconnects and resumes by itself unless it is refused. Only one that is fetched can begin after
 * `lastId`.
 *
 * @typedef {(o: Options, names: string[], hear: Hear, lose: Lose, lastId: string) => Promise<Source>} Open
 */

/**
 * Receives a job's events from a stream, and polls the status while no stream is live.
 *
 * A source reconnects and resumes by itself after a dropped connection, so it is not replaced while it tries. A refusal
 * closes it without a reason, and it does not detect a proxy that buffers. Then the status is requested, and a new
 * stream is opened with back-off.
 *
 * - A stream is `waiting` until `connected`; after `PATIENCE` polling begins beside it. A silence of `MUTE` keepalives
 *   means that it is mute. Its successor is on `trial` until an event arrives after the first second, because a proxy
 *   may let the first events through and buffer the next. Then it is `live`.
 * - A timer that fires later than `SLEPT` was suspended, or the clock jumped: silence proves nothing then.
 * - A final status is ignored while a stream reconnects, because the stream also has the events before the end.
 * - A new EventSource can't send Last-Event-ID, so it is announced by a `reset`.
 * - The clock may be put back: a stream is never waited for longer than `LONGEST_WAIT`.
 * - A job that has ended stays so (`isOver`) if a later look at it fails. `wake` of the page's asks until it is answered:
 *   the job may have been retried.
 * - Back-off has jitter, because an outage hits all pages at once. A page with an open stream is not eligible for the
 *   back/forward cache, so `pagehide` closes it.
 *
 * `poll` takes the place of the status request, for many jobs.
 *
 * @typedef {(o: Options & { poll?: any }, names: string[], emit: (event: JobEvent) => JobState) => { wake(): void, close(): void }} Connect
 */

/**
 * The address of a job's `stream`, `status`, `cancel` or `retry`, with who asks: in the query, because an EventSource
 * sends no headers, and because a page of another origin needs no preflight then.
 *
 * @typedef {(o: Options, call: string, query?: object) => Promise<URL>} Address
 */

/**
 * Options that are undefined are the defaults.
 *
 * @typedef {<T extends { base?: unknown }>(options: T) => T} WithDefaults
 */

/** @typedef {(act: any, ...given: any[]) => Promise<any>} Run */
/** @typedef {(problem: Problem) => Error & Problem} Failure */

/**
 * Gives the token. `token.js` is loaded for a function only. Browsers remember for the life of a page that an import
 * failed, so a function is called without it then.
 *
 * @typedef {(token: WatchOptions["token"]) => Promise<string | null | undefined>} TokenOf
 */

/**
 * Calls the service. Never rejects: `problem` says why there is no answer of the service. It may come from a proxy, which
 * answers with a page, or with JSON of its own. `wait` is the answer's `Retry-After` in ms.
 *
 * @typedef {(o: Options, call: string, method?: string) => Promise<{ body?: any, problem: any, wait?: number }>} Call
 */
