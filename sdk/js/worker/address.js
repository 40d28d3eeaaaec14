import { readFileSync } from "node:fs";
import { Cluster, Redis } from "ioredis";
import { InvalidEvent } from "./errors.js";

/** @import { ClusterOptions, RedisOptions } from "ioredis" */

/** @typedef {Redis | Cluster} Client */

/**
 * What `connect` takes: an address, a client of ioredis, or the options of one, optionally with a `url`. Of a client,
 * only the options are used: Jobcast opens its own connection and never touches the client.
 *
 * @typedef {string | URL | Client | (RedisOptions & { url?: string })} Target
 */

/** @typedef {{ open: (own: RedisOptions) => Client, timeoutS: number }} Address */

const TIMEOUT_S = 5;
const NUMBER = /^\d+(\.\d+)?$/;
const SCHEME = /^(rediss?)(?:\+(sentinel|cluster))?:$|^unix:$/;
const SCHEMES =
  "redis://, rediss://, unix://, redis+sentinel://, redis+cluster://, rediss+sentinel:// or rediss+cluster://";
const PLAIN = ["db", "client_name", "socket_timeout", "socket_connect_timeout"];
const OF_SENTINELS = ["sentinel_username", "sentinel_password"];
const TLS = ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"];

/**
 * Parses a target. Throws InvalidEvent, whose message has no password, if it is invalid.
 *
 * @param {Target} target
 * @returns {Address}
 */
export function addressOf(target) {
  if (typeof target === "string" || target instanceof URL) return parseAddress(`${target}`);
  if (target === null || typeof target !== "object" || Array.isArray(target)) {
    throw new InvalidEvent("connect takes the address of Redis, a client of ioredis, or its options");
  }
  const client = /** @type {any} */ (target);
  if ("url" in client && typeof client.url !== "string" && !(client.host || client.path || client.sentinels)) {
    throw new InvalidEvent("url has to be a string"); // else ioredis would connect to this machine
  }
  if (typeof client.url === "string") {
    const { url, ...options } = client; // as in BullMQ's options
    const { open, timeoutS } = parseAddress(url);
    return { open: (own) => open({ ...options, ...own }), timeoutS };
  }
  if (typeof client.duplicate !== "function") {
    return { open: (own) => new Redis({ .../** @type {RedisOptions} */ (target), ...own }), timeoutS: TIMEOUT_S };
  }
  if (typeof client.nodes === "function") {
    return { open: (own) => client.duplicate([], clusterOptions(client.options, own)), timeoutS: TIMEOUT_S };
  }
  if (!("sentinels" in (client.options ?? {}))) throw new InvalidEvent("connect takes no clients but those of ioredis");
  return { open: (own) => client.duplicate(own), timeoutS: TIMEOUT_S };
}

/**
 * @param {ClusterOptions} options
 * @param {RedisOptions} own
 * @returns {ClusterOptions}
 */
function clusterOptions(options, own) {
  const { retryStrategy, ...ofNodes } = own;
  return {
    ...options,
    enableOfflineQueue: false,
    keyPrefix: "",
    lazyConnect: true,
    scaleReads: "master",
    enableAutoPipelining: false,
    clusterRetryStrategy: (times) => Number(retryStrategy?.(times)),
    redisOptions: { ...options.redisOptions, ...ofNodes },
  };
}

/** @param {string} text @returns {Address} */
function parseAddress(text) {
  const scheme = text.slice(0, text.indexOf(":") + 1);
  const match = SCHEME.exec(scheme);
  if (!match) throw new InvalidEvent(`the address of Redis begins with none of ${SCHEMES}`);
  const [, plain, kind] = match;
  const { userinfo, hosts, path, query } = split(text.slice(scheme.length));
  const isTls = plain === "rediss";
  const options = optionsOf(query, { isTls, kind });
  const timeoutS = seconds(query, "socket_timeout") ?? TIMEOUT_S;
  Object.assign(options, credentials(userinfo));
  if (!plain) return single({ ...options, path: decodeURIComponent(path) }, timeoutS, path.length > 1);
  const nodes = hosts.split(",").map((host) => hostAndPort(host, kind === "sentinel" ? 26379 : 6379));
  const parts = path.split("/").slice(1).filter(Boolean);
  const database = parts[kind === "sentinel" ? 1 : 0];
  if (database !== undefined) options.db = whole("the database", database);
  if (kind === "cluster") {
    if (options.db) throw new InvalidEvent("a Cluster has no databases");
    const given = { redisOptions: options, dnsLookup: undefined };
    return { open: (own) => new Cluster(nodes, withoutUndefined(clusterOptions(given, own))), timeoutS };
  }
  if (kind === "sentinel") {
    if (!parts[0]) throw new InvalidEvent("the name of what the Sentinels watch has to follow them: …:26379/mymaster");
    Object.assign(options, { sentinels: nodes, name: decodeURIComponent(parts[0]), enableTLSForSentinelMode: isTls });
    if (isTls) options.sentinelTLS = options.tls;
    return single(options, timeoutS, true);
  }
  return single({ ...options, ...nodes[0] }, timeoutS, nodes.length === 1);
}

