// Calls, sockets and events of a Holdfast host, for browsers and Node 18 or newer. No dependencies, no build step.
//
//   import { Client } from "./holdfast.js"
//   const client = new Client("https://actors.example.com", { token })
//   await client.actor("Account", "alice").deposit(5)
//
// holdfast.d.ts beside this file has the types, and says what each part does. `holdfast types --client` writes both.

const TYPED = "application/vnd.holdfast+json"
const NESTING_MAX = 100
const TRACE = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/
const KEY = /^[ -~]{1,255}$/

// Errors

export class ActorCallError extends Error {
  constructor(name, message, { code = null, status = null, retryable = false, requestId = null, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause })
    Object.assign(this, { code, status, retryable, requestId })
    Object.defineProperty(this, "name", { value: name, configurable: true, writable: true })
  }
}

export class HostUnreachableError extends ActorCallError {
  constructor(message, facts) {
    super("HostUnreachableError", message, facts)
  }
}

export class UnexpectedAnswerError extends ActorCallError {
  constructor(message, facts) {
    super("UnexpectedAnswerError", message, facts)
  }
}

export class CodecError extends Error {
  name = "CodecError"
}

// Values: the encoding of storage.wit, version 2

class Text {
  constructor(text) {
    this.text = String(text)
    if (!this.constructor.isOne(this.text)) throw new CodecError(`${JSON.stringify(text)} is no ${this.constructor.tag}`)
    Object.freeze(this)
  }
  toString() {
    return this.text
  }
  toJSON() {
    return this.text
  }
}

const YMD = /^(\d{4})-(\d\d)-(\d\d)$/
const HMS = /^(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,6}))?)?(Z|[+-]\d\d:?\d\d(?::?\d\d(?:\.\d{1,6})?)?)?$/
const BRACKETS = /(?:\[[^\[\]]+\])+$/

function isDate(text) {
  const [, year, month, day] = (YMD.exec(text) ?? []).map(Number)
  const first = new Date(0)
  first.setUTCFullYear(year, month - 1, day) // not Date.UTC, which moves the first century
  return year > 0 && first.getUTCMonth() === month - 1 && first.getUTCDate() === day
}

function isTime(text) {
  const found = HMS.exec(text)
  if (!found) return false
  const [hours, offsetHours] = [found[1], found[5]?.slice(1, 3) ?? "0"]
  return hours < 24 && found[2] < 60 && (found[3] ?? 0) < 60 && (found[5] === "Z" || offsetHours < 24)
}

export class DateTime extends Text {
  static tag = "datetime"
  static isOne(text) {
    const [date, time] = [text.slice(0, 10), text.slice(11).replace(BRACKETS, "")]
    return isDate(date) && /^[T ]/.test(text.slice(10)) && isTime(time)
  }
  get isLocal() {
    return !/(Z|[+-][\d:.]+)$/.test(this.text.slice(11).replace(BRACKETS, ""))
  }
  toDate() {
    if (this.isLocal) throw new RangeError(`${this} has no offset: which moment it is depends on the place`)
    const [day, time] = [this.text.slice(0, 10), this.text.slice(11).replace(BRACKETS, "")]
    const [, hours, minutes, seconds = "00", fraction = "", zone] = HMS.exec(time)
    const offset = zone === "Z" ? "Z" : `${zone.slice(0, 3)}:${zone.replace(/:/g, "").slice(3, 5)}`
    return new Date(`${day}T${hours}:${minutes}:${seconds}.${fraction.padEnd(3, "0").slice(0, 3)}${offset}`)
  }
}

export class DateOnly extends Text {
  static tag = "date"
  static isOne = isDate
}

export class TimeOnly extends Text {
  static tag = "time"
  static isOne = (text) => isTime(text.replace(BRACKETS, ""))
}

