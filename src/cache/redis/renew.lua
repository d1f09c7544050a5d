-- Begins a new epoch, which makes all cached values misses. KEYS[1]: the key of the epoch. ARGV[1]: a random word.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
redis.call('SET', KEYS[1], run .. ':' .. ARGV[1])
return 1