/** @param {RedisOptions} options @param {number} timeoutS @param {boolean} isWhole @returns {Address} */
function single(options, timeoutS, isWhole) {
  if (!isWhole) throw new InvalidEvent("the address of Redis has to name one server");
  return { open: (own) => new Redis({ ...options, ...own }), timeoutS };
}

/** Splits an address; the URL class accepts no list of hosts. @param {string} rest */
function split(rest) {
  const [, authority, path, query] = /^\/\/([^/?]*)([^?]*)(?:\?(.*))?$/.exec(rest) ?? [];
  if (authority === undefined || rest.includes("#")) throw new InvalidEvent("the address of Redis needs host and port");
  const at = authority.lastIndexOf("@");
  return {
    userinfo: at < 0 ? "" : authority.slice(0, at),
    hosts: authority.slice(at + 1),
    path,
    query: new URLSearchParams(query),
  };
}

/** @param {string} userinfo @returns {RedisOptions} */
function credentials(userinfo) {
  if (!userinfo) return {};
  const [user, ...password] = userinfo.split(":");
  try {
    return { username: decodeURIComponent(user) || undefined, password: decodeURIComponent(password.join(":")) };
  } catch {
    throw new InvalidEvent("special characters of user and password have to be percent-encoded");
  }
}

/** @param {string} text @param {number} port */
function hostAndPort(text, port) {
  const [, host, given] = /^(\[[^\]]+\]|[^:[\]]*)(?::(\d{1,5}))?$/.exec(text) ?? [];
  if (host === undefined) throw new InvalidEvent("the address of Redis needs host and port");
  return { host: host.replace(/^\[|\]$/g, "") || "localhost", port: given === undefined ? port : Number(given) };
}

/**
 * @param {URLSearchParams} query
 * @param {{ isTls: boolean, kind: string | undefined }} given
 * @returns {RedisOptions}
 */
function optionsOf(query, { isTls, kind }) {
  const known = [...PLAIN, ...(kind === "sentinel" ? OF_SENTINELS : []), ...(isTls ? TLS : [])];
  for (const name of query.keys()) {
    if (known.includes(name)) continue;
    throw new InvalidEvent(
      `${/^\w{1,64}$/.test(name) ? name : "what follows the ?"} is no option here; those are ${known.join(", ")}. ` +
        "For others pass a client of ioredis",
    );
  }
  const connectS = seconds(query, "socket_connect_timeout");
  return withoutUndefined({
    db: query.has("db") ? whole("db", `${query.get("db")}`) : undefined,
    connectionName: query.get("client_name") ?? undefined,
    connectTimeout: connectS === undefined ? undefined : connectS * 1000,
    sentinelUsername: query.get("sentinel_username") ?? undefined,
    sentinelPassword: query.get("sentinel_password") ?? undefined,
    tls: isTls ? tlsOf(query) : undefined,
  });
}

/** @param {URLSearchParams} query */
function tlsOf(query) {
  const file = (/** @type {string} */ name) => {
    const path = query.get(name);
    if (path === null) return undefined;
    try {
      return readFileSync(path);
    } catch (error) {
      throw new InvalidEvent(`${name}: can't be read (${error instanceof Error ? error.message : error})`);
    }
  };
  const isVerified = query.get("ssl_cert_reqs") !== "none";
  const isNamed = !["false", "no", "0"].includes(`${query.get("ssl_check_hostname")}`.toLowerCase());
  return withoutUndefined({
    ca: file("ssl_ca_certs"),
    cert: file("ssl_certfile"),
    key: file("ssl_keyfile"),
    rejectUnauthorized: isVerified,
    checkServerIdentity: isNamed ? undefined : () => undefined,
  });
}

/** @param {URLSearchParams} query @param {string} name */
function seconds(query, name) {
  const text = query.get(name);
  if (text === null) return undefined;
  if (!NUMBER.test(text) || Number(text) <= 0) throw new InvalidEvent(`${name}: has to be a number of seconds`);
  return Number(text);
}

/** @param {string} what @param {string} text */
function whole(what, text) {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidEvent(`${what} is a number`);
  return Number(text);
}

/** @template {object} T @param {T} options @returns {T} */
function withoutUndefined(options) {
  return /** @type {T} */ (Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)));
}
