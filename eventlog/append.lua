-- The one atomic step of Jobcast: check, log, fold, publish.
--
-- A job's log (stream) and state (hash) change only here. Everything is checked before the first
-- write, because a script does not roll back; publishing comes last, because it may be refused.
--
-- KEYS  1 log      jobs:{<id>}:log
--       2 state    jobs:{<id>}:state
--       3 channel  jobs:<id>:events, or in a Cluster jobs:{<id>}:events
-- ARGV  1 publish command: PUBLISH, or in a Cluster SPUBLISH
--       2 operation: create start progress step emit complete fail cancel retry abandon
--       3 attempt the caller works on; '' is any
--       4 run token of the caller; '' is any, and lets complete and fail end a queued job
--       5 name of the event (emit only)
--       6 data of the event, one line of JSON. For progress and step only what follows the number in
--         {"progress":N, so that a raised progress needs no JSON library here
--       7 progress 0-100 (progress and step); '' is the state's own
--       8 count of state fields that follow
--       9 that many pairs of name and value to set, then the names to clear
--
-- Answer: [id of the entry or '', cancel requested 0/1, receivers of the publication (-1: refused by
-- Redis), attempt, status before, type, input]; type and input only for start, else ''.
-- Errors: NOJOB EXISTS FINISHED SUPERSEDED NOTRUNNING NOTFAILED NOTCANCELLABLE BADEVENT; then
-- nothing was written or published.

local MAX_EVENT_BYTES = 1048576
local UNFINISHED_SECONDS = 7 * 24 * 3600
local RESERVED = {
  connected = true, message = true, error = true, open = true,
  ['progress-update'] = true, ['step-change'] = true, complete = true, failed = true,
}
local EVENT_OF = {
  create = '_created', retry = '_retried', start = 'step-change', progress = 'progress-update',
  step = 'step-change', complete = 'complete', fail = 'failed', abandon = 'failed', cancel = '_cancel-requested',
}
local FINISHED = { succeeded = true, failed = true }

local log, state, channel = KEYS[1], KEYS[2], KEYS[3]
local publish, op, attempt, run, name, data, progress = unpack(ARGV, 1, 7)

local function refuse(text)
  return redis.error_reply(text)
end

-- Both raise WRONGTYPE on a key of another type, before anything is written.
local before = redis.call('HMGET', state,
  'status', 'attempt', 'run', 'progress', 'cancel', 'last', 'checkpoint', 'retention', 'maxEntries')
local status, its_attempt, its_run = before[1], before[2], before[3]
local cancel_requested, last, checkpoint = before[5], before[6], before[7]
local length = redis.call('XLEN', log)

local fields, cleared = {}, {}
local pairs_end = 8 + 2 * tonumber(ARGV[8])
for i = 9, pairs_end do fields[#fields + 1] = ARGV[i] end
for i = pairs_end + 1, #ARGV do cleared[#cleared + 1] = ARGV[i] end
local function set(field, value)
  fields[#fields + 1] = field
  fields[#fields + 1] = value
end

if op == 'create' then
  if status then return refuse('EXISTS the job exists already') end
  its_attempt = '1'
elseif not status then
  return refuse('NOJOB there is no such job')
elseif op == 'retry' then
  if status ~= 'failed' then return refuse('NOTFAILED the job is ' .. status .. ', not failed') end
  its_attempt = tostring(tonumber(its_attempt) + 1)
elseif op == 'cancel' then
  if FINISHED[status] then return refuse('NOTCANCELLABLE the job has ' .. status) end
else
  if attempt ~= '' and attempt ~= its_attempt then
    return refuse('SUPERSEDED attempt ' .. attempt .. ' was followed by attempt ' .. its_attempt)
  end
  if FINISHED[status] then return refuse('FINISHED the job has ' .. status .. ' already') end
  if op == 'abandon' then
    if status ~= 'queued' then return refuse('SUPERSEDED a worker has started the job') end
  elseif op ~= 'start' then
    if status == 'queued' and not (run == '' and (op == 'complete' or op == 'fail')) then
      return refuse('NOTRUNNING the job is queued and was not started')
    end
    if run ~= '' and run ~= its_run then
      return refuse('SUPERSEDED another run of this attempt took over')
    end
  end
end

if op == 'emit' then
  if #name > 64 or not string.match(name, '^[a-z][a-z0-9%-]*$') or RESERVED[name] then
    return refuse('BADEVENT this event name is reserved or malformed')
  end
else
  name = EVENT_OF[op]
  if not name then return refuse('BADEVENT there is no such operation') end
end
if op == 'progress' or op == 'step' then
  local n = tonumber(progress == '' and before[4] or progress)
  if not n or n < 0 or n > 100 or n ~= math.floor(n) then
    return refuse('BADEVENT progress must be a whole number from 0 to 100')
  end
  if op == 'progress' then n = math.max(n, tonumber(before[4])) end
  progress = string.format('%d', n)
  data = '{"progress":' .. progress .. data
  set('progress', progress)
elseif op == 'start' then
  data = '{"progress":0,"currentStep":null,"estimatedTimeRemaining":null}'
  set('status', 'running')
  set('progress', '0')
elseif op == 'complete' then
  set('status', 'succeeded')
  set('progress', '100')
elseif op == 'fail' or op == 'abandon' then
  set('status', 'failed')
elseif op == 'cancel' and status == 'queued' then
  name = 'failed'
  data = '{"error":"Cancelled","errorCode":null}'
  set('status', 'failed')
  set('error', 'Cancelled')
elseif op == 'cancel' then
  if cancel_requested then return { '', 1, 0, tonumber(its_attempt), status, '', '' } end
  cancel_requested = '1'
  set('cancel', '1')
elseif op == 'create' or op == 'retry' then
  set('status', 'queued')
  set('attempt', its_attempt)
  set('progress', '0')
end

if #data > MAX_EVENT_BYTES then
  return refuse('BADEVENT the data has ' .. #data .. ' bytes, more than ' .. MAX_EVENT_BYTES)
end

-- The log is bounded: every half of the bound the state is written into a checkpoint, and a full
-- log is cut at the checkpoint before, so that what is left still folds to the whole state.
local limit = tonumber(before[9]) or 10000
if 2 * length >= limit and (not checkpoint or length >= limit) then
  if checkpoint then redis.call('XTRIM', log, 'MINID', checkpoint) end
  checkpoint = redis.call('XADD', log, '*', 'event', '_checkpoint', unpack(redis.call('HGETALL', state)))
  set('checkpoint', checkpoint)
end

local entry = { 'event', name, 'data', data }
if op == 'start' then
  entry[5], entry[6] = 'run', run
  set('run', run)
elseif op == 'create' then
  for i = 9, pairs_end do entry[#entry + 1] = ARGV[i] end
end
local id = redis.call('XADD', log, '*', unpack(entry))

set('last', id)
if op == 'create' then set('created', id) end
if op == 'create' or op == 'retry' then set('attemptId', id) end
redis.call('HSET', state, unpack(fields))
if #cleared > 0 then redis.call('HDEL', state, unpack(cleared)) end

local finishes = op == 'complete' or op == 'fail' or name == 'failed'
local expiry = finishes and tonumber(before[8]) or UNFINISHED_SECONDS
redis.call('EXPIRE', log, expiry)
redis.call('EXPIRE', state, expiry)

local receivers = 0
if string.sub(name, 1, 1) ~= '_' then
  local payload = '{"id":"' .. id .. '","prev":"' .. last .. '","event":"' .. name .. '","data":' .. data .. '}'
  receivers = redis.pcall(publish, channel, payload)
  if type(receivers) ~= 'number' then receivers = -1 end
end

local type_, input = '', ''
if op == 'start' then
  local more = redis.call('HMGET', state, 'type', 'input')
  type_, input = more[1] or '', more[2] or ''
end
return { id, cancel_requested and 1 or 0, receivers, tonumber(its_attempt), status or '', type_, input }
