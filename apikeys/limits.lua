-- What limits.LocalCounter does, in one step of Redis. Whole seconds and whole numbers throughout.
--
-- KEYS: of each window what was spent, as "slice:spent slice:spent ...", oldest first
-- ARGV: the cost; now, or "" for the clock of Redis; then of each window its limit, slice_s and slices
-- answers {1 if it was spent or 0, now, then of each window what is spent, and the second at which some comes back or,
-- where there is too little, enough}
local cost, now = tonumber(ARGV[1]), tonumber(ARGV[2]) or tonumber(redis.call('TIME')[1])
local stored, fits, windows = redis.call('MGET', unpack(KEYS)), true, {}

for i = 1, #KEYS do
  local limit, slice_s, slices = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2])
  local current, counted, spent = math.floor(now / slice_s), {}, 0
  for slice, count in string.gmatch(stored[i] or '', '(%d+):(%d+)') do
    slice, count = tonumber(slice), tonumber(count)
    if math.abs(current - slice) <= slices then
      counted[#counted + 1] = {slice, count}
      spent = spent + count
    end
  end
  local charged, kept, leaving = math.min(cost, limit), spent, 0
  while kept + charged > limit do
    leaving = leaving + 1
    kept = kept - counted[leaving][2]
    fits = false
  end
  local first = counted[math.max(leaving, 1)]
  local back_at = ((first and first[1] or current) + slices + 1) * slice_s
  windows[i] = {slice_s, slices, current, counted, charged, spent, back_at}
end

local answer = {fits and 1 or 0, now}
for i = 1, #KEYS do
  local slice_s, slices, current, counted, charged, spent, back_at = unpack(windows[i])
  if fits then
    local last = counted[#counted]
    if last and last[1] >= current then
      last[2] = last[2] + charged
    else
      counted[#counted + 1] = {current, charged}
    end
    for j = 1, #counted do
      counted[j] = string.format('%d:%d', counted[j][1], counted[j][2])
    end
    redis.call('SET', KEYS[i], table.concat(counted, ' '), 'EX', (slices + 1) * slice_s)
    spent = spent + charged
  end
  answer[2 * i + 1], answer[2 * i + 2] = spent, back_at
end
return answer
