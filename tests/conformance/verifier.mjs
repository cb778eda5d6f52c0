// A second verifier, written from docs/reference/certificate-format.md alone, with nothing but Node's own modules.
// It judges signatures, format, artefacts and the clock; it does not repeat the decision, and knows no trust root.
// node verifier.mjs CASE... prints one JSON line a case: {"verdict": "accept" | "refuse", "why": ...}
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";

const TYPE = "https://github.com/pytest-prodml/pytest-prodml/predicates/production-readiness/v1";
const FIELDS = ["schemaVersion", "id", "modelName", "modelVersion", "producer", "startedAt", "issuedAt", "expiresAt",
  "materials", "policy", "gates", "runs", "run", "environments", "waivers", "serial", "nonce", "renderings", "decision"];
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;
const BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json";
const MIB = 2 ** 20;

const refuse = (why) => { throw new Error(why); };
const need = (condition, why) => condition || refuse(why);
const sha256 = (data) => crypto.createHash("sha256").update(data).digest("hex");
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

function strictJson(bytes, { size, depth, text }) {
  need(bytes.length <= size, "too large");
  const source = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  let at = 0;
  const space = () => { while (" \t\n\r".includes(source[at] ?? "x")) at += 1; };
  const take = (pattern) => {
    pattern.lastIndex = at;
    const found = pattern.exec(source);
    need(found, `not JSON at ${at}`);
    at += found[0].length;
    return found[0];
  };
  const string = () => {
    const value = JSON.parse(take(/"(?:[^"\\\u0000-\u001f]|\\.)*"/uy));
    need(value.isWellFormed(), "lone surrogate");
    need([...value].length <= text, "long text");
    return value;
  };
  function value(level) {
    need(level <= depth + 1, "too deep");
    space();
    const next = source[at];
    let result;
    if (next === "{") {
      result = Object.create(null);
      at += 1; space();
      while (source[at] !== "}") {
        if (Object.keys(result).length) { take(/,/y); space(); }
        const key = string();
        need(!(key in result), `key twice: ${key}`);
        space(); take(/:/y);
        result[key] = value(level + 1);
        space();
      }
      at += 1;
    } else if (next === "[") {
      result = [];
      at += 1; space();
      while (source[at] !== "]") {
        if (result.length) take(/,/y);
        result.push(value(level + 1));
        space();
      }
      at += 1;
    } else if (next === '"') result = string();
    else if ("tfn".includes(next ?? "x")) result = JSON.parse(take(/true|false|null/y));
    else {
      const number = take(/-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y);
      result = Number(number);
      need(Number.isFinite(result), "number out of range");
      need(!/^-?[0-9]+$/.test(number) || Math.abs(result) < 2 ** 53, "integer beyond 2^53 - 1");
    }
    return result;
  }
  const result = value(1);
  space();
  need(at === source.length, "trailing bytes");
  return result;
}

// RFC 8785: keys sorted by UTF-16 code units, numbers and texts as ECMAScript writes them.
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (!isObject(value)) return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
}

function base64(text) {
  need(typeof text === "string", "base64 is missing");
  const urlsafe = /[-_]/.test(text);
  const plain = urlsafe ? text.replaceAll("-", "+").replaceAll("_", "/") : text;
  const data = Buffer.from(plain, "base64");
  need(data.toString("base64") === plain && !(urlsafe && /[+/]/.test(text)), "base64 in an unusual spelling");
  return data;
}

function readForm(data) {
  const limits = { size: 32 * MIB, depth: 8, text: 32 * MIB };
  if (/^\s*</.test(data.toString("latin1"))) {
    const open = Buffer.from('<script type="application/vnd.prodml.dsse+base64" id="prodml-envelope">');
    const begin = data.indexOf(open) + open.length;
    need(begin >= open.length && data.toString("latin1").split('"prodml-envelope"').length === 2, "not one slot");
    const end = data.indexOf("</script>", begin);
    need(end > begin, "the slot is empty or does not end");
    const page = sha256(Buffer.concat([data.subarray(0, begin), data.subarray(end)]));
    return { envelope: strictJson(base64(data.toString("latin1", begin, end)), limits), page };
  }
  const value = strictJson(data, limits);
  need(isObject(value), "no object");
  if (!("dsseEnvelope" in value)) return { envelope: value };
  need(value.mediaType === BUNDLE && !("messageSignature" in value), "another bundle");
  need(value.dsseEnvelope.signatures?.length === 1, "a bundle holds one signature");
  return { envelope: value.dsseEnvelope };
}

