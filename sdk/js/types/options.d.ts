/**
 * A text that is equal for options that watch the same. A function counts only as being there.
 *
 * @param {Record<string, any> | null | undefined} options
 */
export declare function likeness(options: Record<string, any> | null | undefined): string;
/**
 * Options whose functions call those that `current` returns at that time.
 *
 * @param {Record<string, any>} options
 * @param {() => Record<string, any> | null | undefined} current
 */
export declare function following(options: Record<string, any>, current: () => Record<string, any> | null | undefined): any;
