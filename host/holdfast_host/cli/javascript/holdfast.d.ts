/** What an actor's text, number or any other value is in JavaScript. */
export type Value =
  | null
  | boolean
  | number // a float, and an integer up to 2^53
  | bigint // a larger integer; one that is sent may have any size
  | string
  | Uint8Array // bytes
  | DateTime
  | DateOnly
  | TimeOnly
  | Duration
  | Decimal
  | Uuid
  | Value[] // a list
  | Tuple<Value>
  | Set<Value>
  | FrozenSet<Value>
  | Map<Value, Value> // a dict whose keys are not all text
  | { [key: string]: Value }

/** What may be sent besides: a Date goes as a datetime in UTC; a property that is undefined is left out. */
export type Sent =
  | Value
  | Date
  | ArrayBuffer
  | readonly Sent[]
  | ReadonlySet<Sent>
  | ReadonlyMap<Sent, Sent>
  | { readonly [key: string]: Sent | undefined }

declare class Text {
  /** Throws CodecError for a text that is none. */
  constructor(text: string)
  readonly text: string
  toString(): string
  toJSON(): string
}

/** Date and time as the actor wrote it, to the microsecond and with its offset: `2026-11-01T12:30:15.123456+00:00`. */
export class DateTime extends Text {
  #kind
  /** Whether it has no offset. */
  readonly isLocal: boolean
  /** The moment, to the millisecond; RangeError where it has no offset. */
  toDate(): Date
}
/** A calendar date: `2026-11-01`. */
export class DateOnly extends Text {
  #kind
}
/** A time of day: `12:30:00`. */
export class TimeOnly extends Text {
  #kind
}
/** A decimal number, its last zeros kept: `1.10`. */
export class Decimal extends Text {
  #kind
}
/** A UUID, 36 characters in lower case. */
export class Uuid extends Text {
  #kind
}
/** A span of time, as Python's timedelta has it. */
export class Duration {
  constructor(days?: number, seconds?: number, microseconds?: number)
  static ofSeconds(seconds: number): Duration
  readonly days: number
  readonly seconds: number
  readonly microseconds: number
  readonly totalSeconds: number
  /** Its seconds. */
  toJSON(): number
}
/** An array that an actor has as a tuple: `Tuple.of(1, 2)`. */
export class Tuple<T = Value> extends Array<T> {
  #kind
  static of<T>(...values: T[]): Tuple<T>
  static from<T>(values: Iterable<T> | ArrayLike<T>): Tuple<T>
}
/** A set that an actor has as a frozenset. */
export class FrozenSet<T = Value> extends Set<T> {
  #kind
}

/** A value as text, with its types: what `application/vnd.holdfast+json` is. Throws CodecError. */
export function encode(value: Sent, what?: string): string
/** The value of such a text. Throws CodecError. */
export function decode(text: string, what?: string): Value

/** A call failed. `name` is the host's: ActorError, ActorMethodError, UnknownActorTypeError, ... */
export class ActorCallError extends Error {
  readonly code: string | null
  readonly status: number | null
  /** The call has committed nothing, and may succeed later. */
  readonly retryable: boolean
  /** Under what the host's log has it. */
  readonly requestId: string | null
}
/** No host answered, or the connection to it broke. */
export class HostUnreachableError extends ActorCallError {
  #kind
}
/** Something answered that is no Holdfast host. */
export class UnexpectedAnswerError extends ActorCallError {
  #kind
}
/** A value has no encoding, or a text is none. */
export class CodecError extends Error {
  #kind
}

export interface CallOptions {
  /** For one call with all its attempts, in milliseconds; 120,000 without it. */
  timeoutMs?: number
  /** How often a call is made again at most; 2 without it. 0: never, and no call gets a key by itself. */
  retries?: number
  /** Ends what waits: the call throws its reason. Whether it ran is then unknown. */
  signal?: AbortSignal
  /** The W3C trace context that goes along, or what tells it for each attempt; a text that is none is left out. */
  traceparent?: string | (() => string | undefined)
}
export interface ActorOptions extends CallOptions {
  /** The idempotency key of its calls: see `once`. */
  key?: string
}
export interface ClientOptions extends CallOptions {
  /** The host's token. */
  token?: string
  /** Another fetch, or WebSocket, than the global one. */
  fetch?: typeof fetch
  WebSocket?: unknown
}