function signers({ payload, payloadType, signatures }, keyFiles) {
  need(typeof payloadType === "string" && Array.isArray(signatures), "no envelope, or nobody signed");
  need(signatures.length <= 16, "too many signatures");
  const body = base64(payload);
  const signed = Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${body.length} `), body]);
  const found = signatures.map((item) => {
    need(isObject(item) && ["string", "undefined"].includes(typeof (item.keyid ?? undefined)), "no signature object");
    return base64(item.sig);
  });
  const counted = new Set();
  for (const file of keyFiles) {
    const pem = fs.readFileSync(file, "latin1");
    need(pem.match(/-----BEGIN [A-Z ]+-----/g)?.join() === "-----BEGIN PUBLIC KEY-----", "not one public key");
    const key = crypto.createPublicKey(pem);
    const p256 = key.asymmetricKeyDetails?.namedCurve === "prime256v1";
    need(p256 || key.asymmetricKeyType === "ed25519", "unsupported key");
    const hash = p256 ? "sha256" : null;
    const der = sha256(key.export({ type: "spki", format: "der" }));
    if (found.some((signature) => crypto.verify(hash, signed, key, signature))) counted.add(der);
  }
  return { body, count: counted.size };
}

function time(text) {
  need(typeof text === "string" && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text), "no time");
  const moment = new Date(text);
  need(!Number.isNaN(+moment) && moment.toISOString().replace(".000Z", "Z") === text, "no such time");
  return +moment;
}

function digestOf(file) {
  if (!fs.statSync(file).isDirectory()) return sha256(fs.readFileSync(file));
  const names = fs.readdirSync(file, { recursive: true }).filter((name) => fs.lstatSync(path.join(file, name)).isFile());
  names.sort((one, two) => Buffer.compare(Buffer.from(one), Buffer.from(two)));
  return sha256(names.map((name) => `${sha256(fs.readFileSync(path.join(file, name)))}  ${name}\n`).join(""));
}

const isLabel = (text) => typeof text === "string" && text !== "" && text.normalize("NFC") === text && !INVISIBLE.test(text);

function verify(folder) {
  const { arguments: given, now } = JSON.parse(fs.readFileSync(path.join(folder, "case.json"), "utf-8"));
  const after = (option) => given.flatMap((item, index) => (given[index - 1] === option ? [item] : []));
  const inside = (name) => path.join(folder, name);
  const policy = fs.readFileSync(inside(after("--policy")[0]), "utf-8");
  const least = Number(/^min_signatures = (\d+)$/m.exec(policy)?.[1] ?? 1);
  const { envelope, page } = readForm(fs.readFileSync(inside(given[1])));
  const { body, count } = signers(envelope, after("--key").map(inside));
  need(count >= least, "too few signers");
  need(envelope.payloadType === "application/vnd.in-toto+json", "another payload type");
  const statement = strictJson(body, { size: 16 * MIB, depth: 32, text: 64 * 1024 });
  need(canonical(statement) === body.toString("utf-8"), "not canonical");
  need(isObject(statement) && Object.keys(statement).join() === "_type,predicate,predicateType,subject", "other fields");
  need(statement._type === "https://in-toto.io/Statement/v1" && statement.predicateType === TYPE, "another type");
  const { subject, predicate } = statement;
  need(isObject(predicate) && Object.keys(predicate).every((key) => FIELDS.includes(key)), "unknown field");
  need([predicate.id, predicate.modelName, predicate.modelVersion].every(isLabel), "an unreadable name");
  need(Array.isArray(subject) && subject.length > 0, "no subject");
  for (const { name, digest } of subject)
    need(isLabel(name) && isObject(digest) && Object.keys(digest).join() === "sha256" &&
      typeof digest.sha256 === "string" && /^[0-9a-f]{64}$/.test(digest.sha256), "no name with one sha256");
  for (const field of [(item) => item.name, (item) => item.digest.sha256])
    need(new Set(subject.map(field)).size === subject.length, "a subject twice");
  const slots = (predicate.renderings ?? []).filter((item) => item.mediaType === "text/html");
  need(page === undefined || slots.some((item) => item.digest.sha256 === page), "another page");
  const covered = after("--model").map((text) => {
    const [, name, file] = /^(?:([^=]*)=)?(.*)$/.exec(text);
    const digest = digestOf(inside(file));
    return subject.find((item) => item.digest.sha256 === digest && (name === undefined || item.name === name))
      ?? refuse("another artefact");
  });
  need(new Set(covered).size === subject.length, "an artefact is missing");
  const [issued, expires, here] = [time(predicate.issuedAt), time(predicate.expiresAt), +new Date(now)];
  need(issued - here <= 300_000 && here - expires <= 300_000, "outside of its window");
}

for (const folder of process.argv.slice(2)) {
  let answer = { verdict: "accept" };
  try { verify(folder); } catch (error) { answer = { verdict: "refuse", why: String(error.message) }; }
  console.log(JSON.stringify(answer));
}
