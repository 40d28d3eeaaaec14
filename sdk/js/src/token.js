/** @import { TokenOf } from "./types.js" */

const TOKEN_TIME = 30e3;

/** Calls that have not settled, of each function. @type {WeakMap<Function, ReturnType<TokenOf>>} */
const tokens = new WeakMap();

/**
 * Coalesces calls of one function, because a refresh token may be valid once only. Fails if it never settles.
 *
 * @type {TokenOf}
 */
export async function tokenOf(give) {
  if (typeof give !== "function") return give;
  let token = tokens.get(give);
  if (!token) {
    /** @type {any} */
    let late;
    const call = async () => give();
    const lateness = new Promise((_, fail) => (late = setTimeout(() => fail(Error("No token in time")), TOKEN_TIME)));
    token = Promise.race([call(), lateness]).finally(() => {
      clearTimeout(late);
      tokens.delete(give);
    });
    tokens.set(give, token);
  }
  return token;
}