export class Decimal extends Text {
  static tag = "decimal"
  static isOne(text) {
    if (/^[+-]?(inf(inity)?|s?nan\d*)$/i.test(text)) return true
    const found = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e([+-]?\d+))?$/i.exec(text)
    return found !== null && Math.abs(found[1] ?? 0) <= 425_000_000
  }
}

export class Uuid extends Text {
  static tag = "uuid"
  static isOne = (text) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)
}

export class Duration {
  constructor(days = 0, seconds = 0, microseconds = 0) {
    const fits = (value, max) => Number.isInteger(value) && value >= 0 && value < max
    if (!Number.isInteger(days) || !(Math.abs(days) < 1e9) || !fits(seconds, 86_400) || !fits(microseconds, 1e6)) {
      throw new CodecError(`[${days}, ${seconds}, ${microseconds}] is no timedelta: days, seconds and microseconds`)
    }
    Object.freeze(Object.assign(this, { days, seconds, microseconds }))
  }
  static ofSeconds(seconds) {
    const whole = Math.floor(seconds)
    const micros = Math.round((seconds - whole) * 1e6)
    const [all, rest] = micros === 1e6 ? [whole + 1, 0] : [whole, micros]
    const days = Math.floor(all / 86_400)
    return new Duration(days, all - days * 86_400, rest)
  }
  get totalSeconds() {
    return this.days * 86_400 + this.seconds + this.microseconds / 1e6
  }
  toJSON() {
    return this.totalSeconds
  }
}

export class Tuple extends Array {
  static get [Symbol.species]() {
    return Array
  }
}

export class FrozenSet extends Set {}

const TEXTS = Object.fromEntries([DateTime, DateOnly, TimeOnly, Decimal, Uuid].map((each) => [each.tag, each]))
const FLOATS = { nan: NaN, inf: Infinity, "-inf": -Infinity }
const INTEGER = /^-?(0|[1-9]\d*)$/
const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g

/** The text of a value: `what` begins the path to a part that has none. */
export function encode(value, what = "value") {
  return write(value, what, 0)
}

function write(value, path, depth) {
  if (depth > NESTING_MAX) throw new CodecError(`${path.slice(0, 80)}... is nested deeper than ${NESTING_MAX}`)
  const tagged = (tag, text) => `{"$hf":"${tag}","v":${text}}`
  const parts = (values) => Array.from(values, (each, n) => write(each, `${path}[${n}]`, depth + 1))
  switch (typeof value) {
    case "boolean":
    case "string":
      return JSON.stringify(value)
    case "number":
      return writeNumber(value, tagged)
    case "bigint":
      return writeInteger(value, tagged)
    case "object":
      break
    default:
      throw new CodecError(`${path} is ${typeof value === "function" ? "a function" : typeof value}: it has no encoding`)
  }
  if (value === null) return "null"
  if (value instanceof Text) return tagged(value.constructor.tag, JSON.stringify(value.text))
  if (value instanceof Date) return tagged("datetime", JSON.stringify(dateText(value, path)))
  if (value instanceof Duration) return tagged("timedelta", `[${value.days},${value.seconds},${value.microseconds}]`)
  if (value instanceof ArrayBuffer) return tagged("bytes", `"${toBase64(new Uint8Array(value))}"`)
  if (value instanceof Uint8Array) return tagged("bytes", `"${toBase64(value)}"`)
  if (value instanceof Tuple) return tagged("tuple", `[${parts(value)}]`)
  if (Array.isArray(value)) return `[${parts(value)}]`
  if (value instanceof Set) {
    distinct(value, path)
    return tagged(value instanceof FrozenSet ? "frozenset" : "set", `[${parts(value).sort(byCodePoints)}]`)
  }
  if (value instanceof Map) return tagged("dict", writePairs([...value], path, depth))
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    throw new CodecError(`${path} is a ${prototype.constructor?.name ?? "class instance"}: it has no encoding`)
  }
  const entries = Object.entries(value).filter(([, part]) => part !== undefined)
  if (Object.hasOwn(value, "$hf")) return tagged("dict", writePairs(entries, path, depth))
  return `{${entries.map(([key, part]) => `${JSON.stringify(key)}:${write(part, `${path}.${key}`, depth + 1)}`)}}`
}

