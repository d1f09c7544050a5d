-- Begins an epoch if there is none of this run of the server, or in any case. KEYS[1]: the key of the epoch. ARGV: a random
-- word for a new epoch, and 'always' or ''. Returns the server's run id, the epoch, and the server's time: s and µs.
-- A new epoch makes all cached values misses. It contains the run id: values that a restarted server read from its file
-- belong to a past epoch.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local epoch = redis.call('GET', KEYS[1])
if not epoch or string.sub(epoch, 1, #run) ~= run or ARGV[2] == 'always' then
  epoch = run .. ':' .. ARGV[1]
  redis.call('SET', KEYS[1], epoch)
end
local time = redis.call('TIME')
return {run, epoch, time[1], time[2]}
