-- One request of the measured method to one of NAMES names at random, below the path PREFIX.
local prefix = os.getenv("PREFIX")
local names = tonumber(os.getenv("NAMES"))
local method = os.getenv("METHOD")
local body = os.getenv("BODY")
if body == "" then body = nil end

request = function()
  return wrk.format("POST", prefix .. "a" .. math.random(1, names) .. "/" .. method, nil, body)
end