function writePairs(pairs, path, depth) {
  distinct(pairs.map(([key]) => key), path)
  const written = pairs.map(([key, part]) => {
    const name = write(key, `a key of ${path}`, depth + 1)
    return `[${name},${write(part, `${path}[${name}]`, depth + 1)}]`
  })
  return `[${written}]`
}

function writeNumber(value, tagged) {
  if (Number.isNaN(value)) return tagged("float", '"nan"')
  if (!Number.isFinite(value)) return tagged("float", value > 0 ? '"inf"' : '"-inf"')
  if (Object.is(value, -0)) return "-0.0"
  const text = String(value)
  return Number.isSafeInteger(value) || !INTEGER.test(text) ? text : `${text}.0` // an integer of that size is a BigInt
}

function writeInteger(value, tagged) {
  const hex = value.toString(16)
  return hex.length > 3_300 ? tagged("int", `"${hex}"`) : value.toString() // of some 4,000 digits
}

function dateText(date, path) {
  if (Number.isNaN(date.getTime())) throw new CodecError(`${path} is no valid date`)
  const text = date.toISOString()
  if (text.length !== 24) throw new CodecError(`${path} is outside the years 1 to 9999`)
  return text.replace("Z", "+00:00")
}

function byCodePoints(one, other) {
  const [left, right] = [Array.from(one), Array.from(other)]
  const at = left.findIndex((each, n) => each !== right[n])
  if (at < 0) return left.length - right.length
  return at >= right.length ? 1 : left[at].codePointAt(0) - right[at].codePointAt(0)
}

/** What is equal in every language that reads it: 1, 1.0 and true are. */
function sameness(value, path) {
  if (typeof value === "boolean") return String(Number(value))
  if (typeof value === "bigint" || Number.isInteger(value)) return String(BigInt(value))
  const holds = value instanceof Tuple || value instanceof FrozenSet
  if (!holds && (Array.isArray(value) || value instanceof Map || value instanceof Set || value?.constructor === Object)) {
    throw new CodecError(`${path} has a key or an element that can change, such as an array or an object`)
  }
  if (!holds) return encode(value, path)
  const inner = Array.from(value, (each) => sameness(each, path))
  return `${value instanceof Tuple ? "(" : "{"}${value instanceof Tuple ? inner : inner.sort()})`
}

function distinct(values, path) {
  const seen = new Set()
  for (const each of values) {
    const text = sameness(each, path)
    if (seen.has(text) && !Number.isNaN(each)) throw new CodecError(`${path} has two equal keys or elements`)
    seen.add(text)
  }
}

/** The value of a text. */
export function decode(text, what = "value") {
  let value
  try {
    value = JSON.parse(/\d{16}/.test(text) ? text.replace(TOKENS, largeInteger) : text)
  } catch (error) {
    throw new CodecError(`${what} is no encoded value: ${error.message}`)
  }
  const isPlain = !/\$hf|\\u00[26]/i.test(text) && !/\d{16}|[eE]\+?\d{3}/.test(text)
  return isPlain ? value : read(value, what, 0)
}

const largeInteger = (token) =>
  INTEGER.test(token) && !Number.isSafeInteger(Number(token)) ? `{"$hf":"int","v":"${BigInt(token).toString(16)}"}` : token

function read(value, what, depth) {
  if (depth > 4 * NESTING_MAX) throw new CodecError(`${what} is nested too deep`)
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new CodecError(`${what} has a number that is out of the range of floats`)
  }
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) return value.map((each) => read(each, what, depth + 1))
  if (Object.hasOwn(value, "$hf")) return untag(value, what, depth)
  for (const key of Object.keys(value)) value[key] = read(value[key], what, depth + 1)
  return value
}

