-- The one atomic step of Jobcast: check, log, fold, publish.
--
-- A job's log (stream) and state (hash) change only here. Everything is checked before the first
-- write, because a script does not roll back; publishing comes last, because it may be refused.
--
-- KEYS  1 log    jobs:{<id>}:log
--       2 state  jobs:{<id>}:state
-- ARGV  1 publish command: PUBLISH, or in a Cluster SPUBLISH
--       2 operation: create start progress step emit complete fail cancel retry abandon renew stall
--       3 attempt the caller works on; '' is any
--       4 run token of the caller; '' is any, and lets complete and fail end a queued job
--       5 name of the event (emit). To repeat a start that a failover has lost, the id of its entry:
--         a job that was created later is another one, and is refused with NOJOB
--       6 data of the event, one line of JSON. For progress and step only what follows the number in
--         {"progress":N, so that the script can raise the number without parsing JSON
--       7 progress 0-100 (progress and step); '' keeps the state's.
--         Length of the run's lease in ms (start and renew); '' is none
--       8 count of state fields that follow; then, after a space, the sequence number of this append
--         within its run, from 1; for create, a random token of this creation.
--         Both are optional: "2 17", or "2"
--       9 that many pairs of name and value to set, then the names to clear
--
-- Answer: [id of the entry or '', cancel requested 0/1, receivers of the publication (-1: refused by
-- Redis), attempt, status before]; to start also the job's type and input, '' where it has none.
-- Errors: NOJOB EXISTS FINISHED STALLED SUPERSEDED NOTRUNNING NOTFAILED NOTCANCELLABLE LEASED
-- BADEVENT; then nothing was written or published. LEASED is followed by the ms that are left.
--
-- A caller that got no answer repeats the append with the same sequence number. The state keeps the
-- highest number that its run has appended, and the log the number of each entry. An append whose
-- number is not higher is a repeat: it writes and publishes nothing, and its answer has the id of the
-- existing entry ('' if it was trimmed, or there is none), 0 receivers, and the present state. Numbers
-- may have gaps, so a state that a failover has set back accepts any higher one. A creation is a
-- repeat if the job was created with the same token. A numbered start of a run that another run has
-- followed is a late repeat, refused with SUPERSEDED: the state keeps the last runs.
--
-- A lease is the time, by this server's clock, until which a run counts as alive without an append.
-- The state has it and not the log, so a renewal writes no entry. After it has expired, stall fails
-- the run and keeps the lease, so that the run, if it continues, is refused with STALLED. Every other
-- end removes the lease.
--
-- The script runs for every event of every job, so it creates tables, reads fields and calls commands
-- only where needed.

local MAX_EVENT_BYTES = 1048576 -- of a job without a bound of its own
local MAX_ENTRIES = 10000 -- the same
local LEAST_EVENT_BYTES = 1024 -- the lowest bound of any job
local LARGE_LOG = 512 -- entries; the length of such a log is not read at every append
local UNCHECKED = 16 -- appends of a run between two such reads
local UNFINISHED_SECONDS = 7 * 24 * 3600 + 100 -- at least seven days: see EXPIRE below
local LATEST_MS = 1e15 -- later than any lease

local log, state = KEYS[1], KEYS[2]
local publish, op, attempt, run, name, data, progress = unpack(ARGV, 1, 7)
local count, seq = string.match(ARGV[8], '^(%d+) ([1-9]%d*)$')
local is_plain = seq ~= nil -- as most are; other spellings of a number are replaced below
if not is_plain then count, seq = string.match(ARGV[8], '^(%S*) ?(.*)$') end
local fields_end = 8 + 2 * count
local lease_ms = (op == 'start' or op == 'renew') and progress ~= '' and tonumber(progress)

local refuse = redis.error_reply

-- This raises WRONGTYPE on a key of another type, and XLEN or the XADD that is written first does.
-- The fields to clear are read as well: mostly none of them exists.
local before = redis.call('HMGET', state, 'status', 'attempt', 'run', 'progress', 'cancel', 'last',
  'maxEntries', 'seq', unpack(ARGV, fields_end + 1))
local status, its_attempt, its_run, percent, cancel_requested, last, limit, its_seq = unpack(before, 1, 8)
-- Others may have written the state: its numbers are checked, so that what follows stays readable.
-- 05 and 1e0 are none, as for the readers (stored_number in names.py).
local function whole(text)
  local n = tonumber(text)
  return n and n < 2^53 and (text == '0' or string.find(text, '^[1-9]%d*$')) and n or nil
end

if its_attempt ~= '1' and (whole(its_attempt) or 0) < 1 then its_attempt = '1' end
its_seq = its_seq and whole(its_seq) or 0
last = last or ''
local finished = status == 'succeeded' or status == 'failed'

local function stored_number(field, least, most)
  local stored = tonumber(redis.call('HGET', state, field))
  return stored and stored >= least and stored <= most and stored or nil
end

local now_ms
if lease_ms or op == 'stall' then
  local now = redis.call('TIME')
  now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
end

local seq_number, runs
if op ~= 'create' then
  if run == '' or seq == '' then seq = nil end
  if seq then
    seq_number = tonumber(seq)
    if not (seq_number and seq_number >= 1 and seq_number < 2^53 and seq_number % 1 == 0) then
      return refuse('BADEVENT a sequence number must be a whole number from 1')
    end
    if not is_plain then seq = string.format('%.0f', seq_number) end
    if run == its_run and seq_number <= its_seq then
      -- The numbers of a run fall from the log's end to the run's start.
      local id, upper, is_over = '', '+', false
      repeat
        local entries = redis.call('XREVRANGE', log, upper, '-', 'COUNT', 100)
        for _, entry in ipairs(entries) do
          local fields = entry[2]
          for i = 3, fields[2] == '_checkpoint' and 0 or #fields, 2 do
            local its_number = fields[i] == 'seq' and whole(fields[i + 1])
            if its_number == seq_number then id = entry[1] end
            is_over = is_over or its_number and its_number <= seq_number or fields[i] == 'run'
          end
          if is_over then break end
          upper = '(' .. entry[1]
        end
      until is_over or #entries < 100
      local repeated = { id, cancel_requested and 1 or 0, 0, tonumber(its_attempt), status }
      if op == 'start' then
        local job = redis.call('HMGET', state, 'type', 'input')
        repeated[6], repeated[7] = job[1] or '', job[2] or ''
      end
      return repeated
    end
  end
end

if op == 'create' then
  if status and seq ~= '' and redis.call('HGET', state, 'token') == seq then
    return { redis.call('HGET', state, 'created') or '', 0, 0, 1, '' }
  end
  if status then return refuse('EXISTS the job exists already') end
  its_attempt = '1'
elseif not status then
  return refuse('NOJOB there is no such job')
elseif op == 'retry' then
  if status ~= 'failed' then return refuse('NOTFAILED the job is ' .. status .. ', not failed') end
  its_attempt = string.format('%.0f', its_attempt + 1)
elseif op == 'cancel' then
  if finished then return refuse('NOTCANCELLABLE the job has ' .. status) end
else
  if attempt ~= '' and attempt ~= its_attempt then
    return refuse('SUPERSEDED attempt ' .. attempt .. ' was followed by attempt ' .. its_attempt)
  end
  if finished and run == its_run and stored_number('lease', 0, LATEST_MS) then
    return refuse('STALLED the lease of this run ran out, and the job was failed')
  end
  if finished then return refuse('FINISHED the job has ' .. status .. ' already') end
  if op == 'abandon' then
    if status ~= 'queued' then return refuse('SUPERSEDED a worker has started the job') end
  elseif op == 'start' then
    if seq and run ~= its_run then
      -- In 64 bytes, up to which Redis keeps the whole hash small.
      local digest = string.sub(redis.sha1hex(run), 1, 12)
      runs = redis.call('HGET', state, 'runs') or ''
      if string.find(runs, digest, 1, true) then
        return refuse('SUPERSEDED this run was started before and followed by another')
      end
      runs = digest .. ' ' .. string.sub(runs, 1, 51)
    end
  else
    if status == 'queued' and not (run == '' and (op == 'complete' or op == 'fail')) then
      return refuse('NOTRUNNING the job is queued and was not started')
    end
    if run ~= '' and run ~= its_run then
      return refuse('SUPERSEDED another run of this attempt took over')
    end
  end
end

if lease_ms == nil or lease_ms and not (lease_ms >= 1 and lease_ms < 1e12)
  or op == 'renew' and not lease_ms then
  return refuse('BADEVENT a lease must be a number of milliseconds')
end
if op == 'renew' then
  redis.call('HSET', state, 'lease', string.format('%.0f', now_ms + lease_ms))
  return { '', cancel_requested and 1 or 0, 0, tonumber(its_attempt), status }
elseif op == 'stall' then
  local lease = stored_number('lease', 0, LATEST_MS)
  if not lease then return refuse('NOTRUNNING this run has no lease') end
  local left = lease - now_ms
  if left > 0 then return refuse(string.format('LEASED %.0f ms of the lease are left', left)) end
end

local status_before = status
local more -- further fields of the state, beside those of the caller
if op == 'progress' or op == 'step' then
  name = op == 'progress' and 'progress-update' or 'step-change'
  local reached = whole(percent)
  if not reached or reached > 100 then
    -- As readers show it: a number of JSON is rounded down and clamped.
    local text = string.match(percent or '', '^%s*(%-?%d[%d.eE+-]*)%s*$')
    local is_json = text and not string.find(text, '^%-?0%d') and not string.find(text .. ' ', '%.%D')
    local n = is_json and tonumber(text) or 0
    reached = n == math.huge and 0 or math.floor(math.max(0, math.min(100, n)))
    percent = string.format('%d', reached)
  end
  local n = progress == '' and reached or tonumber(progress)
  if not n or n < 0 or n > 100 or n % 1 ~= 0 then
    return refuse('BADEVENT progress must be a whole number from 0 to 100')
  end
  if op == 'step' or n > reached then percent = string.format('%d', n) end
  data = '{"progress":' .. percent .. data
elseif op == 'emit' then
  local reserved = ' progress-update step-change complete failed connected reset ping left '
    .. 'message error open chunk artifact input-requested ' -- and names that begin with child-
  if #name > 64 or not string.match(name, '^[a-z][a-z0-9%-]*$')
    or string.find(reserved, ' ' .. name .. ' ', 1, true) or string.sub(name, 1, 6) == 'child-' then
    return refuse('BADEVENT this event name is reserved or malformed')
  end
elseif op == 'start' then
  local lost_ms, lost_n = string.match(name, '^(%d+)%-(%d+)$')
  if lost_ms then
    local created = redis.call('HGET', state, 'created') or ''
    local ms, n = string.match(created, '^(%d+)%-(%d+)$')
    ms, lost_ms = tonumber(ms), tonumber(lost_ms)
    if ms and (ms > lost_ms or ms == lost_ms and tonumber(n) > tonumber(lost_n)) then
      return refuse('NOJOB the job that this run had started is gone')
    end
  end
  name, status, percent = 'step-change', 'running', '0'
  data = '{"progress":0,"currentStep":null,"estimatedTimeRemaining":null}'
  more = { 'run', run, 'seq', seq or '0' }
  if lease_ms then more[5], more[6] = 'lease', string.format('%.0f', now_ms + lease_ms) end
  if runs then more[#more + 1], more[#more + 2] = 'runs', runs end
elseif op == 'complete' then
  name, status, percent = 'complete', 'succeeded', '100'
elseif op == 'fail' or op == 'abandon' or op == 'stall' then
  name, status = 'failed', 'failed'
elseif op == 'cancel' and status == 'queued' then
  name, status = 'failed', 'failed'
  data = '{"error":"Cancelled","errorCode":null}'
  more = { 'error', 'Cancelled' }
elseif op == 'cancel' then
  if cancel_requested then return { '', 1, 0, tonumber(its_attempt), status } end
  name, cancel_requested = '_cancel-requested', '1'
  more = { 'cancel', '1' }
elseif op == 'create' or op == 'retry' then
  name = op == 'create' and '_created' or '_retried'
  status, percent, more = 'queued', '0', { 'attempt', its_attempt }
else
  return refuse('BADEVENT there is no such operation')
end
if #data > LEAST_EVENT_BYTES then
  local most = stored_number('maxEventBytes', 0, MAX_EVENT_BYTES) or MAX_EVENT_BYTES
  if #data > most then
    return refuse('BADEVENT the data has ' .. #data .. ' bytes, more than ' .. most)
  end
end
if status ~= status_before then
  more = more or {}
  more[#more + 1], more[#more + 2] = 'status', status
end

-- The log is bounded: after every half of the bound, a checkpoint holds the whole state, and a full
-- log is trimmed to the previous checkpoint, so that the rest still folds to the whole state. XLEN takes
-- a twelfth of an append, so a run reads the length of a large log only when its number passes a
-- multiple of UNCHECKED; the bound leaves room for the others.
limit = tonumber(limit)
if not (limit and limit >= 2 and limit < 2^53) then limit = MAX_ENTRIES end
local length = 0
if limit < LARGE_LOG or op == 'start' or not seq_number
  or seq_number - seq_number % UNCHECKED > its_seq then
  length = redis.call('XLEN', log)
end
if limit >= LARGE_LOG then limit = limit - UNCHECKED end
if op == 'create' and length > 0 then -- an earlier job's, whose state was lost
  redis.call('DEL', log)
  length = 0
end
if 2 * length >= limit then
  local checkpoint = redis.call('HGET', state, 'checkpoint')
  if not checkpoint or length >= limit then
    if checkpoint then redis.pcall('XTRIM', log, 'MINID', checkpoint) end
    checkpoint = redis.call('XADD', log, '*', 'event', '_checkpoint', unpack(redis.call('HGETALL', state)))
    more = more or {}
    more[#more + 1], more[#more + 2] = 'checkpoint', checkpoint
  end
end

local id
if op == 'start' then
  id = redis.call('XADD', log, '*', 'event', name, 'data', data, 'run', run, 'seq', seq or '0')
elseif op == 'create' then
  id = redis.call('XADD', log, '*', 'event', name, 'data', data, unpack(ARGV, 9, fields_end))
elseif seq then
  id = redis.call('XADD', log, '*', 'event', name, 'data', data, 'seq', seq)
else
  id = redis.call('XADD', log, '*', 'event', name, 'data', data)
end
if op == 'create' or op == 'retry' then
  more[#more + 1], more[#more + 2] = 'attemptId', id
  if op == 'create' then more[#more + 1], more[#more + 2] = 'created', id end
  if op == 'create' and seq ~= '' then more[#more + 1], more[#more + 2] = 'token', seq end
end

if op == 'create' then
  -- First the fields that each append reads: Redis searches a small hash from its beginning.
  redis.call('HSET', state, 'progress', percent, 'last', id, 'seq', '0', unpack(ARGV, 9, fields_end))
elseif seq_number and percent and percent == before[4] then
  redis.call('HSET', state, 'last', id, 'seq', seq, unpack(ARGV, 9, fields_end))
elseif seq_number then
  redis.call('HSET', state, 'progress', percent or '0', 'last', id, 'seq', seq,
    unpack(ARGV, 9, fields_end))
else
  redis.call('HSET', state, 'progress', percent or '0', 'last', id, unpack(ARGV, 9, fields_end))
end
if more then redis.call('HSET', state, unpack(more)) end
if not lease_ms and (op == 'start' or status ~= 'running' and op ~= 'stall') then
  redis.call('HDEL', state, 'lease')
end
for i = 9, #before do
  if before[i] then
    redis.call('HDEL', state, unpack(ARGV, fields_end + 1))
    break
  end
end

-- The seven days count from the last entry, in steps of 100 s, so that most entries need no EXPIRE: an
-- entry id begins with 13 digits of milliseconds. A change of the status renews them at once.
if status ~= status_before or string.sub(id, 1, 8) ~= string.sub(last, 1, 8) then
  local finishes = status == 'succeeded' or status == 'failed'
  local expiry = math.floor(finishes and stored_number('retention', 1, 1e12) or UNFINISHED_SECONDS)
  redis.call('EXPIRE', log, expiry)
  redis.call('EXPIRE', state, expiry)
end

local publication
if op == 'create' then
  -- For subscribers of an earlier job with this id, who would take later events for that job's.
  publication = '{"id":"' .. id .. '","event":"_created","data":{}}'
elseif string.sub(name, 1, 1) ~= '_' then
  publication = '{"id":"' .. id .. '","prev":"' .. last .. '","event":"' .. name .. '","data":' .. data .. '}'
end

local receivers = 0
if publication then
  -- The channel is jobs:<id>:events, in a Cluster jobs:{<id>}:events. It is not passed as a key: while
  -- a Cluster moves a slot, it refuses a script if one of several keys does not exist.
  local channel = publish == 'SPUBLISH' and string.sub(log, 1, -4) .. 'events'
    or 'jobs:' .. string.sub(log, 7, -6) .. ':events'
  receivers = redis.pcall(publish, channel, publication)
  if type(receivers) ~= 'number' then receivers = -1 end
end

local cancelled, status_was = cancel_requested and 1 or 0, status_before or ''
local number = tonumber(its_attempt)
if op == 'start' then
  local job = redis.call('HMGET', state, 'type', 'input')
  return { id, cancelled, receivers, number, status_was, job[1] or '', job[2] or '' }
end
return { id, cancelled, receivers, number, status_was }
