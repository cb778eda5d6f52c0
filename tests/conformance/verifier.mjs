// A second verifier of certificates, written from docs/reference/certificate-format.md, policy.md, cli.md, the
// how-to pages and the JSON schema alone: nothing of the Python package is used or was read for it.
//
//   node verifier.mjs CASE_FOLDER [CASE_FOLDER ...]
//
// A case folder has a case.json with `arguments` (those of `prodml verify`) and `now`. One line of JSON is printed a
// case: {"case", "verdict": "accept" | "refuse", "exit", "reason", "reasons"}. Nothing is written, no state file either.

import { createHash, createPublicKey, verify as verifySignature } from "node:crypto";
import { existsSync, lstatSync, readFileSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const STATEMENT_TYPE = "https://in-toto.io/Statement/v1";
const PREDICATE = "https://github.com/pytest-prodml/pytest-prodml/predicates/production-readiness/v1";
const WAIVER = "https://github.com/pytest-prodml/pytest-prodml/predicates/waiver/v1";
const IN_TOTO = "application/vnd.in-toto+json";
const TRUST_ROOT = "application/vnd.pytest-prodml.trust-root.v1+json";
const REVOCATIONS = "application/vnd.pytest-prodml.revocations.v1+json";
const SKEW = 300;
const MIB = 1024 * 1024;
const DIMENSIONS = ["data", "performance", "fairness", "behavior", "latency", "pipeline"];
const EXIT = {
  malformed: 11, "no-signature": 10, untrusted: 12, threshold: 12, role: 12, "key-validity": 12, "trust-root": 12,
  "trust-expired": 12, "trust-rollback": 12, revoked: 16, "revocation-missing": 16, "revocation-untrusted": 16,
  "revocation-stale": 16, "revocation-rollback": 16, "payload-type": 11, "predicate-type": 11, statement: 11,
  "html-mismatch": 11, "subject-unreadable": 13, "subject-differs": 13, "subject-name": 13, "subject-kind": 13,
  "subject-missing": 13, "not-yet-valid": 14, expired: 14, window: 14, "issued-too-early": 14, "no-serial": 14,
  replay: 14, decision: 17, "not-ready": 1, policy: 15, "policy-guard": 15, "policy-not-accepted": 15,
  "waiver-expired": 16, "waiver-untrusted": 16, "waiver-self-approved": 16, "waiver-revoked": 16,
  "waiver-not-allowed": 15, state: 2, usage: 2, internal: 70,
};

class Refusal extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const has = (object, key) => Object.prototype.hasOwnProperty.call(object, key);

// ---------------------------------------------------------------------------------------------- strict JSON

function strictText(bytes) {
  if (bytes.length >= 3 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) throw new Error("byte-order mark");
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
}

function strictJson(bytes, { limit, depth: deepest, longest, isSafe }) {
  if (bytes.length > limit) throw new Error("too large");
  const text = strictText(bytes);
  let at = 0;
  const fail = (what) => {
    throw new Error(`${what} at ${at}`);
  };
  const space = () => {
    while (at < text.length && " \t\n\r".includes(text[at])) at++;
  };
  const string = () => {
    const begin = at++;
    for (;;) {
      if (at >= text.length) fail("text without an end");
      const unit = text.charCodeAt(at);
      if (unit === 0x22) break;
      if (unit < 0x20) fail("control character in a text");
      if (unit === 0x5c) {
        const escape = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
        escape.lastIndex = at;
        if (!escape.test(text)) fail("bad escape");
        at = escape.lastIndex;
      } else at++;
    }
    at++;
    const value = JSON.parse(text.slice(begin, at));
    if (!value.isWellFormed()) fail("lone surrogate");
    if (value.length > longest && [...value].length > longest) fail("text too long");
    return value;
  };
  const value = (depth) => {
    space();
    const begin = text[at];
    if (begin === "{" || begin === "[") {
      if (depth > deepest + 1) fail("nested too deeply");
      const isMap = begin === "{";
      const result = isMap ? {} : [];
      at++;
      space();
      if (text[at] === (isMap ? "}" : "]")) {
        at++;
        return result;
      }
      for (;;) {
        space();
        if (isMap) {
          if (text[at] !== '"') fail("a key is missing");
          const key = string();
          if (has(result, key)) fail("a key stands twice");
          space();
          if (text[at++] !== ":") fail("no colon");
          const item = value(depth + 1);
          Object.defineProperty(result, key, { value: item, enumerable: true, writable: true, configurable: true });
        } else result.push(value(depth + 1));
        space();
        const next = text[at++];
        if (next === (isMap ? "}" : "]")) return result;
        if (next !== ",") fail("no comma");
      }
    }
    if (begin === '"') return string();
    const rest = /(?:true|false|null)|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
    rest.lastIndex = at;
    const match = rest.exec(text);
    if (!match) fail("no JSON value");
    at = rest.lastIndex;
    const result = JSON.parse(match[0]);
    if (typeof result === "number" && !Number.isFinite(result)) fail("number outside of the double range");
    if (isSafe && /^-?\d+$/.test(match[0]) && !Number.isSafeInteger(result)) fail("integer beyond 2^53 - 1");
    return result;
  };
  const result = value(1);
  space();
  if (at !== text.length) fail("trailing bytes");
  return result;
}

function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (isObject(value))
    return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
  return JSON.stringify(value);
}

function canonicalJson(bytes) {
  const value = strictJson(bytes, { limit: 16 * MIB, depth: 32, longest: 65536 });
  if (!Buffer.from(canonical(value), "utf-8").equals(bytes)) throw new Error("not in canonical form");
  return value;
}

// ---------------------------------------------------------------------------------------------- envelope

function strictBase64(text, isStandardOnly = false) {
  if (typeof text !== "string") throw new Error("no base64 text");
  const standard = Buffer.from(text, "base64");
  if (standard.toString("base64") === text) return standard;
  if (!isStandardOnly) {
    const plain = text.replace(/-/g, "+").replace(/_/g, "/");
    const other = Buffer.from(plain, "base64");
    if (!/[+/]/.test(text) && other.toString("base64") === plain) return other;
  }
  throw new Error("base64 that does not encode to itself again");
}

function envelopeOf(value) {
  if (!isObject(value)) throw new Error("the envelope is no object");
  if (typeof value.payloadType !== "string" || value.payloadType === "") throw new Error("no payload type");
  const payload = strictBase64(value.payload);
  if (payload.length > 16 * MIB) throw new Error("payload too large");
  const signatures = value.signatures ?? [];
  if (!Array.isArray(signatures) || signatures.length > 16) throw new Error("signatures");
  return {
    payloadType: value.payloadType,
    payload,
    signatures: signatures.map((item) => {
      if (!isObject(item)) throw new Error("a signature is no object");
      if (has(item, "keyid") && item.keyid !== null && typeof item.keyid !== "string") throw new Error("keyid");
      const signature = strictBase64(item.sig);
      if (signature.length > 4096) throw new Error("signature over 4 KiB");
      return signature;
    }),
  };
}

const envelopeJson = (bytes) => strictJson(bytes, { limit: 32 * MIB, depth: 8, longest: Infinity, isSafe: true });
const readEnvelope = (bytes) => envelopeOf(envelopeJson(bytes));

function preAuthentication({ payloadType, payload }) {
  const type = Buffer.from(payloadType, "utf-8");
  return Buffer.concat([Buffer.from(`DSSEv1 ${type.length} `), type, Buffer.from(` ${payload.length} `), payload]);
}

// Certificate, page or Sigstore bundle; `page` is the page with its slot emptied.
function readCertificate(bytes) {
  const first = bytes.toString("latin1").trimStart()[0];
  if (first === "<") {
    const open = '<script type="application/vnd.prodml.dsse+base64" id="prodml-envelope">';
    const text = bytes.toString("latin1");
    const begin = text.indexOf(open) + open.length;
    if (begin < open.length || text.split("prodml-envelope").length !== 2) throw new Error("not exactly one element");
    const end = text.indexOf("</script>", begin);
    if (end < 0) throw new Error("the element has no end");
    const page = Buffer.from(text.slice(0, begin) + text.slice(end), "latin1");
    return { envelope: readEnvelope(strictBase64(text.slice(begin, end), true)), page };
  }
  const value = envelopeJson(bytes);
  if (!isObject(value)) throw new Error("no object");
  if (!has(value, "dsseEnvelope")) return { envelope: envelopeOf(value) };
  if (value.mediaType !== "application/vnd.dev.sigstore.bundle.v0.3+json") throw new Error("media type of the bundle");
  if (has(value, "messageSignature")) throw new Error("a bundle with two contents");
  const envelope = envelopeOf(value.dsseEnvelope);
  if (envelope.signatures.length !== 1) throw new Error("a bundle holds one signature");
  return { envelope };
}

// ---------------------------------------------------------------------------------------------- keys

function publicKey(pem) {
  const match = /^\s*-----BEGIN PUBLIC KEY-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END PUBLIC KEY-----\s*$/.exec(pem);
  if (!match) throw new Refusal("usage", "not one public key in PEM");
  let key;
  try {
    key = createPublicKey({ key: pem, format: "pem" });
  } catch {
    throw new Refusal("usage", "not a public key");
  }
  const isP256 = key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails.namedCurve === "prime256v1";
  if (!isP256 && key.asymmetricKeyType !== "ed25519") throw new Refusal("usage", "neither Ed25519 nor P-256");
  const der = key.export({ type: "spki", format: "der" });
  return { key, isP256, id: sha256(der) };
}

