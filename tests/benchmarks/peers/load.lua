-- One request of the measured method to one of NAMES names at random, below the path PREFIX; with KEYED a new key each,
-- with TYPE a body of that type.
local prefix = os.getenv("PREFIX")
local names = tonumber(os.getenv("NAMES"))
local method = os.getenv("METHOD")
local body = os.getenv("BODY")
if body == "" then body = nil end
local keyed = os.getenv("KEYED") ~= nil
local type = os.getenv("TYPE")
local run, number = os.time(), 0

request = function()
  local headers = type and { ["Content-Type"] = type } or nil
  if keyed then
    number = number + 1
    headers = headers or {}
    headers["Idempotency-Key"] = run .. "-" .. number
  end
  return wrk.format("POST", prefix .. "a" .. math.random(1, names) .. "/" .. method, headers, body)
end
