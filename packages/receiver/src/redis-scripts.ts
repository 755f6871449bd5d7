// The Redis store's scripts. Each runs as one: nothing comes between its reads and its writes, and the append-only file
// has all of it or nothing. Keys are made of one prefix with one hash tag, so all are in one slot.
//
//   P:s:<session>  hash   of each event b:<event> body, d: digest, w: webhook id, t: ms of arrival, n: number
//   P:due          sorted set of ids of work by the ms at which they are due
//   P:dead         sorted set of ids of dead work by the ms of their death
//   P:w:<id>       hash   kind, session, event, attempts, fence, error
//   P:id           counter of ids

const head = `
local P = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function work(session, event, kind)
  local id = redis.call('INCR', P .. ':id')
  redis.call('HSET', P .. ':w:' .. id, 'kind', kind, 'session', session, 'event', event, 'attempts', 0, 'fence', 0)
  redis.call('ZADD', P .. ':due', now, id)
end
local function held(id, fence)
  return redis.call('HGET', P .. ':w:' .. id, 'fence') == fence and redis.call('ZSCORE', P .. ':due', id)
end
local function finish(id)
  redis.call('ZREM', P .. ':due', id)
  redis.call('DEL', P .. ':w:' .. id)
end
local function insert(session, event, body, digest, webhook)
  local key = P .. ':s:' .. session
  local n = redis.call('INCR', P .. ':number')
  redis.call('HSET', key, 'b:' .. event, body, 'd:' .. event, digest, 'w:' .. event, webhook, 't:' .. event, now,
    'n:' .. event, n)
end
`;

/** keepMs, then for each event: session, event, body, digest, webhook id, "1" or "0" for work of either kind. */
export const accept = `${head}
local keep = tonumber(ARGV[1])
local out = {}
for i = 2, #ARGV, 7 do
  local session, event, body, digest = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local key = P .. ':s:' .. session
  local before = redis.call('HGET', key, 'd:' .. event)
  if not before then
    insert(session, event, body, digest, ARGV[i + 4])
    if ARGV[i + 5] == '1' then work(session, event, 'event') end
    if ARGV[i + 6] == '1' then work(session, event, 'look') end
    redis.call('PEXPIRE', key, keep)
    out[#out + 1] = 'new'
  elseif before == digest then
    redis.call('HSET', key, 'b:' .. event, body)
    out[#out + 1] = 'duplicate'
  else
    out[#out + 1] = 'conflict'
  end
end
return out`;

/** Limit, lease in ms. Answers eight texts for each. */
export const claim = `${head}
local out = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. ':due', '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local w = redis.call('HMGET', P .. ':w:' .. id, 'kind', 'session', 'event')
  local s = redis.call('HMGET', P .. ':s:' .. w[2], 'b:' .. w[3], 'w:' .. w[3], 't:' .. w[3])
  if s[1] then
    local attempts = redis.call('HINCRBY', P .. ':w:' .. id, 'attempts', 1)
    local fence = redis.call('HINCRBY', P .. ':w:' .. id, 'fence', 1)
    redis.call('ZADD', P .. ':due', now + ARGV[2], id)
    for _, text in ipairs({ id, w[1], w[2], w[3], s[1], s[2], tostring(now - s[3]), tostring(attempts),
      tostring(fence) }) do out[#out + 1] = text end
  else
    finish(id)
  end
end
return out`;

/** Lease in ms, then id and fence of each. Answers the ids that are held. */
export const extend = `${head}
local out = {}
for i = 2, #ARGV, 2 do
  if held(ARGV[i], ARGV[i + 1]) then
    redis.call('ZADD', P .. ':due', now + ARGV[1], ARGV[i])
    out[#out + 1] = ARGV[i]
  end
end
return out`;

/** Id and fence of each. Answers the ids that were held. */
export const done = `${head}
local out = {}
for i = 1, #ARGV, 2 do
  if held(ARGV[i], ARGV[i + 1]) then
    finish(ARGV[i])
    out[#out + 1] = ARGV[i]
  end
end
return out`;

