-- Keeps each value that is newer than the known one. KEYS: the key of the epoch, then the keys of the values.
-- ARGV: the reader's epoch and time in µs, how long a value is valid and how long a reader may take (both µs), then
-- version and body of each value: one character that names its format, and its text. Without a body it is a fence: a miss,
-- with the least valid version.
-- A value is kept as EPOCH|VERSION|VALID UNTIL|BODY. Once invalid, it stays as a fence for as long as a reader may take.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local epoch = redis.call('GET', KEYS[1])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local valid, grace = tonumber(ARGV[3]), tonumber(ARGV[4])
local is_fence = ARGV[1] == ''
if not epoch or string.sub(epoch, 1, #run) ~= run then
  -- No reader has begun an epoch in this run of the server, so nothing needs a fence.
  return 0
end
-- A late reader, or one of another epoch, read values that were committed but may be outdated: they become fences, which
-- replace those that the change of epochs may have lost.
local too_late = not is_fence and (epoch ~= ARGV[1] or now - tonumber(ARGV[2]) > grace)
if too_late then is_fence = true end
local head = epoch .. '|'
local ends = string.format('|%.0f|', now + valid)
local expires = math.ceil((valid + grace) / 1000)
local put = 0
for at = 2, #KEYS do
  local version, body = tonumber(ARGV[2 * at + 1]), ARGV[2 * at + 2]
  if too_late then body = '' end
  local kept = redis.call('GET', KEYS[at])
  local known, has_value = -1, false
  if kept and string.sub(kept, 1, #head) == head then
    local _, last, number, ends = string.find(kept, '^(%d+)|(%d+)|', #head + 1)
    if last then
      known = tonumber(number)
      -- A value of another format is one that this program cannot read.
      has_value = string.byte(kept, last + 1) == string.byte(body) and tonumber(ends) > now
    end
  end
  if version > known or (version == known and not is_fence and not has_value) then
    redis.call('SET', KEYS[at], head .. ARGV[2 * at + 1] .. ends .. body, 'PX', expires)
    put = put + 1
  end
end
return put
