-- cdc.follow(id, options, handler), see follow.go. The functions come from there.
local stream_of, pause, watch, warn, pcall, error, select, is_error, closed = ...

-- tell calls the handler with a change until it succeeds, and returns why it has not; nil if the process was asked to end.
local function tell(handler, change, attempts, cancelled)
	for attempt = 1, attempts do
		local ok, result, err = pcall(handler, change)
		if ok and not is_error(result) and not (result == nil and is_error(err)) then
			return true
		end
		local why = result
		if ok and not is_error(result) then
			why = err
		end
		if attempt == attempts then
			return false, why
		end
		if pause(cancelled, attempt) then
			return nil
		end
	end
end

-- read reads a stream to its end. It returns why that has come, nil if the process was asked to end, and how much was handled.
local function read(stream, changes, options, handler, attempts, cancelled)
	local handled = 0
	local cases = { cancelled.channel:case_receive(), changes:case_receive() }
	while not cancelled.asked() do
		local result = select(cases)
		if result.channel == cancelled.channel then
			break
		end
		local change = result.value
		if is_error(change) then
			return change, handled
		end
		if not result.ok then
			return closed(), handled
		end
		local ok, why = tell(handler, change, attempts, cancelled)
		if ok == nil then
			break
		elseif not ok then
			stream:close()
			error(why, 0)
		end
		handled = handled + 1
		if options.consumer and change.last then
			local _, err = stream:ack(change)
			if err then
				return err, handled
			end
		end
	end
	return nil, handled
end

-- follow subscribes again and again, until the process is asked to end or nothing helps: then it raises why.
local function follow(id, options, attempts, handler, cancelled)
	local failures = 0
	while not cancelled.asked() do
		local err, handled, changes
		local stream
		stream, err = stream_of(id, options)
		if stream then
			changes, err = stream:channel()
		end
		if changes then
			err, handled = read(stream, changes, options, handler, attempts, cancelled)
			stream:close()
		end
		if not err then
			break
		end
		if not err:retryable() then
			error(err, 0)
		end
		local details = err:details()
		if not options.consumer and changes or details and details.reason == "gap" then
			options.snapshot, options.after = true, nil
		end
		failures = (handled or 0) > 0 and 1 or failures + 1
		warn(id, err, failures, options.snapshot)
		if pause(cancelled, failures) then
			break
		end
	end
end

return function(id, given, handler)
	local options, attempts, cancelled = watch(id, given, handler)
	local ok, why = pcall(follow, id, options, attempts, handler, cancelled)
	cancelled.close()
	if not ok then
		error(why, 0)
	end
	return true
end