/** Id, fence, pause in ms, "1" when something failed, error. */
export const again = `${head}
if not held(ARGV[1], ARGV[2]) then return 0 end
local key = P .. ':w:' .. ARGV[1]
redis.call('HINCRBY', key, 'fence', 1)
if ARGV[4] == '1' then redis.call('HSET', key, 'error', ARGV[5]) else redis.call('HINCRBY', key, 'attempts', -1) end
redis.call('ZADD', P .. ':due', now + ARGV[3], ARGV[1])
return 1`;

const buried = `
local function bury(id, error)
  local key = P .. ':w:' .. id
  redis.call('HSET', key, 'error', error)
  redis.call('ZREM', P .. ':due', id)
  redis.call('ZADD', P .. ':dead', now, id)
  redis.call('PERSIST', P .. ':s:' .. redis.call('HGET', key, 'session'))
end
`;

/** Id, fence, error. */
export const bury = `${head}${buried}
if held(ARGV[1], ARGV[2]) then bury(ARGV[1], ARGV[3]) end
return 0`;

/**
 * Id, fence, then for each command: how many texts it has, and these. A command that Redis refuses cannot undo those
 * before it, and running them all again would make these effects twice: then the event is dead at once, and its error says
 * how far it came. Answers "1" when the work was held, "0" when not, or the error.
 */
export const transact = `${head}${buried}
if not held(ARGV[1], ARGV[2]) then return '0' end
local i, count = 3, 0
while i <= #ARGV do
  local length = tonumber(ARGV[i])
  local command = {}
  for j = 1, length do command[j] = ARGV[i + j] end
  local result = redis.pcall(unpack(command))
  if type(result) == 'table' and result.err then
    local error = 'command ' .. (count + 1) .. ' (' .. command[1] .. ') was refused, ' .. count
      .. ' before it are done: ' .. result.err
    bury(ARGV[1], error)
    return error
  end
  count = count + 1
  i = i + length + 1
end
finish(ARGV[1])
return '1'`;

/** Session. Answers event, body, age in ms of each, in order of arrival. */
export const session = `${head}
local all = redis.call('HGETALL', P .. ':s:' .. ARGV[1])
local fields, events = {}, {}
for i = 1, #all, 2 do
  fields[all[i]] = all[i + 1]
  if string.sub(all[i], 1, 2) == 'n:' then events[#events + 1] = string.sub(all[i], 3) end
end
table.sort(events, function(one, other) return tonumber(fields['n:' .. one]) < tonumber(fields['n:' .. other]) end)
local out = {}
for _, event in ipairs(events) do
  for _, text in ipairs({ event, fields['b:' .. event], tostring(now - fields['t:' .. event]) }) do
    out[#out + 1] = text
  end
end
return out`;

/** Id, fence, session, event, body. */
export const join = `${head}
if not held(ARGV[1], ARGV[2]) then return 0 end
finish(ARGV[1])
if redis.call('HEXISTS', P .. ':s:' .. ARGV[3], 'd:' .. ARGV[4]) == 0 then
  insert(ARGV[3], ARGV[4], ARGV[5], '', '')
  work(ARGV[3], ARGV[4], 'event')
end
return 1`;

/** Limit. Answers six texts for each. */
export const dead = `${head}
local out = {}
for _, id in ipairs(redis.call('ZRANGE', P .. ':dead', 0, ARGV[1] - 1)) do
  local w = redis.call('HMGET', P .. ':w:' .. id, 'session', 'event', 'attempts', 'error')
  local body = redis.call('HGET', P .. ':s:' .. w[1], 'b:' .. w[2])
  for _, text in ipairs({ id, w[1], w[2], body or '', w[3], w[4] or '' }) do out[#out + 1] = text end
end
return out`;

/** keepMs, id. */
export const revive = `${head}
local id = ARGV[2]
if redis.call('ZREM', P .. ':dead', id) == 0 then return '0' end
local key = P .. ':w:' .. id
redis.call('HSET', key, 'attempts', 0)
redis.call('ZADD', P .. ':due', now, id)
redis.call('PEXPIRE', P .. ':s:' .. redis.call('HGET', key, 'session'), ARGV[1])
return '1'`;