function untag(tagged, what, depth) {
  const { $hf: tag, v } = tagged
  const refuse = () => new CodecError(`${what} has ${JSON.stringify(tagged).slice(0, 80)}, which is no value of a known tag`)
  if (Object.keys(tagged).length !== 2 || !Object.hasOwn(tagged, "v") || typeof tag !== "string") throw refuse()
  if (Object.hasOwn(TEXTS, tag)) {
    if (typeof v !== "string") throw refuse()
    return new TEXTS[tag](v)
  }
  const parts = () => {
    if (!Array.isArray(v)) throw refuse()
    return v.map((each) => read(each, what, depth + 1))
  }
  switch (tag) {
    case "int":
      if (typeof v !== "string" || !/^-?[0-9a-f]+$/.test(v)) throw refuse()
      return integer(v)
    case "float":
      if (typeof v !== "string" || !Object.hasOwn(FLOATS, v)) throw refuse()
      return FLOATS[v]
    case "bytes":
      if (typeof v !== "string" || !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(v)) throw refuse()
      return Uint8Array.from(atob(v), (each) => each.charCodeAt(0))
    case "timedelta":
      if (!Array.isArray(v) || v.length !== 3) throw refuse()
      return new Duration(...v)
    case "tuple":
      return Tuple.from(parts())
    case "set":
    case "frozenset": {
      const elements = parts()
      distinct(elements, what)
      return tag === "set" ? new Set(elements) : new FrozenSet(elements)
    }
    case "dict": {
      const pairs = parts()
      if (!pairs.every((each) => Array.isArray(each) && !(each instanceof Tuple) && each.length === 2)) throw refuse()
      distinct(pairs.map(([key]) => key), what)
      return new Map(pairs)
    }
    default:
      throw refuse()
  }
}

function integer(hex) {
  const value = hex.startsWith("-") ? -BigInt(`0x${hex.slice(1)}`) : BigInt(`0x${hex}`)
  return Number.isSafeInteger(Number(value)) ? Number(value) : value
}

function toBase64(bytes) {
  let text = ""
  for (let at = 0; at < bytes.length; at += 8_192) text += String.fromCharCode(...bytes.subarray(at, at + 8_192))
  return btoa(text)
}

// Calls

export class Client {
  constructor(url = globalThis.location?.origin, options = {}) {
    this.url = checkedUrl(url)
    this.options = { timeoutMs: 120_000, retries: 2, fetch: globalThis.fetch, WebSocket: globalThis.WebSocket, ...options }
    const { token, timeoutMs, retries } = this.options
    if (token && !/^[!-~]+$/.test(token)) throw new TypeError("the token of a host is visible ASCII characters, without spaces")
    if (!(timeoutMs > 0) || !(Number.isInteger(retries) && retries >= 0)) {
      throw new TypeError(`timeoutMs is more than 0 and retries are 0 or more, not ${timeoutMs} and ${retries}`)
    }
  }

  actor(type, name, options = {}) {
    return new Proxy(new Actor(this, type, name, options), METHODS)
  }
}

function checkedUrl(text) {
  let url
  try {
    url = new URL(text)
  } catch {
    url = null
  }
  if (!url || !/^https?:$/.test(url.protocol) || url.search || url.hash || url.username) {
    throw new TypeError(`the URL of a host is like http://127.0.0.1:8787, not ${JSON.stringify(text)}`)
  }
  return url.href.replace(/\/+$/, "")
}

class Actor {
  #client
  #options

  constructor(client, type, name, options) {
    const { key } = options
    if (key !== undefined && !KEY.test(key)) {
      throw new TypeError(`an idempotency key has 1 to 255 printable ASCII characters, not ${JSON.stringify(key)}`)
    }
    for (const each of [type, name]) {
      // What is no text, or half a character, would call another instance: "undefined", or one that has U+FFFD.
      if (typeof each !== "string" || /\p{Cs}/u.test(each)) {
        throw new TypeError(`type and name of an actor are texts of whole characters, not ${JSON.stringify(each)}`)
      }
    }
    this.#client = client
    this.#options = options
    this.type = type
    this.name = name
  }