function readKey(path) {
  let text;
  try {
    text = readFileSync(path, "latin1");
  } catch {
    throw new Refusal("usage", `no key ${path}`);
  }
  return publicKey(text);
}

function signersOf(envelope, keys) {
  const message = preAuthentication(envelope);
  const found = new Set();
  for (const { key, isP256, id } of keys)
    for (const signature of envelope.signatures) {
      try {
        if (isP256 ? verifySignature("sha256", message, { key, dsaEncoding: "der" }, signature) : verifySignature(null, message, key, signature))
          found.add(id);
      } catch {
        // a signature of another form does not count
      }
    }
  return found;
}

// ---------------------------------------------------------------------------------------------- TOML

function toml(text) {
  const root = {};
  let table = root;
  let at = 0;
  const closed = new Set();
  const fail = (what) => {
    throw new Error(`TOML: ${what} at ${at}`);
  };
  const blank = (withLines) => {
    for (;;) {
      while (at < text.length && (" \t".includes(text[at]) || (withLines && "\r\n".includes(text[at])))) at++;
      if (text[at] !== "#") return;
      while (at < text.length && text[at] !== "\n") at++;
      if (!withLines) return;
    }
  };
  const take = (pattern) => {
    const sticky = new RegExp(pattern, "y");
    sticky.lastIndex = at;
    const match = sticky.exec(text);
    if (match) at = sticky.lastIndex;
    return match;
  };
  const basic = () => {
    const match = take(/"((?:[^"\\\u0000-\u0008\n\r\u000b-\u001f]|\\["\\bfnrt]|\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8})*)"/);
    if (!match) fail("text");
    return match[1].replace(/\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)/g, (_, e) =>
      e.length > 1 ? String.fromCodePoint(parseInt(e.slice(1), 16)) : { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" }[e] ?? e);
  };
  const string = () => {
    const long = take(/"""\r?\n?((?:[^\\]|\\[\s\S])*?)"""(?!")|'''\r?\n?([\s\S]*?)'''(?!')/);
    if (long) {
      if (long[1]?.includes("\\")) fail("escapes in long texts are not read here");
      return long[1] ?? long[2];
    }
    const literal = take(/'([^'\n\r]*)'/);
    return literal ? literal[1] : basic();
  };
  const keyPath = () => {
    const path = [];
    for (;;) {
      blank(false);
      const bare = take(/[A-Za-z0-9_-]+/);
      path.push(bare ? bare[0] : string());
      blank(false);
      if (text[at] !== ".") return path;
      at++;
    }
  };
  const descend = (from, path) => {
    let here = from;
    for (const key of path) {
      if (!has(here, key)) here[key] = {};
      here = here[key];
      if (Array.isArray(here)) here = here.at(-1);
      if (!isObject(here) || here instanceof Date || closed.has(here)) fail("no table");
    }
    return here;
  };
  const assign = (into, path, item) => {
    const here = descend(into, path.slice(0, -1));
    if (has(here, path.at(-1))) fail("a key stands twice");
    here[path.at(-1)] = item;
  };
  const value = () => {
    if (text[at] === '"' || text[at] === "'") return string();
    if (text[at] === "[") {
      at++;
      const items = [];
      for (;;) {
        blank(true);
        if (text[at] === "]") break;
        items.push(value());
        blank(true);
        if (text[at] === ",") at++;
        else if (text[at] !== "]") fail("array");
      }
      at++;
      return items;
    }
    if (text[at] === "{") {
      at++;
      const items = {};
      blank(false);
      if (text[at] !== "}")
        for (;;) {
          const path = keyPath();
          if (text[at++] !== "=") fail("no =");
          blank(false);
          assign(items, path, value());
          blank(false);
          const next = text[at++];
          if (next === "}") break;
          if (next !== ",") fail("inline table");
        }
      else at++;
      closed.add(items);
      return items;
    }
    const stamp = take(/\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?([Zz]|[+-]\d\d:\d\d)?)?/);
    if (stamp) {
      const date = new Date(stamp[0].replace(" ", "T").toUpperCase());
      if (Number.isNaN(date.getTime())) fail("date");
      date.isLocal = !stamp[1];
      return date;
    }
    const word = take(/[^\s,\]}#]+/)?.[0];
    if (word === "true" || word === "false") return word === "true";
    if (/^[+-]?(?:0|[1-9](?:_?\d)*)$/.test(word ?? "")) return BigInt(word.replace(/[_+]/g, ""));
    if (/^[+-]?(?:0|[1-9](?:_?\d)*)(?:\.\d(?:_?\d)*)?(?:[eE][+-]?\d(?:_?\d)*)?$/.test(word ?? "")) return Number(word.replace(/_/g, ""));
    return fail("value");
  };
  const headers = new Set();
  for (;;) {
    blank(true);
    if (at >= text.length) return root;
    if (text[at] === "[") {
      const isList = text[at + 1] === "[";
      at += isList ? 2 : 1;
      const path = keyPath();
      if (!take(isList ? /\]\]/ : /\]/)) fail("header");
      if (isList) {
        const parent = descend(root, path.slice(0, -1));
        parent[path.at(-1)] ??= [];
        if (!Array.isArray(parent[path.at(-1)])) fail("no list of tables");
        table = {};
        parent[path.at(-1)].push(table);
      } else {
        const name = JSON.stringify(path);
        table = descend(root, path);
        if (headers.has(name)) fail("a table stands twice");
        headers.add(name);
      }
    } else {
      const path = keyPath();
      if (text[at++] !== "=") fail("no =");
      blank(false);
      assign(table, path, value());
    }
    blank(false);
    if (at < text.length && !take(/\r?\n/)) fail("more on the line");
  }
}

// Takes the fields of a TOML table one by one; what is left over is unknown.
function fields(table, what) {
  if (!isObject(table) || table instanceof Date) throw new Refusal("usage", `${what} is no table`);
  const left = { ...table };
  const take = (name, isGood, fallback) => {
    if (!has(left, name)) {
      if (fallback === undefined) throw new Refusal("usage", `${what}: ${name} is missing`);
      return fallback;
    }
    const value = left[name];
    delete left[name];
    if (!isGood(value)) throw new Refusal("usage", `${what}: ${name}`);
    return typeof value === "bigint" ? Number(value) : value;
  };
  take.end = () => {
    if (Object.keys(left).length) throw new Refusal("usage", `${what}: unknown ${Object.keys(left)}`);
  };
  return take;
}
const isText = (value) => typeof value === "string" && value !== "";
const isTexts = (value) => Array.isArray(value) && value.every(isText);
const isCount = (least) => (value) => typeof value === "bigint" && value >= BigInt(least) && value <= 10n ** 9n;
const isNumber = (value) => (typeof value === "number" || typeof value === "bigint") && Number.isFinite(Number(value));
const isBoolean = (value) => typeof value === "boolean";
const isTable = (value) => isObject(value) && !(value instanceof Date);

function readToml(path) {
  try {
    return toml(strictText(readFileSync(path)));
  } catch (problem) {
    throw new Refusal("usage", `${path}: ${problem.message}`);
  }
}

// ---------------------------------------------------------------------------------------------- policy

const GATE_PATTERN = /^(?:data|performance|fairness|behavior|latency|pipeline)\../u;
function readPolicy(path) {
  const table = readToml(path);
  const take = fields(table, "policy");
  const policy = {
    name: take("name", isText),
    version: take("version", isText),
    confidenceLevel: take("confidence_level", (v) => isNumber(v) && v > 0.5 && v < 1, 0.95),
    validityDays: Number(/\d+/.exec(take("validity", (v) => /^[1-9]\d{0,4}d$/.test(v), "90d"))[0]),
    minSignatures: take("min_signatures", isCount(1), 1),
    ordinaryTests: take("ordinary_tests", (v) => v === "must_pass" || v === "ignored", "must_pass"),
    allowUnboundModels: take("allow_unbound_models", isBoolean, false),
  };
  const burden = take("burden", (v) => v === "compliance" || v === "violation", "compliance");
  // What these say by default is left out of the policy and of its digest, unless the file spells it out.
  if (has(table, "burden")) policy.burden = burden;
  const alarms = take("alarm_gates", isTexts, null);
  if (alarms) policy.alarmGates = alarms;
  const least = take("min_group", isCount(1), null);
  if (least !== null) policy.minGroup = least;
  const require = fields(take("require", isTable, {}), "require");
  policy.requiredDimensions = require("dimensions", (v) => isTexts(v) && v.every((d) => DIMENSIONS.includes(d)), []);
  policy.requiredGates = require("gates", (v) => isTexts(v) && v.every((g) => GATE_PATTERN.test(g)), []);
  policy.requiredTargets = require("targets", isTexts, []);
  const matrix = require("matrix", isTable, null);
  if (matrix) {
    const isCell = ([gate, names]) => GATE_PATTERN.test(gate) && isTexts(names) && names.length && new Set(names).size === names.length;
    if (!Object.entries(matrix).every(isCell)) throw new Refusal("usage", "require.matrix");
    policy.matrix = matrix;
  }
  const signedFragments = require("signed_fragments", isBoolean, null);
  if (signedFragments !== null) policy.signedFragments = signedFragments;
  require.end();
  const targets = take("targets", isTable, null);
  if (targets) policy.targets = Object.fromEntries(Object.entries(targets).map(([name, table]) => [name, readTarget(name, table)]));
  const provenance = fields(take("provenance", isTable, {}), "provenance");
  const allowDirty = provenance("allow_dirty", isBoolean, true);
  if (has(table.provenance ?? {}, "allow_dirty")) policy.allowDirty = allowDirty;
  const automation = provenance("automation", (v) => isTexts(v) && v.length > 0, null);
  if (automation) policy.requiredAutomation = automation;
  provenance.end();
  policy.limits = take("limit", (v) => Array.isArray(v), []).map((table) => {
    const limit = fields(table, "limit");
    const result = { gate: limit("gate", (v) => isText(v) && GATE_PATTERN.test(v)), metric: limit("metric", isText) };
    const least = limit("at_least", isNumber, null);
    const most = limit("at_most", isNumber, null);
    if ((least === null) === (most === null)) throw new Refusal("usage", "a limit is at_least or at_most");
    result.comparison = least === null ? "at_most" : "at_least";
    result.limit = least ?? most;
    const group = limit("group", isText, null);
    if (group !== null) result.group = group;
    limit.end();
    return result;
  });
  const hasWaivers = take("waivers", isTable, null);
  const waivers = fields(hasWaivers ?? {}, "waivers");
  policy.waivableGates = waivers("gates", isTexts, []);
  policy.maxWaivers = waivers("max", isCount(0), 0);
  policy.maxWaiverDays = waivers("max_days", isCount(1), 90);
  const byName = waivers("by_name", isTable, null);
  if (byName) {
    const limits = fields(byName, "waivers.by_name");
    const isWithin = (most) => (v) => isCount(1)(v) && v <= most;
    policy.nameWaivers = { max: limits("max", isWithin(policy.maxWaivers), 1), maxDays: limits("max_days", isWithin(policy.maxWaiverDays), 14) };
    limits.end();
  }
  waivers.end();
  take.end();
  if (requiresNothing(policy)) throw new Refusal("usage", "the policy requires nothing");
  return policy;
}

