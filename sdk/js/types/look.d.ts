/**
 * What is in the element. Not made by innerHTML: a content security policy may require trusted types.
 *
 * A worker's texts may be of another direction than the page, so they are in `bdi`.
 */
export declare function parts(/** @type {Document} */ page: Document): HTMLElement[];
/** Not a style element: a content security policy may forbid inline styles. */
export declare function styles(/** @type {Document} */ page: Document): CSSStyleSheet[];
