// The page of a room: one socket, opened again whenever it ends, from the last event that the page has seen.
// What was said and not heard yet waits in `pending`, and is said again: the room counts each number once.
const page = Math.random().toString(36).slice(2)
const pending = new Map() // number: its line
const users = new Set()
let last = "0", number = 0, wait_ms = 0, is_here = false, socket

const find = (what) => document.querySelector(what)
// Not before what was pending, which is said first: the room takes a smaller number for one that it has heard.
const say = (n) => is_here && socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify({ n, text: pending.get(n).text }))

function connect() {
  socket = new WebSocket(`${location.origin.replace("http", "ws")}${location.pathname}?page=${page}&after=${last}`)
  socket.onmessage = ({ data }) => {
    const { id, event, data: said } = JSON.parse(data)
    if (id) last = id
    hear[event](JSON.parse(said))
  }
  socket.onclose = () => {
    is_here = false
    find("#state").textContent = "connecting"
    wait_ms = Math.min(2 * wait_ms + 500 * Math.random(), 30_000) // not all pages at once
    setTimeout(connect, wait_ms)
  }
}

const hear = {
  said({ user, text, page: from, n }) {
    if (from === page) {
      pending.get(n)?.line.remove()
      pending.delete(n)
    }
    show(user, text)
  },
  reset() { // the room has forgotten some of what this page has missed
    find("#messages").replaceChildren()
    for (const { line } of pending.values()) find("#messages").append(line)
  },
  here({ you, users: all }) { // what was missed has come: the rest of `pending` was not heard
    users.clear()
    for (const each of all) users.add(each)
    show_users()
    find("#state").textContent = `you are ${you}`
    wait_ms = 0
    is_here = true
    for (const n of pending.keys()) say(n)
  },
  came(user) { users.add(user); show_users() },
  left(user) { users.delete(user); show_users() },
}

function show(user, text) {
  const line = document.createElement("li"), name = document.createElement("b")
  name.textContent = user
  line.append(name, text) // as text: what others say is never HTML
  find("#messages").append(line)
  line.scrollIntoView()
  return line
}

function show_users() {
  find("#users").textContent = [...users].sort().join(", ")
}

find("form").onsubmit = (event) => {
  event.preventDefault()
  const input = find("input"), text = input.value.trim()
  if (!text) return
  input.value = ""
  const line = show("", text)
  line.className = "pending"
  pending.set(++number, { text, line })
  say(number)
}

find("#room").textContent = decodeURIComponent(location.pathname.split("/").pop())
connect()