// What a name of a hardware target means; a definition that fits every machine is none.
const CLASS = ["machine", "processor", "minProcessors", "maxProcessors", "minMemoryBytes", "accelerator", "minComputeCapability"];
const saysClass = (one) => CLASS.some((name) => one[name]) || (one.flags ?? []).length > 0 || Object.keys(one.reference ?? {}).length > 0;
const saysSomething = (one) => (one.fingerprint ?? null) !== null || saysClass(one);
function readTarget(name, table) {
  const take = fields(table, `targets.${name}`);
  const one = {};
  const keep = (key, value) => value !== null && (one[key] = value);
  keep("fingerprint", take("fingerprint", (v) => /^sha256:[0-9a-f]{64}$/.test(v), null));
  for (const key of ["machine", "processor", "accelerator", "provider", "currency"]) keep(key, take(key, isText, null));
  keep("minProcessors", take("min_processors", isCount(1), null));
  keep("maxProcessors", take("max_processors", isCount(1), null));
  keep("minMemoryBytes", take("min_memory_bytes", (v) => typeof v === "bigint" && v >= 1n, null));
  keep("minComputeCapability", take("min_compute_capability", (v) => /^\d{1,3}(\.\d{1,3})?$/.test(v), null));
  keep("pricePerHour", take("price_per_hour", (v) => isNumber(v) && v > 0, null));
  one.flags = take("flags", isTexts, []);
  const reference = take("reference", isTable, {});
  if (!Object.values(reference).every((v) => isNumber(v) && v > 0)) throw new Refusal("usage", `targets.${name}.reference`);
  one.reference = Object.fromEntries(Object.entries(reference).map(([key, value]) => [key, Number(value)]));
  take.end();
  if (!saysSomething(one) || one.minProcessors > one.maxProcessors) throw new Refusal("usage", `targets.${name}`);
  return one;
}

const requiresNothing = (policy) =>
  !Object.keys(policy.matrix ?? {}).length && !(policy.requiredDimensions ?? []).length && !(policy.requiredGates ?? []).length && !(policy.limits ?? []).length;
const withoutNull = (value) => Array.isArray(value) ? value.map(withoutNull) : !isObject(value) ? value
  : Object.fromEntries(Object.entries(value).filter(([, item]) => item !== null).map(([key, item]) => [key, withoutNull(item)]));
const DEFAULTS = { requiredDimensions: [], requiredGates: [], limits: [], confidenceLevel: 0.95, validityDays: 90, minSignatures: 1, waivableGates: [],
  maxWaivers: 0, maxWaiverDays: 90, ordinaryTests: "must_pass", allowUnboundModels: false, requiredTargets: [] };
const policyDigest = (policy) => sha256(Buffer.from(canonical({ ...DEFAULTS, ...withoutNull(policy) }), "utf-8"));

// ---------------------------------------------------------------------------------------------- trust root

const TIME = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)Z$/;
function seconds(text) {
  const match = typeof text === "string" && TIME.exec(text);
  if (!match) throw new Error("no time");
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number);
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  if (year < 1 || date.toISOString() !== text.replace("Z", ".000Z")) throw new Error("no such time");
  return date.getTime() / 1000;
}
const isStamp = (value) => {
  try {
    seconds(value);
    return true;
  } catch {
    return false;
  }
};
const isMoment = (value) => (value instanceof Date ? !value.isLocal && value.getTime() % 1000 === 0 : isStamp(value));
const moment = (value) => (value === null ? null : value instanceof Date ? value.getTime() / 1000 : seconds(value));
const isDigests = (value) => Array.isArray(value) && value.every((item) => /^[0-9a-f]{64}$/.test(item));

// One reader for both spellings: trust.toml in snake_case, the signed form in camelCase.
function trustFrom(table, folder) {
  const isSigned = folder === null;
  const name = (snake) => (isSigned ? snake.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase()) : snake);
  const take = fields(table, "trust root");
  const count = (least) => (value) =>
    isSigned ? Number.isSafeInteger(value) && value >= least : isCount(least)(value);
  const trust = { version: take("version", count(1)), expires: moment(take("expires", isMoment, isSigned ? undefined : null)) };
  const roles = take("roles", (v) => isTable(v) && Object.keys(v).length > 0);
  trust.roles = Object.entries(roles).map(([role, least]) => {
    if (!isText(role) || !count(1)(least)) throw new Refusal("usage", `role ${role}`);
    return [role, Number(least)];
  });
  const group = (key, read) => {
    const inner = fields(take(key, isTable, {}), key);
    const result = read(inner);
    inner.end();
    return result;
  };
  trust.approves = group("waivers", (inner) => inner("role", isText, null));
  const hasRevocation = has(table, "revocation");
  [trust.revokes, trust.isListRequired, trust.maxAge] = group("revocation", (inner) => [
    inner("role", isText, null),
    inner("required", isBoolean, hasRevocation),
    inner(name("max_age_hours"), (v) => (isSigned ? typeof v === "number" : isNumber(v)) && v > 0, 24) * 3600,
  ]);
  if (hasRevocation && trust.revokes === null) throw new Refusal("usage", "revocation without a role");
  const one = (value) => {
    try {
      return isSigned || value.startsWith("-----BEGIN") ? publicKey(value) : readKey(resolve(folder, value));
    } catch (problem) {
      throw new Refusal("usage", problem.message);
    }
  };
  trust.root = group("root", (inner) => {
    const keys = inner("keys", isTexts, []).map(one);
    const threshold = inner("threshold", count(1), Math.max(keys.length, 1));
    return { keys, threshold };
  });
  trust.isStateRequired = take(name("require_state"), isBoolean, false);
  trust.notIssuedBefore = moment(take(name("not_issued_before"), isMoment, null));
  trust.gatePolicies = take(name("gate_policies"), isDigests, null);
  trust.certificatePolicies = take(name("certificate_policies"), isDigests, null);
  trust.predicateTypes = take(name("predicate_types"), isTexts, null);
  const known = new Set([...trust.roles.map(([role]) => role), trust.approves, trust.revokes]);
  trust.keys = Object.entries(take("keys", isTable)).map(([label, entry]) => {
    const inner = fields(entry, `keys.${label}`);
    const role = inner("role", isText);
    const file = isSigned ? null : inner("file", isText, null);
    const pem = inner(name("public_key"), isText, null);
    if ((file === null) === (pem === null)) throw new Refusal("usage", `keys.${label} needs one public key`);
    const from = moment(inner(name("valid_from"), isMoment, null));
    const until = moment(inner(name("valid_until"), isMoment, null));
    inner.end();
    if (!known.has(role)) throw new Refusal("usage", `keys.${label}: no such role`);
    if (from !== null && until !== null && from >= until) throw new Refusal("usage", `keys.${label}: window`);
    return { ...(pem === null ? readKey(resolve(folder, file)) : publicKey(pem)), label, role, from, until };
  });
  take.end();
  const stamp = (time) => `${new Date(time * 1000).toISOString().slice(0, 19)}Z`;
  const keys = {};
  for (const { label, role, key, from, until } of trust.keys) {
    keys[label] = { role, publicKey: key.export({ type: "spki", format: "pem" }) };
    if (from !== null) keys[label].validFrom = stamp(from);
    if (until !== null) keys[label].validUntil = stamp(until);
  }
  const document = { version: trust.version, roles: Object.fromEntries(trust.roles), keys, requireState: trust.isStateRequired,
    gatePolicies: trust.gatePolicies ?? [], certificatePolicies: trust.certificatePolicies ?? [], predicateTypes: trust.predicateTypes ?? [] };
  if (trust.approves !== null) document.waivers = { role: trust.approves };
  if (trust.revokes !== null) document.revocation = { role: trust.revokes, required: trust.isListRequired, maxAgeHours: trust.maxAge / 3600 };
  if (trust.expires !== null) document.expires = stamp(trust.expires);
  if (trust.notIssuedBefore !== null) document.notIssuedBefore = stamp(trust.notIssuedBefore);
  if (trust.root.keys.length) document.root = { keys: trust.root.keys.map(({ key }) => key.export({ type: "spki", format: "pem" })), threshold: trust.root.threshold };
  trust.digest = sha256(Buffer.from(canonical(document), "utf-8"));
  for (const list of ["gatePolicies", "certificatePolicies", "predicateTypes"]) if (!trust[list]?.length) trust[list] = null;
  if (new Set(trust.keys.map((key) => key.id)).size !== trust.keys.length) throw new Refusal("usage", "a key stands twice");
  for (const role of [trust.approves, trust.revokes])
    if (role !== null && !trust.keys.some((key) => key.role === role)) throw new Refusal("usage", `${role} has no key`);
  if (trust.predicateTypes && !trust.predicateTypes.every((one) => one === PREDICATE)) throw new Refusal("usage", "a predicate type that nobody reads");
  const rootIds = new Set(trust.root.keys.map((key) => key.id));
  if (rootIds.size !== trust.root.keys.length || trust.root.threshold > Math.max(rootIds.size, 1)) throw new Refusal("usage", "root threshold");
  if (trust.keys.some((key) => rootIds.has(key.id))) throw new Refusal("usage", "a root key signs something else");
  for (const [role, least] of trust.roles) {
    if (role === trust.approves || role === trust.revokes) throw new Refusal("usage", `${role} signs certificates too`);
    if (trust.keys.filter((key) => key.role === role).length < least) throw new Refusal("usage", `${role} has too few keys`);
  }
  return trust;
}