  with(options) {
    return this.#client.actor(this.type, this.name, { ...this.#options, ...options })
  }
  once(key) {
    return this.with({ key })
  }
  async call(method, args = []) {
    const { type, name } = this
    const what = `${type}/${name}.${method}`
    const body = encode(args, `the arguments of ${type}.${method}`)
    const options = { ...this.#client.options, ...this.#options }
    const parts = [type, name, method]
    const hasDots = parts.some((each) => each === "." || each === "..") // which fetch takes for steps, also as %2E
    if (!hasDots) {
      return new Attempts(what, `${this.#client.url}/v1/actors/${parts.map((each) => segment(each)).join("/")}`, body, options).result()
    }
    const whole = `{${parts.map((each, n) => `"${["type", "name", "method"][n]}":${JSON.stringify(each)}`)},"args":${body}}`
    return new Attempts(what, `${this.#client.url}/v1/call`, whole, options).result()
  }
  socket(path = "/", options = {}) {
    const { token, WebSocket } = this.#client.options
    return new Socket(this.#address(path).replace(/^http/, "ws"), { token, WebSocket, ...options })
  }
  events(path = "/", options = {}) {
    const { token, fetch } = this.#client.options
    return new EventStream(this.#address(path), { token, fetch, silenceMs: SILENCE_MS, ...options })
  }
  toString() {
    return `${this.type}/${this.name}`
  }
  toJSON() {
    return this.toString()
  }
  #address(path) {
    if (/^\.\.?$/.test(this.name)) throw new TypeError(`an instance called ${this.name} has no URL that a browser knows`)
    return `${this.#client.url}/v1/actors/${segment(this.type)}/${segment(this.name)}/${path.replace(/^\//, "")}`
  }
}

const OWN = new Set(["type", "name", "with", "once", "call", "socket", "events", "toString", "valueOf", "toJSON", "constructor"])
const METHODS = {
  get(actor, property) {
    if (OWN.has(property)) {
      const own = actor[property]
      return typeof own === "function" && property !== "constructor" ? own.bind(actor) : own
    }
    // `then` would make of an actor something to be awaited.
    if (typeof property !== "string" || property.startsWith("_") || property === "then") return undefined
    return (...args) => actor.call(property, args)
  },
}

const segment = encodeURIComponent
const sleep = (ms, signal) =>
  new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal?.removeEventListener("abort", done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal?.addEventListener("abort", done)
  })

// One call, made again only where that cannot do its work twice: as `holdfast.client` does it.
const TIMER_MS_MAX = 2 ** 31 - 1 // a timer of more ends at once
const UNKNOWN_OUTCOMES = new Set(["ActorOutputGateError", "HostUnavailableError"])
const GATEWAYS = new Set([502, 503, 504])

class Attempts {
  constructor(what, url, body, options) {
    Object.assign(this, { what, url, body, options, left: options.retries, pauseMs: 100 })
    this.key = options.key ?? (options.retries > 0 ? randomKey() : undefined)
    this.endsAt = Date.now() + options.timeoutMs
  }

  async result() {
    for (;;) {
      this.options.signal?.throwIfAborted()
      const { value, error, safe, final } = await this.attempt()
      if (!error) return value
      const pauseMs = this.pauseMs * (0.5 + Math.random() / 2) // it spreads those who were refused together
      const may = !final && this.left > 0 && (safe || this.key !== undefined)
      if (!may || Date.now() + pauseMs >= this.endsAt) throw error
      this.left -= 1
      this.pauseMs *= 4
      await sleep(pauseMs, this.options.signal)
    }
  }

