// Of components, which may be given new objects and functions at each render that mean the same.
import { tokenOf } from "./token.js";

/**
 * A text that is equal for options that watch the same. A function counts only as being there.
 *
 * @param {Record<string, any> | null | undefined} options
 */
export function likeness(options) {
  const { signal, EventSource, known, ...rest } = options ?? {};
  return JSON.stringify(rest, (_, value) => (typeof value === "function" ? "function" : value));
}

/**
 * Options whose functions call those that `current` returns at that time.
 *
 * @param {Record<string, any>} options
 * @param {() => Record<string, any> | null | undefined} current
 */
export function following(options, current) {
  const own = Object.entries(options).map(([name, value]) => {
    if (typeof value !== "function" || name === "EventSource") return [name, value];
    if (name === "token") return [name, () => tokenOf(current()?.token)];
    return [name, (/** @type {unknown[]} */ ...given) => current()?.[name]?.(...given)];
  });
  return Object.fromEntries(own);
}
