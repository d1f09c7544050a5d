-- Looks values up. KEYS: the key of the epoch, then the keys of the values. ARGV[1]: a random word for a new epoch.
-- Returns the epoch, the server's time in µs, and for each value its JSON, or an empty text for a miss.
-- An epoch contains the server's run id: values that a restarted server read from its file belong to a past epoch.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local epoch = redis.call('GET', KEYS[1])
if not epoch or string.sub(epoch, 1, #run) ~= run then
  epoch = run .. ':' .. ARGV[1]
  redis.call('SET', KEYS[1], epoch)
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answer = {epoch, string.format('%.0f', now)}
local head = epoch .. '|'
for at = 2, #KEYS do
  local kept = redis.call('GET', KEYS[at])
  local json = ''
  if kept and string.sub(kept, 1, #head) == head then
    local _, last, _, ends = string.find(kept, '^(%d+)|(%d+)|', #head + 1)
    if last and tonumber(ends) > now then json = string.sub(kept, last + 1) end
  end
  answer[at + 1] = json
end
return answer