function readTrust(path, roots, rootThreshold, state) {
  let bytes;
  try {
    bytes = readFileSync(path);
  } catch {
    throw new Refusal("usage", "no trust root");
  }
  const remembered = state?.trust;
  if (bytes.toString("latin1").trimStart()[0] === "{") {
    let envelope, trust;
    try {
      envelope = readEnvelope(bytes);
      if (envelope.payloadType !== TRUST_ROOT) throw new Error("payload type");
    } catch (problem) {
      throw new Refusal("trust-root", problem.message);
    }
    const most = new Set(roots.map((key) => key.id)).size;
    if (rootThreshold !== null && !(Number.isInteger(rootThreshold) && rootThreshold >= 1 && rootThreshold <= most)) throw new Refusal("usage", "root threshold");
    const believed = remembered?.rootKeys.length ? { keys: remembered.rootKeys, threshold: remembered.rootThreshold } : { keys: roots, threshold: rootThreshold ?? most };
    if (!believed.keys.length) throw new Refusal("usage", "a signed trust root needs root keys");
    if (signersOf(envelope, believed.keys).size < believed.threshold) throw new Refusal("trust-root", "root keys");
    try {
      trust = trustFrom(canonicalJson(envelope.payload), null);
    } catch (problem) {
      throw new Refusal("trust-root", problem.message);
    }
    if (!trust.root.keys.length || signersOf(envelope, trust.root.keys).size < trust.root.threshold) throw new Refusal("trust-root", "own root keys");
    return trust;
  }
  if (roots.length || remembered?.rootKeys.length) throw new Refusal("usage", "the trust root is not signed");
  return trustFrom(readToml(path), dirname(path));
}

// ---------------------------------------------------------------------------------------------- revocation list

function readRevocations(path, trust, now, state) {
  let bytes;
  try {
    bytes = readFileSync(path);
  } catch {
    throw new Refusal("revocation-missing", "the list is not there");
  }
  let envelope, list;
  try {
    envelope = readEnvelope(bytes);
    if (envelope.payloadType !== REVOCATIONS) throw new Error("payload type");
    list = canonicalJson(envelope.payload);
    const isExactly = (object, ...keys) => isObject(object) && canonical(Object.keys(object).sort()) === canonical(keys.sort());
    if (!isExactly(list, "version", "issuedAt", "nextUpdate", "entries")) throw new Error("fields");
    if (!Number.isSafeInteger(list.version) || list.version < 1 || !Array.isArray(list.entries)) throw new Error("version");
    if (seconds(list.nextUpdate) < seconds(list.issuedAt)) throw new Error("nextUpdate");
    for (const entry of list.entries) {
      const form = { certificate: /^[^]+$/, serial: /^(0|[1-9]\d*)$/, subject: /^[0-9a-f]{64}$/, key: /^[0-9a-f]{64}$/, waiver: /^[^]+$/ }[entry?.kind];
      const names = ["kind", "value", "reason", "revokedAt", ...(entry?.kind === "serial" ? ["modelName"] : [])];
      if (!form || !isExactly(entry, ...names) || typeof entry.value !== "string" || !form.test(entry.value)) throw new Error("entry");
      if (!isText(entry.reason) || !isStamp(entry.revokedAt)) throw new Error("entry");
    }
  } catch (problem) {
    throw new Refusal("revocation-untrusted", problem.message);
  }
  const revoked = new Set(list.entries.filter((entry) => entry.kind === "key").map((entry) => entry.value));
  const keys = trust.keys.filter((key) => key.role === trust.revokes && isInWindow(key, now) && !revoked.has(key.id));
  if (!signersOf(envelope, keys).size) throw new Refusal("revocation-untrusted", "not signed by its role");
  const issued = seconds(list.issuedAt);
  if (issued > now + SKEW || now - issued > trust.maxAge || seconds(list.nextUpdate) <= now) throw new Refusal("revocation-stale", "not fresh");
  const last = state?.revocations;
  if (last && (list.version < last.version || (list.version === last.version && sha256(envelope.payload) !== last.digest)))
    throw new Refusal("revocation-rollback", "a newer list was accepted");
  return { revoked, entries: list.entries };
}
const isInWindow = (key, now) => (key.from === null || key.from <= now) && (key.until === null || now < key.until);

// ---------------------------------------------------------------------------------------------- statement

const here = dirname(fileURLToPath(import.meta.url));
const schemaPath = process.env.PRODML_SCHEMA ?? join(here, "../../schema/production-readiness-v1.schema.json");
const schema = JSON.parse(readFileSync(schemaPath, "utf-8"));

function conforms(value, form, path) {
  const fail = (what) => {
    throw new Error(`${path.join(".")}: ${what}`);
  };
  if (form.$ref) return conforms(value, schema.$defs[form.$ref.split("/").at(-1)], path);
  if (form.anyOf) {
    const isOne = form.anyOf.some((one) => {
      try {
        conforms(value, one, path);
        return true;
      } catch {
        return false;
      }
    });
    return isOne || fail("fits nothing");
  }
  if (form.enum && !form.enum.includes(value)) fail("not one of the values");
  const is = { object: isObject(value), array: Array.isArray(value), string: typeof value === "string", number: typeof value === "number",
    integer: Number.isSafeInteger(value), boolean: typeof value === "boolean", null: value === null };
  if (form.type && !is[form.type]) fail(`no ${form.type}`);
  if (form.pattern && !new RegExp(form.pattern, "u").test(value)) fail("another form");
  if (form.format === "date-time") seconds(value);
  if (form.minimum !== undefined && value < form.minimum) fail("too small");
  if (is.array && form.items) value.forEach((item, index) => conforms(item, form.items, [...path, index]));
  if (is.object) {
    for (const name of form.required ?? []) if (!has(value, name)) fail(`${name} is missing`);
    for (const [name, item] of Object.entries(value)) {
      const one = form.properties && has(form.properties, name) ? form.properties[name] : form.additionalProperties;
      if (one === false) fail(`unknown ${name}`);
      if (isObject(one)) conforms(item, one, [...path, name]);
    }
  }
  return true;
}

const FORBIDDEN = /[\p{Cc}\p{Cf}\p{Co}\p{Zl}\p{Zp}]/u;
function goodName(text, what) {
  if (typeof text !== "string" || text === "" || text.normalize("NFC") !== text || FORBIDDEN.test(text)) throw new Error(`name: ${what}`);
}

function subjectsOf(list, isUnique) {
  if (!Array.isArray(list) || (isUnique && !list.length)) throw new Error("no subjects");
  for (const item of list) {
    conforms(item, { $ref: "#/$defs/Subject" }, ["subject"]);
    goodName(item.name, "subject");
  }
  if (isUnique)
    for (const values of [list.map((item) => item.name), list.map((item) => item.digest.sha256)])
      if (new Set(values).size !== values.length) throw new Error("a subject stands twice");
  return list;
}

function readStatement(payload) {
  const statement = canonicalJson(payload);
  if (!isObject(statement) || statement._type !== STATEMENT_TYPE) throw new Refusal("statement", "no in-toto statement v1");
  return statement;
}
const onlyHas = (object, ...names) => {
  for (const name of Object.keys(object)) if (!names.includes(name)) throw new Error(`unknown ${name}`);
  for (const name of names) if (!has(object, name)) throw new Error(`${name} is missing`);
};

function readProduction(statement) {
  onlyHas(statement, "_type", "subject", "predicateType", "predicate");
  subjectsOf(statement.subject, true);
  const predicate = statement.predicate;
  conforms(predicate, schema, ["predicate"]);
  names(predicate);
  predicate.waiverRecords = (predicate.waivers ?? []).map(readWaiver);
  return { statement, predicate };
}

