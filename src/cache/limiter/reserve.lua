-- Reserves slots by a generic cell rate algorithm with several windows. All times are whole µs.
-- KEYS[1]: the account's bucket. ARGV: how many slots, how far ahead, the time or '' for the server's own, then spacing
-- and burst of each window. Returns the time, the slot after these, and the slots.
-- A bucket is RUN|FULL AT|FULL AT…, with the server's run id. It counts as empty if it is missing, of another run (the
-- server may have read it from an old file), or of other windows: another process may have used up the limit until now
-- and reserved ahead.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local now = tonumber(ARGV[3])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local wanted, ahead = tonumber(ARGV[1]), tonumber(ARGV[2])
local spacing, burst = {}, {}
for at = 4, #ARGV, 2 do
  spacing[#spacing + 1] = tonumber(ARGV[at])
  burst[#burst + 1] = tonumber(ARGV[at + 1])
end
local full = {}
local kept = redis.call('GET', KEYS[1])
if kept and string.sub(kept, 1, #run + 1) == run .. '|' then
  for number in string.gmatch(string.sub(kept, #run + 1), '|(%d+)') do full[#full + 1] = tonumber(number) end
end
if #full ~= #spacing then
  full = {}
  for w = 1, #spacing do full[w] = now + ahead + spacing[w] * (2 * burst[w] - 1) end
end
local function slot()
  local first = now
  for w = 1, #spacing do first = math.max(first, full[w] - spacing[w] * (burst[w] - 1)) end
  return first
end
local slots = {}
local next = slot()
while #slots < wanted and next <= now + ahead do
  for w = 1, #spacing do full[w] = math.max(full[w], next) + spacing[w] end
  slots[#slots + 1] = string.format('%.0f', next)
  next = slot()
end
local text = run
for w = 1, #full do text = text .. '|' .. string.format('%.0f', full[w]) end
redis.call('SET', KEYS[1], text, 'PX', 86400000)
return {string.format('%.0f', now), string.format('%.0f', next), unpack(slots)}
