-- Reserves slots. All times are whole µs. KEYS[1]: the account's log. ARGV: how many slots, how far ahead, the time or ''
-- for the server's own, '1' to forget the log, then calls and span of each rule.
-- Returns the time, the slot after these, the number of the reservation, and the slots.
-- The log is RUN;SERIAL;SLOT;SLOT…, newest slot first, with the server's run id. It counts as unknown if it is missing or
-- of another run: the server may have read it from an old file.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local now = tonumber(ARGV[3])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local wanted, ahead = tonumber(ARGV[1]), tonumber(ARGV[2])
local rules, longest = {}, 0
for at = 5, #ARGV, 2 do
  local rule = {calls = tonumber(ARGV[at]), within = tonumber(ARGV[at + 1])}
  rules[#rules + 1] = rule
  longest = math.max(longest, rule.calls)
end
local log, serial = {}, 0
local kept = redis.call('GET', KEYS[1])
if kept and ARGV[4] ~= '1' and string.sub(kept, 1, #run + 1) == run .. ';' then
  local numbers = string.gmatch(string.sub(kept, #run + 2), '(-?%d+)')
  serial = tonumber(numbers())
  for number in numbers do
    if #log < longest then log[#log + 1] = tonumber(number) end
  end
end
-- A slot further ahead than any is reserved shows that the server's clock was set back.
local back = math.max(0, (log[1] or 0) - now - ahead)
for at = 1, #log do log[at] = log[at] - back end
-- What is not known is assumed: another process may have used up the limit until now, and reserved ahead.
while #log < longest do
  local slot = log[#log] or now + ahead
  for _, rule in ipairs(rules) do
    local newer = log[#log + 1 - rule.calls]
    if newer then slot = math.min(slot, newer - rule.within) end
  end
  log[#log + 1] = slot
end
local given = {}
local function next_slot()
  local slot = now
  for _, rule in ipairs(rules) do
    local last = given[#given + 1 - rule.calls] or log[rule.calls - #given]
    slot = math.max(slot, last + rule.within)
  end
  return slot
end
local next = next_slot()
while #given < wanted and next <= now + ahead do
  given[#given + 1] = next
  next = next_slot()
end
serial = math.max(serial + 1, now)
local answer, text = {now, next, serial}, {run, serial}
for at = 1, #given do answer[#answer + 1] = given[at] end
for at = #given, 1, -1 do text[#text + 1] = given[at] end
for at = 1, #log do text[#text + 1] = log[at] end
for at = 1, #answer do answer[at] = string.format('%.0f', answer[at]) end
for at = 2, #text do text[at] = string.format('%.0f', text[at]) end
redis.call('SET', KEYS[1], table.concat(text, ';'), 'PX', 172800000)
return answer