// Which texts are names: everything that is compared, and the keys of the maps. What only a person reads is free.
function names(predicate) {
  const { policy, decision, gates, runs, run, producer, materials, environments } = predicate;
  const name = (what, ...texts) => texts.forEach((text) => text === undefined || text === null || goodName(text, what));
  name("id", predicate.id, predicate.modelName, predicate.modelVersion, producer.name, producer.version);
  name("run", run.id, run.target, ...Object.keys(run.plugins ?? {}), ...Object.keys(run.ordinaryTests ?? {}));
  name("decision", decision.runId, decision.policyDigest, ...decision.verdicts.flatMap((one) => [one.gateId, one.waiverId]));
  name("policy", policy.name, policy.version, ...(policy.requiredTargets ?? []), ...(policy.limits ?? []).flatMap((one) => [one.gate, one.metric, one.group]));
  name("gate", ...gates.flatMap((one) => [one.id, one.rubric, one.location || null]), ...runs.flatMap((one) => [one.gateId, one.location || null]));
  for (const [digest, one] of Object.entries(environments)) name("environment", digest, ...Object.keys(one.threads ?? {}), ...Object.keys(one.packages ?? {}));
  const lists = [materials, run.provenance?.files ?? []];
  for (const { evidence } of runs) {
    if (!evidence) continue;
    name("evidence", evidence.gateId, ...[...evidence.criteria, ...evidence.measurements].flatMap((one) => [one.metric, one.group]));
    lists.push(evidence.subjects ?? [], evidence.materials ?? []);
  }
  for (const list of lists) subjectsOf(list, false);
}

function readWaiver(text) {
  const envelope = readEnvelope(Buffer.from(text, "utf-8"));
  if (envelope.payloadType !== IN_TOTO) throw new Error("waiver: payload type");
  const statement = readStatement(envelope.payload);
  onlyHas(statement, "_type", "subject", "predicateType", "predicate");
  if (statement.predicateType !== WAIVER) throw new Error("waiver: predicate type");
  subjectsOf(statement.subject, true);
  if (statement.subject.length !== 1) throw new Error("waiver: one subject");
  const { subjectName, ...rest } = statement.predicate;
  onlyHas(rest, "id", "gateId", "reason", "approver", "reference", "issuedAt", "expiresAt");
  for (const name of ["id", "gateId", "approver", "reason"]) goodName(rest[name], name);
  if (rest.gateId.includes("*")) throw new Error("waiver: a pattern");
  if (typeof rest.reference !== "string") throw new Error("waiver: reference");
  const [subject] = statement.subject;
  if (subjectName !== undefined && (subject.name !== subjectName || subject.digest.sha256 !== sha256(Buffer.from(subjectName, "utf-8"))))
    throw new Error("waiver: the pattern is not its subject");
  if (subjectName !== undefined && !/[^*]/.test(subjectName)) throw new Error("waiver: covers every model");
  const [issued, expires] = [seconds(rest.issuedAt), seconds(rest.expiresAt)];
  if (expires <= issued) throw new Error("waiver: ends before it begins");
  return { ...rest, subjectName, digest: subject.digest.sha256, issued, expires, envelope };
}

// ---------------------------------------------------------------------------------------------- subjects

const DEVICES = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:\..*)?$/i;
function manifest(folder) {
  const paths = [];
  const walk = (relative) => {
    for (const raw of readdirSync(join(folder, relative), { encoding: "buffer" })) {
      const name = strictText(raw);
      const path = relative ? `${relative}/${name}` : name;
      if (name.normalize("NFC") !== name || FORBIDDEN.test(name) || /[\\]|[. ]$|^[A-Za-z]:/.test(name) || DEVICES.test(name)) throw new Error(`name ${path}`);
      if (Buffer.byteLength(path) > 255) throw new Error("path too long");
      const kind = lstatSync(join(folder, path));
      if (kind.isDirectory()) walk(path);
      else if (kind.isFile()) paths.push(path);
      else throw new Error(`neither a file nor a directory: ${path}`);
    }
  };
  walk("");
  const folded = paths.map((path) => path.toUpperCase().toLowerCase().normalize("NFC"));
  if (new Set(folded).size !== folded.length) throw new Error("paths differ only in case");
  paths.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return sha256(Buffer.from(paths.map((path) => `${sha256(readFileSync(join(folder, path)))}  ${path}\n`).join(""), "utf-8"));
}

function hashModel(path) {
  const kind = statSync(path);
  if (kind.isDirectory()) return { digest: manifest(path), isDirectory: true };
  if (!kind.isFile()) throw new Error("no file");
  return { digest: sha256(readFileSync(path)), isDirectory: false };
}

function checkSubjects(models, subjects, refuse) {
  const given = new Set();
  let isWrong = false;
  const wrong = (code, message) => {
    isWrong = true;
    refuse(code, message);
  };
  for (const argument of models) {
    const match = /^([^=/]+)=(.*)$/s.exec(argument.text);
    const path = match ? resolve(argument.folder, match[2]) : resolve(argument.folder, argument.text);
    let model;
    try {
      model = hashModel(path);
    } catch (problem) {
      wrong("subject-unreadable", problem.message);
      continue;
    }
    const named = match && subjects.find((subject) => subject.name === match[1]);
    if (match && !named) {
      wrong("subject-name", match[1]);
      continue;
    }
    const subject = named ?? subjects.find((one) => one.digest.sha256 === model.digest);
    if (!subject || subject.digest.sha256 !== model.digest) wrong("subject-differs", argument.text);
    else if ((subject.annotations?.method === "sha256sum-manifest/v1") !== model.isDirectory) wrong("subject-kind", argument.text);
    else given.add(subject);
  }
  if (!isWrong && given.size !== subjects.length) refuse("subject-missing", "a certified artefact was not given");
}

// ---------------------------------------------------------------------------------------------- decision

const pattern = (text) => new RegExp(`^${text.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("[^]*")}$`, "u");
const fits = (patterns, name) => patterns.some((one) => pattern(one).test(name));
const STATES = { failed: "fail", xfailed: "fail", skipped: "inconclusive", xpassed: "inconclusive", errored: "inconclusive",
  crashed: "inconclusive", timed_out: "inconclusive", deselected: "inconclusive", not_run: "inconclusive" };
const RANK = { pass: 0, inconclusive: 1, fail: 2 };

// The reasons that no waiver excuses: nothing sound was measured about this model by this gate's own test.
const NO_EXCUSE = new Set(["no-evidence", "unbound-model", "subject-mismatch", "evidence-mix", "not-collected", ...Object.keys(STATES).filter((one) => one !== "failed")]);
const worse = (a, b) => (RANK[b.outcome] > RANK[a.outcome] ? b : a);
const inconclusive = (reason) => ({ outcome: "inconclusive", reason });

// One measurement against one limit; an alarm is settled later, together with the others of its gate.
function judgeLimit(one, criterion, policy) {
  const { value = null, lower = null, upper = null, confidenceLevel: level } = one;
  if (value === null || one.nSamples <= 0) return inconclusive("not-estimable");
  if (level > 1 || level < policy.confidenceLevel) return inconclusive("confidence-level");
  if ((lower !== null && lower > value) || (upper !== null && upper < value)) return inconclusive("invalid-measurement");
  const p = one.pValue ?? null;
  if (p !== null && (p < 0 || p > 1)) return inconclusive("invalid-measurement");
  if (level === 1 && (lower !== value || upper !== value)) return inconclusive("invalid-measurement");
  const isLeast = criterion.comparison === "at_least";
  const limit = isLeast ? criterion.limit - (criterion.margin ?? 0) : criterion.limit + (criterion.margin ?? 0);
  const isBroken = isLeast ? upper !== null && upper < limit : lower !== null && lower > limit;
  if ((criterion.burden ?? "compliance") === "violation" || policy.burden === "violation")
    return isBroken && p !== null && p > 1 - level + 1e-4 ? inconclusive("invalid-measurement") : { isBroken, p };
  if (isBroken) return { outcome: "fail", reason: "refuted" };
  const isProven = isLeast ? lower !== null && lower >= limit : upper !== null && upper <= limit;
  return isProven ? { outcome: "pass", reason: "proven" } : inconclusive("not-proven");
}

// Holm's procedure over the alarms of a gate; one without a p-value is a member of the family and judged by its bound.
function settleAlarms(judged, policy, isSilentEnough) {
  const alarms = judged.filter((one) => !one.outcome);
  const hasP = alarms.some((one) => one.p !== null);
  let least = 0;
  alarms.map((one) => ({ one, p: one.p ?? 1 })).sort((a, b) => a.p - b.p).forEach(({ one, p }, index) => {
    least = Math.max(least, Math.min(1, (alarms.length - index) * p));
    one.adjusted = least;
  });
  for (const one of alarms) {
    const isFired = one.isBroken && (one.p === null || one.adjusted <= 1 - policy.confidenceLevel);
    Object.assign(one, isFired ? { outcome: "fail", reason: "refuted" } : isSilentEnough ? { outcome: "pass", reason: "no-violation-proven" } : inconclusive("alarm-is-no-proof"));
  }
  return hasP ? Math.min(...alarms.map((one) => one.adjusted)) : null;
}

// ---------------------------------------------------------------------------------------------- hardware