/** Any actor: every other property is a method of it, called by position. */
export interface AnyActor extends Actor {
  [method: string]: any
}
/** What each actor has. A method that is called like one of these is called with `call`. */
export interface Actor {
  readonly type: string
  readonly name: string
  /** The same instance, called with other options. */
  with(options: ActorOptions): this
  /** The same instance, called under an idempotency key: its calls have one effect, and one answer, for a day. */
  once(key: string): this
  /** Call a method by name: an array goes by position, an object by name. */
  call(method: string, args?: readonly Sent[] | { readonly [name: string]: Sent | undefined }): Promise<any>
  /** A WebSocket to the actor's fetch, under the host's token. For programs: a page opens one at a function. */
  socket(path?: string, options?: SocketOptions): Socket
  /** The events that the actor's fetch sends. */
  events(path?: string, options?: EventOptions): EventStream
}

/**
 * Calls actors of one host. `Types` is what `holdfast types --client actors.d.ts` writes.
 *
 * A call that failed is made again only where that cannot do its work twice: so each gets an idempotency key.
 */
export class Client<Types extends object = { [type: string]: AnyActor }> {
  /** @param url The host's; in a page, where it is left out, the page's own. */
  constructor(url?: string, options?: ClientOptions)
  readonly url: string
  /** The instance of that type and name; it need not exist yet. Nothing is sent. */
  actor<Type extends keyof Types & string>(type: Type, name: string, options?: ActorOptions): Types[Type]
}

export interface ActorEvent {
  /** The last id that was said; null before the first. */
  id: string | null
  event: string
  data: string
}
type Address = string | (() => string | Promise<string>)
interface LinkOptions {
  /** The host's token; not for pages. */
  token?: string
  /** Go on after this event. */
  lastEventId?: string | null
  /** What a listener throws is an uncaught error: it ends no connection. */
  onOpen?(): void
  onEvent?(event: ActorEvent): void
}
export interface SocketOptions extends LinkOptions {
  protocols?: string[]
  /**
   * For sockets that follow a topic: the parameter of the query that says the last id, as in `?after=17`. What comes
   * from the topic is told to `onEvent`, all else to `onMessage`.
   */
  resume?: string
  WebSocket?: unknown
  onMessage?(message: string | Uint8Array): void
  /** A connection is over; with `again` the next one comes in `waitMs`. */
  onClose?(over: { code: number; reason: string; error?: Error; again: boolean; waitMs: number | null }): void
  /** Whether to connect again after that code. Without it: not after 1000, a broken rule, and 4000 to 4999. */
  again?(code: number, reason: string): boolean
}
export interface EventOptions extends LinkOptions {
  headers?: { [name: string]: string }
  credentials?: RequestCredentials
  /** A connection on which nothing comes for so long has broken. `actor.events`: 45,000, for a host says a word every 15 s. */
  silenceMs?: number
  fetch?: typeof fetch
  /** As for sockets. An answer of 400 to 499 is final, but for what is retryable. */
  onClose?(over: { error: ActorCallError | null; again: boolean; waitMs: number | null }): void
}

declare class Link {
  readonly lastEventId: string | null
  /** It connects no more: it was closed, or refused for good. */
  readonly isClosed: boolean
}
/** A WebSocket that is opened again whenever it ends, after up to 0.5 s, then longer, 30 s at most. */
export class Socket extends Link {
  constructor(url: Address, options?: SocketOptions)
  readonly isOpen: boolean
  /** False: it is not open, and nothing was sent. True does not say that the actor has it: have it answer. */
  send(message: string | Uint8Array): boolean
  close(code?: number, reason?: string): void
}
/** Server-sent events by fetch: they take headers, and go on after the last one that was seen. */
export class EventStream extends Link {
  constructor(url: Address, options?: EventOptions)
  close(): void
}
