-- Returns the last slots of a reservation, unless another one was made since. KEYS[1]: the account's log.
-- ARGV: how many slots, and the number of the reservation.
local kept = redis.call('GET', KEYS[1])
if not kept then return 0 end
local run, serial, slots = string.match(kept, '^(%w+);(%d+)(.*)$')
if serial ~= ARGV[2] then return 0 end
for _ = 1, tonumber(ARGV[1]) do slots = string.match(slots, '^;%-?%d+(.*)$') or '' end
redis.call('SET', KEYS[1], run .. ';' .. string.format('%.0f', serial + 1) .. slots, 'PX', 172800000)
return 1
