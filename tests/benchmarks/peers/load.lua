-- One request of the measured method to one of NAMES names at random.
local names = tonumber(os.getenv("NAMES"))
local method = os.getenv("METHOD")
local body = os.getenv("BODY")
if body == "" then body = nil end

request = function()
  return wrk.format("POST", "/v1/actors/Account/a" .. math.random(1, names) .. "/" .. method, nil, body)
end
