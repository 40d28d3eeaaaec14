/** @type {WatchJobs} */
export declare function watchJobs(options: import("./types.js").ManyOptions): import("./types.js").Jobs;