  async attempt() {
    const { signal, fetch } = this.options
    const over = new AbortController()
    const end = () => over.abort()
    const timer = setTimeout(end, Math.min(Math.max(1, this.endsAt - Date.now()), TIMER_MS_MAX))
    signal?.addEventListener("abort", end)
    try {
      const request = { method: "POST", body: this.body, headers: this.headers(), signal: over.signal, redirect: "error" }
      const answer = await fetch(this.url, { cache: "no-store", ...request })
      return this.judged(answer, await answer.text())
    } catch (cause) {
      if (cause instanceof CodecError || signal?.aborted) throw signal?.aborted ? signal.reason : cause
      return this.unanswered(cause, over.signal.aborted)
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener("abort", end)
    }
  }

  headers() {
    const { token, traceparent } = this.options
    const given = typeof traceparent === "function" ? traceparent() : traceparent
    const parent = TRACE.test(given) ? given : undefined // another text would end the call, or the trace of who asks
    return {
      "content-type": TYPED,
      accept: TYPED,
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(parent ? { traceparent: parent } : {}),
      ...(this.key === undefined ? {} : { "idempotency-key": `"${this.key.replace(/["\\]/g, "\\$&")}"` }),
    }
  }

  judged(answer, text) {
    const { status } = answer
    const requestId = answer.headers.get("holdfast-request-id")
    if (status === 200) {
      try {
        return { value: decode(text, `the result of ${this.what}`) }
      } catch (cause) {
        return { error: this.unexpected(status, cause.message, requestId), final: true }
      }
    }
    const refusal = refusalOf(text)
    if (refusal === null) {
      const error = this.unexpected(status, "no result, and no error of a host", requestId)
      return { error, final: !GATEWAYS.has(status) }
    }
    const { name, message, code = null, retryable } = refusal
    const error = new ActorCallError(name, message, { code, status, retryable: retryable === true, requestId })
    return { error, safe: error.retryable, final: !error.retryable && !UNKNOWN_OUTCOMES.has(name) }
  }

  unexpected(status, why, requestId) {
    const message = `${this.what} at ${this.url}: status ${status}, ${why}: is it a Holdfast host?`
    return new UnexpectedAnswerError(message, { status, requestId })
  }

  unanswered(cause, isOver) {
    // Node says in which nothing was sent; of a browser nobody knows.
    const safe = !isOver && /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|UND_ERR_CONNECT_TIMEOUT)$/.test(cause?.cause?.code)
    const why = isOver ? `there was no answer within ${this.options.timeoutMs} ms` : cause?.cause?.message || cause?.message || cause
    const outcome = safe ? "nothing was done" : "the outcome is unknown"
    const error = new HostUnreachableError(`${this.what} at ${this.url}: ${why}; ${outcome}`, { retryable: safe, cause })
    return { error, safe, final: isOver }
  }
}

function refusalOf(text) {
  try {
    const { error } = JSON.parse(text)
    const good = typeof error.name === "string" && typeof error.message === "string"
    return good && (error.code == null || typeof error.code === "string") ? error : null
  } catch {
    return null
  }
}

function randomKey() {
  // `crypto.randomUUID` is there in secure pages only, and in Node 18 `crypto` is no global.
  const bytes = globalThis.crypto?.getRandomValues(new Uint8Array(16)) ?? Array.from({ length: 16 }, () => Math.random() * 256)
  return Array.from(bytes, (each) => Math.floor(each).toString(16).padStart(2, "0")).join("")
}

// What stays open: connected again with back-off, from the last event that was seen

const WAIT_MS = { least: 100, first: 500, most: 30_000, settled: 5_000 }
const SILENCE_MS = 45_000 // the host says a word every 15 s
const FINAL_CODES = new Set([1000, 1002, 1003, 1007, 1008, 1009, 1010])

class Link {
  #waitMs = 0
  #openedAt = 0
  #timer