const numbersIn = (text) => (text ?? "").match(/\d+/g)?.map(Number) ?? [];
const major = (text) => numbersIn(text)[0] ?? null;
const reaches = (found, least) => {
  const [a, b] = [numbersIn(found), numbersIn(least)];
  for (let i = 0; i < Math.max(a.length, b.length); i++) if ((a[i] ?? -1) !== (b[i] ?? -1)) return (a[i] ?? -1) > (b[i] ?? -1);
  return a.length > 0;
};
function fingerprintOf(machine) {
  const found = machine.hardware;
  if (!found) return null;
  let devices = (found.accelerators ?? []).map((one) => [one.name, major(one.driver), major(one.cuda), one.isPartitioned ?? null]);
  if (!devices.length) devices = [[machine.accelerator ?? null, major(machine.driver)]];
  const identity = { machine: machine.machine, flags: found.flagsDigest ?? null, processors: machine.processorCount, quota: found.quota ?? null,
    processor: [machine.processor, ...["vendor", "family", "model", "stepping"].map((name) => found[name] ?? null)],
    accelerators: devices, runtimes: found.runtimes ?? {} };
  return `sha256:${sha256(Buffer.from(canonical(identity), "utf-8"))}`;
}

// exact, class or foreign; `evidence` null leaves out the reference workloads.
function tierOf(target, machine, evidence) {
  if ((target.fingerprint ?? null) !== null && fingerprintOf(machine) === target.fingerprint) return "exact";
  if (!saysClass(target)) return "foreign";
  const found = machine.hardware ?? {};
  const count = Math.min(found.quota ?? Infinity, machine.processorCount);
  let devices = found.accelerators ?? [];
  if (!devices.length && (machine.accelerator ?? null) !== null) devices = [{ name: machine.accelerator }];
  const fitting = devices.filter((one) => (target.accelerator ?? null) === null || fits([target.accelerator], one.name));
  const least = target.minComputeCapability ?? null;
  const asksDevice = (target.accelerator ?? null) !== null || least !== null;
  const times = new Map((evidence?.measurements ?? []).filter((one) => one.metric === "reference_seconds").map((one) => [one.group ?? null, one.value ?? null]));
  const isNear = ([name, time]) => (times.get(name) ?? null) !== null && Math.abs(times.get(name) - time) <= 0.1 * time;
  const keeps = [
    (target.machine ?? null) === null || machine.machine === target.machine,
    (target.processor ?? null) === null || fits([target.processor], machine.processor),
    (target.flags ?? []).every((name) => (found.flags ?? []).includes(name)),
    (target.minProcessors ?? null) === null || count >= target.minProcessors,
    (target.maxProcessors ?? null) === null || count <= target.maxProcessors,
    (target.minMemoryBytes ?? null) === null || (machine.memoryBytes ?? -1) >= target.minMemoryBytes,
    !asksDevice || fitting.length > 0,
    least === null || fitting.some((one) => reaches(one.computeCapability ?? null, least)),
    evidence === null || Object.entries(target.reference ?? {}).every(isNear),
  ];
  return keeps.every(Boolean) ? "class" : "foreign";
}

const definedTarget = (name, run, policy) => {
  const found = (policy.targets ?? {})[name] ?? (run.targets ?? {})[name];
  return found && saysSomething(found) ? found : null;
};
function targetsOf(gateRun, run) {
  const worker = gateRun.worker ?? "";
  const fitting = run.fragments.filter((one) => worker === one.name || worker.startsWith(`${one.name}:`));
  const longest = Math.max(0, ...fitting.map((one) => [...one.name].length));
  return new Set(fitting.filter((one) => [...one.name].length === longest).map((one) => one.target ?? null));
}
function declaredTarget(gateRun, run) {
  if (!(run.fragments ?? []).length) return run.target ?? null;
  const names = targetsOf(gateRun, run);
  return names.size === 1 ? [...names][0] : null;
}
// For which target evidence counts, and how near its machine is; null where none is claimed or asked for.
function standingOf(gateRun, predicate, policy, withReference = true) {
  const asks = (policy.requiredTargets ?? []).length > 0 || Object.keys(policy.matrix ?? {}).length > 0;
  const name = declaredTarget(gateRun, predicate.run);
  if (name === null) return asks ? { target: null, tier: "foreign" } : null;
  const target = definedTarget(name, predicate.run, policy);
  if (!target) return asks ? { target: name, tier: "foreign" } : null;
  const evidence = gateRun.evidence ?? null;
  const machine = evidence && has(predicate.environments, evidence.environmentDigest ?? "") ? predicate.environments[evidence.environmentDigest] : null;
  return { target: name, tier: machine ? tierOf(target, machine, withReference ? evidence : null) : "foreign" };
}

const cellsOf = (policy, id) => [...new Set(Object.entries(policy.matrix ?? {}).filter(([gate]) => fits([gate], id)).flatMap(([, names]) => names))];
const worstOf = (judged) => {
  const worst = judged.reduce(worse);
  return judged.length > 1 && worst.outcome !== "pass" ? { ...worst, reason: "rerun" } : worst;
};
function worstOfCells(targets, judged) {
  const isIn = ({ standing }) => standing && standing.target !== null && standing.tier !== "foreign";
  const found = targets.map((name) => judged.filter((one) => isIn(one) && one.standing.target === name)).filter((cell) => cell.length).map(worstOf);
  const hasAll = targets.every((name) => judged.some((one) => isIn(one) && one.standing.target === name));
  if (!hasAll) found.push(inconclusive("missing-cell"));
  found.push(...judged.filter((one) => !isIn(one)).map((one) => (one.outcome === "pass" ? inconclusive("foreign-host") : one)));
  return found.reduce(worse);
}

function judgeEvidence(evidence, gate, policy, subjects, standing) {
  const isElsewhere = gate.dimension === "latency" && standing !== null && standing.tier === "foreign";
  const limits = (policy.limits ?? []).filter((limit) => fits([limit.gate], gate.id));
  if (!evidence?.criteria.length) {
    if (gate.basis !== "assertion") return inconclusive("no-evidence");
    if (limits.length) return inconclusive("no-measurement");
    return isElsewhere ? inconclusive("foreign-host") : { outcome: "pass", reason: "assertion" };
  }
  if (evidence.gateId !== gate.id) return { outcome: "fail", reason: "evidence-mix" };
  const known = new Set(subjects.map((subject) => subject.digest.sha256));
  if ((evidence.subjects ?? []).some((subject) => !known.has(subject.digest.sha256))) return { outcome: "fail", reason: "subject-mismatch" };
  if (!(evidence.subjects ?? []).length && !policy.allowUnboundModels) return inconclusive("unbound-model");
  const of = (criterion, isAnyGroup) => {
    const found = evidence.measurements.filter((one) => one.metric === criterion.metric && (isAnyGroup || (one.group ?? null) === (criterion.group ?? null)));
    const isRatio = found.length > 0 && found.every((one) => ["1", ""].includes(one.unit ?? "1"));
    const result = found.length ? found.map((one) => judgeLimit(one, criterion, policy)) : [inconclusive("no-measurement")];
    // A limit with a unit is about one kind of machine.
    return isElsewhere && !isRatio ? result.map((one) => ({ ...one, isElsewhere })) : result;
  };
  const ofLimit = (one) => {
    if ((one.group ?? null) !== null) return of(one, false);
    const groups = evidence.measurements.filter((item) => item.metric === one.metric).map((item) => item.group ?? null);
    const isPart = gate.id.startsWith("performance.") && groups.length && !groups.includes(null) && !groups.includes("candidate");
    return isPart ? [...of(one, true), inconclusive("no-measurement")] : of(one, true);
  };
  const judged = [...evidence.criteria.flatMap((one) => of(one, false)), ...limits.flatMap(ofLimit)];
  const isSilentEnough = policy.burden === "violation" || fits(policy.alarmGates ?? ["data.*"], gate.id);
  const adjustedPValue = settleAlarms(judged, policy, isSilentEnough);
  for (const one of judged) if (one.isElsewhere) Object.assign(one, inconclusive("foreign-host"));
  const worst = judged.reduce(worse);
  // A measurement of this name says which group was left out, and how many rows it has.
  const isAllowed = (one) => (policy.minGroup ?? null) !== null && Math.max(one.nSamples, one.value ?? 0) < policy.minGroup;
  const leftOut = evidence.measurements.filter((one) => one.metric === "left_out_group_rows");
  if (worst.outcome !== "fail" && !leftOut.every(isAllowed)) return inconclusive("group-left-out");
  const isProven = worst.outcome === "pass" && judged.some((one) => one.reason === "proven");
  const reason = isProven ? "proven" : worst.reason;
  const isByAlarm = reason === "refuted" || reason === "no-violation-proven";
  return { outcome: worst.outcome, reason, adjustedPValue: isByAlarm ? adjustedPValue : null };
}

function judgeRun(run, gate, policy, subjects, standing) {
  if (run.state !== "passed" && run.state !== "failed") return { outcome: STATES[run.state], reason: run.state };
  const judged = judgeEvidence(run.evidence ?? null, gate, policy, subjects, standing);
  const isMeasured = judged.outcome !== "pass" && judged.reason !== "no-evidence";
  return run.state === "failed" && !isMeasured ? { ...judged, outcome: "fail", reason: "failed" } : judged;
}

