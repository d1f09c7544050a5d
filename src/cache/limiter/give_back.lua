-- Returns the last slots of a reservation, unless another reservation was made since. KEYS[1]: the account's bucket.
-- ARGV: how many slots, the slot after the reservation, then spacing and burst of each window.
local kept = redis.call('GET', KEYS[1])
if not kept then return 0 end
local run = string.match(kept, '^(%w+)|')
if not run then return 0 end
local calls, expected = tonumber(ARGV[1]), tonumber(ARGV[2])
local spacing, burst, full = {}, {}, {}
for at = 3, #ARGV, 2 do
  spacing[#spacing + 1] = tonumber(ARGV[at])
  burst[#burst + 1] = tonumber(ARGV[at + 1])
end
for number in string.gmatch(string.sub(kept, #run + 1), '|(%d+)') do full[#full + 1] = tonumber(number) end
if #full ~= #spacing then return 0 end
local next = 0
for w = 1, #full do next = math.max(next, full[w] - spacing[w] * (burst[w] - 1)) end
if next ~= expected then return 0 end
local text = run
for w = 1, #full do text = text .. '|' .. string.format('%.0f', math.max(0, full[w] - spacing[w] * calls)) end
redis.call('SET', KEYS[1], text, 'PX', 86400000)
return 1
