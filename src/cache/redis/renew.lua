-- Begins a new epoch: whatever was cached is a miss from now on. KEYS[1]: the epoch's key. ARGV[1]: a random word.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
redis.call('SET', KEYS[1], run .. ':' .. ARGV[1])
return 1