// The decision of a policy; `waiverOf(verdict)` gives the waiver that excuses a gate, or null.
function decide(predicate, subjects, policy, waiverOf) {
  const gates = new Map();
  let isSound = predicate.run.inventoryComplete;
  for (const gate of predicate.gates) {
    if (gates.has(gate.id) || !gate.id.startsWith(`${gate.dimension}.`)) isSound = false;
    gates.set(gate.id, gate);
  }
  if (predicate.runs.some((run) => !gates.has(run.gateId))) isSound = false;
  const named = [...(policy.requiredGates ?? []), ...(policy.limits ?? []).map((limit) => limit.gate), ...Object.keys(policy.matrix ?? {})];
  if (named.some((one) => !GATE_PATTERN.test(one))) isSound = false;
  for (const one of named)
    if (![...gates.keys()].some((id) => pattern(one).test(id))) {
      const dimension = one.split(".")[0];
      gates.set(one, { id: one, dimension, severity: "required", isMissing: true });
    }
  const verdicts = [...gates.values()].map((gate) => {
    const required = (gate.severity ?? "required") === "required" || fits(named, gate.id);
    const runs = predicate.runs.filter((run) => run.gateId === gate.id);
    let judged = inconclusive(gate.isMissing ? "not-collected" : "not_run");
    const each = runs.map((run) => {
      const standing = standingOf(run, predicate, policy);
      return { ...judgeRun(run, gate, policy, subjects, standing), standing };
    });
    const targets = cellsOf(policy, gate.id);
    // What a waiver excuses is told by the worst run itself, whatever the reason is called after several.
    const isUnwaivable = NO_EXCUSE.has((each.length ? each.reduce(worse) : judged).reason);
    if (!gate.isMissing && targets.length) judged = worstOfCells(targets, each.length ? each : [{ ...judged, standing: null }]);
    else if (each.length) judged = worstOf(each);
    const { standing, ...verdict } = judged;
    return { gateId: gate.id, dimension: gate.dimension, required, ...verdict, reason: gate.isTwice ? null : judged.reason, isUnwaivable };
  });
  const waived = [];
  let isReady = isSound && !requiresNothing(policy);
  for (const verdict of verdicts) {
    if (!verdict.required || verdict.outcome === "pass") continue;
    const waiver = verdict.isUnwaivable ? null : waiverOf(verdict);
    if (waiver) {
      verdict.waiverId = waiver.id;
      waived.push(waiver);
    } else isReady = false;
  }
  for (const dimension of policy.requiredDimensions ?? [])
    if (!verdicts.some((verdict) => verdict.required && verdict.dimension === dimension)) isReady = false;
  const ordinary = predicate.run.ordinaryTests ?? {};
  if ((policy.ordinaryTests ?? "must_pass") === "must_pass")
    for (const [state, count] of Object.entries(ordinary)) if (["failed", "errored", "crashed", "timed_out"].includes(state) && count > 0) isReady = false;
  if (waived.length > (policy.maxWaivers ?? 0) || waived.filter((one) => one.subjectName !== undefined).length > (policy.nameWaivers?.max ?? 0)) {
    isReady = false;
    for (const verdict of verdicts) delete verdict.waiverId;
  }
  const provenance = predicate.run.provenance ?? {};
  const fragments = predicate.run.fragments ?? [];
  if (fragments.some((one) => !one.ended)) isReady = false;
  if (policy.signedFragments && fragments.some((one) => !(one.signedBy ?? []).length)) isReady = false;
  for (const name of Object.values(policy.matrix ?? {}).flat()) if (!definedTarget(name, predicate.run, policy)) isReady = false;
  const declared = fragments.length ? fragments.map((one) => one.target) : [predicate.run.target];
  if (declared.some((name) => (policy.requiredTargets ?? []).includes(name) && !definedTarget(name, predicate.run, policy))) isReady = false;
  if ((policy.requiredTargets ?? []).length)
    for (const run of predicate.runs.filter((one) => one.evidence)) {
      const name = declaredTarget(run, predicate.run);
      if (fragments.length && targetsOf(run, predicate.run).size !== 1) isReady = false;
      if (name !== null && policy.requiredTargets.includes(name) && standingOf(run, predicate, policy, false).tier === "foreign") isReady = false;
    }
  const places = fragments.length ? fragments : [{ target: predicate.run.target, automation: provenance.automation }];
  for (const { target, automation } of places) {
    if ((policy.requiredTargets ?? []).length && !policy.requiredTargets.includes(target)) isReady = false;
    const said = automation ? `${automation.provider}:${automation.project ?? ""}` : "";
    if (policy.requiredAutomation && !fits(policy.requiredAutomation, said)) isReady = false;
  }
  if (policy.allowDirty === false && (provenance.isDirty !== false || !provenance.revision)) isReady = false;
  return { outcome: isReady ? (waived.length ? "READY_WITH_WAIVERS" : "READY") : "NOT_READY", verdicts };
}

// What keeps a waiver from counting under a policy at a time, or null; no signature is looked at here.
function waiverProblem(waiver, policy, subjects, at) {
  if (waiver.subjectName === undefined ? !subjects.some((one) => one.digest.sha256 === waiver.digest) : !subjects.some((one) => fits([waiver.subjectName], one.name)))
    return "waiver-other-model";
  if (at < waiver.issued || at >= waiver.expires) return "waiver-expired";
  const days = (waiver.expires - waiver.issued) / 86400;
  if (!fits(policy.waivableGates ?? [], waiver.gateId) || days > (policy.maxWaiverDays ?? 0)) return "waiver-not-allowed";
  if (waiver.subjectName !== undefined && (!policy.nameWaivers || days > policy.nameWaivers.maxDays)) return "waiver-not-allowed";
  return null;
}

function followsFromEvidence(predicate, subjects) {
  const { policy, decision } = predicate;
  const at = seconds(predicate.issuedAt);
  const mine = decide(predicate, subjects, policy, (verdict) =>
    predicate.waiverRecords.find((one) => one.gateId === verdict.gateId && waiverProblem(one, policy, subjects, at) === null) ?? null);
  const differences = [];
  if (decision.policyDigest !== policyDigest(policy)) differences.push("the digest of the policy");
  if (decision.runId !== predicate.run.id) differences.push("the run");
  if (decision.outcome !== mine.outcome) differences.push(`the outcome is ${mine.outcome}`);
  if (decision.verdicts.length !== mine.verdicts.length) return [...differences, "the number of verdicts"];
  const byGate = (a, b) => (a.gateId < b.gateId ? -1 : 1);
  const stated = [...decision.verdicts].sort(byGate);
  for (const [index, verdict] of [...mine.verdicts].sort(byGate).entries()) {
    const said = stated[index];
    const isSame = ["gateId", "dimension", "outcome", "required", "waiverId"].every((name) => (said[name] ?? null) === (verdict[name] ?? null));
    const [one, two] = [said.adjustedPValue ?? null, verdict.adjustedPValue ?? null];
    const isSameP = (one === null) === (two === null) && Math.abs(one - two) <= 1e-12;
    if (!isSame || !isSameP || (verdict.reason !== null && said.reason !== verdict.reason)) differences.push(verdict.gateId);
  }
  return differences;
}

// ---------------------------------------------------------------------------------------------- state

function readState(path) {
  if (!existsSync(path)) return { models: {} };
  try {
    const state = strictJson(readFileSync(path), { limit: 16 * MIB, depth: 32, longest: 65536 });
    if (!isObject(state) || state.format !== 1) throw new Error("format");
    for (const name of Object.keys(state)) if (!["format", "trust", "revocations", "models"].includes(name)) throw new Error(`unknown ${name}`);
    state.models ??= {};
    for (const [name, object, keys] of [["trust", state.trust, ["version", "digest", "rootKeys", "rootThreshold"]], ["revocations", state.revocations, ["version", "digest"]]]) {
      if (object === undefined) continue;
      if (!isObject(object) || Object.keys(object).some((key) => !keys.includes(key))) throw new Error(name);
      if (!Number.isSafeInteger(object.version) || object.version < 1 || !/^[0-9a-f]{64}$/.test(object.digest)) throw new Error(name);
    }
    if (state.trust) {
      state.trust.rootKeys = (state.trust.rootKeys ?? []).map(publicKey);
      const { rootKeys, rootThreshold = null } = state.trust;
      if (rootKeys.length ? !(Number.isInteger(rootThreshold) && rootThreshold >= 1 && rootThreshold <= rootKeys.length) : rootThreshold !== null) throw new Error("rootThreshold");
    }
    for (const one of Object.values(state.models)) {
      for (const name of Object.keys(one)) if (!["id", "issuedAt", "payloadSha256", "serial"].includes(name)) throw new Error(`unknown ${name}`);
      seconds(one.issuedAt);
    }
    return state;
  } catch (problem) {
    throw new Refusal("state", problem.message);
  }
}

// ---------------------------------------------------------------------------------------------- the procedure