  constructor(url, options) {
    this.address = url
    this.options = options
    this.lastEventId = options.lastEventId ?? null
    this.isClosed = false
    this.firstWaitMs = WAIT_MS.first
    queueMicrotask(() => this.isClosed || this.connect()) // who makes one may still say what it should hear
  }

  async url() {
    return typeof this.address === "function" ? this.address() : this.address
  }
  opened() {
    this.#openedAt = Date.now()
    this.tell("onOpen")
  }
  heard(event) {
    this.lastEventId = event.id
    this.tell("onEvent", event)
  }
  /** What a listener throws is its owner's: it ends no connection, and makes no second one. */
  tell(listener, ...facts) {
    try {
      this.options[listener]?.(...facts)
    } catch (error) {
      queueMicrotask(() => {
        throw error
      })
    }
  }
  /** A connection is over: connect again, or say that it was the last one. */
  ended(facts, again) {
    if (this.isClosed) return
    this.isClosed = !again
    if (this.#openedAt && Date.now() - this.#openedAt > WAIT_MS.settled) this.#waitMs = 0
    this.#openedAt = 0
    this.#waitMs = Math.min(2 * this.#waitMs + this.firstWaitMs * Math.random(), WAIT_MS.most) // not all at once
    if (again) this.#timer = setTimeout(() => this.connect(), this.#waitMs)
    this.tell("onClose", { ...facts, again, waitMs: again ? this.#waitMs : null })
  }
  close() {
    this.isClosed = true
    clearTimeout(this.#timer)
  }
}

export class Socket extends Link {
  #socket = null

  constructor(url, options = {}) {
    super(url, options)
    if (!(options.WebSocket ?? globalThis.WebSocket)) {
      throw new TypeError("there is no WebSocket here: give one as the option WebSocket (Node has its own from version 22)")
    }
  }

  async connect() {
    const { WebSocket = globalThis.WebSocket, protocols, token } = this.options
    let socket
    try {
      const url = new URL(await this.url(), globalThis.location?.href)
      if (this.isClosed) return
      if (this.options.resume && this.lastEventId !== null) url.searchParams.set(this.options.resume, this.lastEventId)
      url.protocol = url.protocol.replace("http", "ws")
      socket = openSocket(WebSocket, url.href, protocols, token)
    } catch (error) {
      this.ended({ code: 1006, reason: error.message, error }, error.name !== "SyntaxError" && error.name !== "TypeError")
      return
    }
    this.#socket = socket
    socket.binaryType = "arraybuffer"
    socket.onopen = () => this.opened()
    socket.onmessage = ({ data }) => this.received(data)
    socket.onerror = () => {} // `ws` throws what nobody listens to; what follows says it too
    socket.onclose = ({ code, reason }) => {
      this.#socket = null
      this.ended({ code, reason }, this.options.again?.(code, reason) ?? !(FINAL_CODES.has(code) || code >= 4000))
    }
  }

  received(data) {
    const said = typeof data === "string" ? data : new Uint8Array(data)
    if (!this.options.resume) return this.tell("onMessage", said)
    let event = null
    try {
      event = JSON.parse(said)
    } catch {
      // no event of a topic: the actor's own words
    }
    const isEvent = typeof event?.data === "string" && Object.hasOwn(event, "id") && Object.hasOwn(event, "event")
    if (!isEvent) return this.tell("onMessage", said)
    const { id, event: name, data: text } = event
    this.heard({ id: id ? String(id) : this.lastEventId, event: name || "message", data: text })
  }

  get isOpen() {
    return this.#socket?.readyState === 1
  }
  send(message) {
    if (!this.isOpen) return false
    this.#socket.send(message)
    return true
  }
  close(code = 1000, reason = "") {
    super.close()
    this.#socket?.close(code, reason)
  }
}

function openSocket(WebSocket, url, protocols, token) {
  if (!token) return new WebSocket(url, protocols ?? [])
  if (globalThis.document) {
    throw new TypeError("a page cannot send a token with a WebSocket: open it at a function, whose fetch decides")
  }
  return new WebSocket(url, { protocols: protocols ?? [], headers: { authorization: `Bearer ${token}` } })
}

export class EventStream extends Link {
  #over = new AbortController()
  #reader = null

  async connect() {
    const { fetch = globalThis.fetch, token, headers, credentials } = this.options
    const redirect = token ? "error" : "follow" // not every browser keeps a token from where it is led to
    const asked = { accept: "text/event-stream", ...(token ? { authorization: `Bearer ${token}` } : {}), ...headers }
    if (this.lastEventId !== null) asked["last-event-id"] = this.lastEventId
    try {
      const url = await this.url()
      const answer = await fetch(url, { headers: asked, credentials, redirect, cache: "no-store", signal: this.#over.signal })
      const isStream = /^text\/event-stream/i.test(answer.headers.get("content-type") ?? "")
      if (answer.status !== 200 || !isStream) return this.refused(answer, await answer.text())
      this.#reader = answer.body.getReader()
      this.opened()
      await this.follow(this.#reader)
      this.ended({ error: null }, true)
    } catch (cause) {
      this.ended({ error: new HostUnreachableError(`${cause?.cause?.message ?? cause?.message ?? cause}`, { cause }) }, true)
    }
  }

  refused({ status, headers }, text) {
    const { name = "UnexpectedAnswerError", message = `status ${status}`, code = null, retryable } = refusalOf(text) ?? {}
    const facts = { code, status, retryable: retryable === true, requestId: headers.get("holdfast-request-id") }
    this.ended({ error: new ActorCallError(name, message, facts) }, facts.retryable || status >= 500 || status === 429)
  }

  async follow(reader) {
    const lines = new Lines()
    const decoder = new TextDecoder()
    let event = {}
    try {
      for (let piece = await this.piece(reader); !piece.done; piece = await this.piece(reader)) {
        for (const line of lines.of(decoder.decode(piece.value, { stream: true }))) {
          if (this.isClosed) return
          if (line) this.field(line, event)
          else {
            if (event.id !== undefined) this.lastEventId = event.id
            if (event.data) this.heard({ id: this.lastEventId, event: event.event || "message", data: event.data.join("\n") })
            event = {}
          }
        }
      }
    } finally {
      reader.cancel().catch(() => {}) // what is left for whatever reason is left at the other end too
    }
  }

  /** What comes next; a connection that broke without a word says nothing for ever. */
  async piece(reader) {
    const { silenceMs = Infinity } = this.options
    let timer
    const silence = new Promise((_, fail) => {
      if (silenceMs <= TIMER_MS_MAX) timer = setTimeout(() => fail(new Error(`nothing came for ${silenceMs} ms`)), silenceMs)
    })
    try {
      return await Promise.race([reader.read(), silence])
    } finally {
      clearTimeout(timer)
    }
  }

  field(line, event) {
    const [, name, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line)
    if (name === "data") (event.data ??= []).push(value ?? "")
    else if (name === "event") event.event = value ?? ""
    else if (name === "id" && !value?.includes("\0")) event.id = value ?? ""
    else if (name === "retry" && /^\d+$/.test(value)) this.firstWaitMs = Math.max(Number(value), WAIT_MS.least)
  }

  close() {
    super.close()
    this.#over.abort()
    this.#reader?.cancel().catch(() => {})
  }
}

/** The lines of text that comes in pieces; they end with CR, LF or both. */
class Lines {
  #rest = "";
  *of(text) {
    let all = this.#rest + text
    for (let found = /\r\n|\n|\r(?!$)/.exec(all); found; found = /\r\n|\n|\r(?!$)/.exec(all)) {
      yield all.slice(0, found.index)
      all = all.slice(found.index + found[0].length)
    }
    this.#rest = all
  }
}