function options(argv, folder) {
  const all = { "--key": [], "--waiver-key": [], "--root": [], "--model": [] };
  const one = {};
  const rest = [];
  argv = argv.flatMap((text) => (/^--[a-z-]+=/.test(text) ? [text.slice(0, text.indexOf("=")), text.slice(text.indexOf("=") + 1)] : [text]));
  for (let i = 0; i < argv.length; i++) {
    if (has(all, argv[i])) all[argv[i]].push(argv[++i]);
    else if (argv[i] === "--json") one.json = true;
    else if (argv[i].startsWith("--")) one[argv[i]] = argv[++i];
    else rest.push(argv[i]);
  }
  const at = (name) => (one[name] === undefined ? null : resolve(folder, one[name]));
  if (rest.shift() !== "verify" || rest.length !== 1) throw new Refusal("usage", "arguments");
  if (!one["--policy"] || !all["--model"].length || !!one["--trust"] === all["--key"].length > 0) throw new Refusal("usage", "arguments");
  if (one["--trust"] ? all["--waiver-key"].length : one["--revocations"] || all["--root"].length) throw new Refusal("usage", "arguments");
  return {
    certificate: resolve(folder, rest[0]), keys: all["--key"].map((p) => resolve(folder, p)), waiverKeys: all["--waiver-key"].map((p) => resolve(folder, p)),
    roots: all["--root"].map((p) => resolve(folder, p)), rootThreshold: one["--root-threshold"] ? Number(one["--root-threshold"]) : null,
    models: all["--model"].map((text) => ({ text, folder })), policy: at("--policy"), trust: at("--trust"), revocations: at("--revocations"), state: at("--state"),
    at: one["--at"] ?? null,
  };
}

export function verify(argv, folder, nowText) {
  const reasons = [];
  const refuse = (code, message) => reasons.push({ code, message });
  try {
    procedure(options(argv, folder), nowText, refuse);
  } catch (problem) {
    if (!(problem instanceof Refusal)) problem.code = "internal";
    refuse(problem.code, problem.code === "internal" ? problem.stack : problem.message);
  }
  return { exit: reasons.length ? EXIT[reasons[0].code] : 0, reason: reasons[0]?.code ?? null, reasons };
}

function procedure(given, nowText, refuse) {
  const now = seconds(given.at ?? nowText);
  const policy = readPolicy(given.policy);
  const keys = given.keys.map(readKey);
  let approvers = given.waiverKeys.map(readKey);
  const roots = given.roots.map(readKey);
  const state = given.state ? readState(given.state) : null;
  const trust = given.trust ? readTrust(given.trust, roots, given.rootThreshold, state) : null;
  if (trust?.isStateRequired && !state) throw new Refusal("state", "the trust root asks for a state file");

  // 1. The envelope.
  let envelope, page;
  try {
    ({ envelope, page } = readCertificate(readFileSync(given.certificate)));
  } catch (problem) {
    throw new Refusal("malformed", problem.message);
  }

  // 2. Who signed.
  if (!envelope.signatures.length) throw new Refusal("no-signature", "nobody signed");
  let list = null;
  let signers;
  if (trust) {
    if (trust.expires !== null && now >= trust.expires) throw new Refusal("trust-expired", "the trust root has expired");
    const last = state?.trust;
    if (last && (trust.version < last.version || (trust.version === last.version && trust.digest !== last.digest)))
      throw new Refusal("trust-rollback", "another trust root was accepted");
    if (given.revocations && trust.revokes === null) throw new Refusal("usage", "nobody revokes");
    if (given.revocations) list = readRevocations(given.revocations, trust, now, state);
    else if (trust.isListRequired) throw new Refusal("revocation-missing", "a list is required");
    signers = signersOf(envelope, trust.keys);
    if (!signers.size) throw new Refusal("untrusted", "no key of the trust root signed");
    const counted = new Set();
    let isShort = false;
    for (const [role, least] of trust.roles) {
      const signed = trust.keys.filter((key) => key.role === role && signers.has(key.id));
      const inWindow = signed.filter((key) => isInWindow(key, now));
      const good = inWindow.filter((key) => !list?.revoked.has(key.id));
      good.forEach((key) => counted.add(key.id));
      if (good.length >= least) continue;
      if (inWindow.length >= least) refuse("revoked", `${role}: revoked key`);
      else if (signed.length >= least) refuse("key-validity", `${role}: key outside of its window`);
      else refuse("role", `${role} has not signed`);
      isShort = true;
    }
    if (isShort) return;
    if (counted.size < policy.minSignatures) throw new Refusal("threshold", "too few keys");
    approvers = trust.keys.filter((key) => key.role === trust.approves && isInWindow(key, now));
  } else {
    signers = signersOf(envelope, keys);
    if (!signers.size) throw new Refusal("untrusted", "no given key signed");
    if (signers.size < policy.minSignatures) throw new Refusal("threshold", "too few keys");
  }

  // 3. The statement.
  if (envelope.payloadType !== IN_TOTO) throw new Refusal("payload-type", envelope.payloadType);
  let statement, predicate;
  try {
    statement = readStatement(envelope.payload);
    if (typeof statement.predicateType !== "string") throw new Error("no predicate type");
    if (statement.predicateType !== PREDICATE || (trust?.predicateTypes && !trust.predicateTypes.includes(PREDICATE)))
      throw new Refusal("predicate-type", statement.predicateType);
    ({ predicate } = readProduction(statement));
  } catch (problem) {
    if (problem instanceof Refusal && problem.code !== "usage") throw problem;
    throw new Refusal("statement", problem.message);
  }
  if (page) {
    const digest = sha256(page);
    if (!(predicate.renderings ?? []).some((one) => one.mediaType === "text/html" && one.slot === "prodml-envelope" && one.digest.sha256 === digest))
      throw new Refusal("html-mismatch", "another page");
  }

  // 4. Revocation, and the artefacts.
  const subjects = statement.subject;
  const serial = predicate.serial ?? null;
  for (const entry of list?.entries ?? [])
    if ((entry.kind === "certificate" && entry.value === predicate.id) ||
      (entry.kind === "serial" && serial !== null && entry.modelName === predicate.modelName && entry.value === String(serial)) ||
      (entry.kind === "subject" && subjects.some((one) => one.digest.sha256 === entry.value)))
      refuse("revoked", entry.kind);
  checkSubjects(given.models, subjects, refuse);

  // 5. The clock, the memory, the trust root.
  const issued = seconds(predicate.issuedAt);
  const expires = seconds(predicate.expiresAt);
  if (now < issued - SKEW) refuse("not-yet-valid", predicate.issuedAt);
  if (expires <= issued || expires - issued > policy.validityDays * 86400) refuse("window", "too long, or none");
  if (now > expires + SKEW) refuse("expired", predicate.expiresAt);
  if (trust?.isStateRequired && serial === null) refuse("no-serial", "a serial is needed");
  const last = state && has(state.models, predicate.modelName) ? state.models[predicate.modelName] : null;
  if (last && last.payloadSha256 !== sha256(envelope.payload)) {
    const lastSerial = last.serial ?? null;
    const isNewer = serial !== null ? lastSerial === null || serial > lastSerial : lastSerial === null && issued > seconds(last.issuedAt);
    if (!isNewer) refuse("replay", "a newer one was accepted");
  }
  if (trust?.notIssuedBefore && issued < trust.notIssuedBefore) refuse("issued-too-early", predicate.issuedAt);
  if (trust?.gatePolicies && !trust.gatePolicies.includes(policyDigest(policy))) refuse("policy-not-accepted", "gate");
  if (trust?.certificatePolicies && !trust.certificatePolicies.includes(policyDigest(predicate.policy))) refuse("policy-not-accepted", "certificate");

  // 6. The decision again.
  for (const difference of followsFromEvidence(predicate, subjects)) refuse("decision", difference);

  // 7. Ready by itself, and under the gate's policy now.
  if (predicate.decision.outcome === "NOT_READY") {
    refuse("not-ready", "the certificate says so");
  }
  if (policy.burden === "violation" || predicate.policy.burden === "violation") {
    refuse("policy-guard", "nobody has to prove anything");
    return;
  }
  const problems = new Map();
  const counts = (waiver) => {
    const approved = signersOf(waiver.envelope, approvers);
    if (list?.entries.some((entry) => entry.kind === "waiver" && entry.value === waiver.id)) return "waiver-revoked";
    if (!approved.size) return "waiver-untrusted";
    const unrevoked = [...approved].filter((id) => !list?.revoked.has(id));
    if (!unrevoked.length) return "waiver-untrusted";
    const allSigners = signersOf(envelope, approvers);
    if (unrevoked.every((id) => signers.has(id) || allSigners.has(id))) return "waiver-self-approved";
    return waiverProblem(waiver, policy, subjects, now);
  };
  let isOnlyWaivers = true;
  const mine = decide(predicate, subjects, policy, (verdict) => {
    const candidates = predicate.waiverRecords.filter((one) => one.gateId === verdict.gateId).map((one) => [one, counts(one)]);
    const good = candidates.find(([, problem]) => problem === null);
    if (good) return good[0];
    const code = candidates.map(([, problem]) => problem).find((problem) => problem !== "waiver-other-model");
    if (code) problems.set(code, verdict.gateId);
    else isOnlyWaivers = false;
    return null;
  });
  if (mine.outcome === "NOT_READY") {
    const others = mine.verdicts.filter((one) => one.required && one.outcome !== "pass" && !one.waiverId && one.isUnwaivable);
    const isBlockedOtherwise = !isOnlyWaivers || others.length > 0 || !problems.size;
    if (isBlockedOtherwise) refuse("policy", "the policy is not met");
    for (const [code, gate] of problems) refuse(code, gate);
  }
}

// ---------------------------------------------------------------------------------------------- command

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  for (const folder of process.argv.slice(2)) {
    const one = JSON.parse(readFileSync(join(folder, "case.json"), "utf-8"));
    const { exit, reason, reasons } = verify(one.arguments, folder, one.now);
    console.log(JSON.stringify({ case: basename(resolve(folder)), verdict: exit === 0 ? "accept" : "refuse", exit, reason, reasons }));
  }
}
