-- Checks that what a stream delivers has no gap, and goes on with another stream when one ends with an error.
local cdc, io, time = require("cdc"), require("io"), require("time")
local known = require("known")

-- Reads a stream to its end and returns why it has ended.
local function check(options, changes)
	local last, count = options.snapshot and 0 or nil, 0
	local transaction, within
	while true do
		local change, ok = changes:receive()
		if errors.is(change) or not ok then
			io.print("ended", options.name, count, change and change:kind() or "closed", change and change:message() or "")
			return
		end
		local n = change.after.n
		if last and n ~= last + 1 then
			io.print("VIOLATION", options.name, "row " .. n .. " follows row " .. last, change.op)
		end
		if change.after.text == "undone" then
			io.print("VIOLATION", options.name, "row " .. n .. " was undone")
		end
		if within and change.transaction ~= transaction then
			io.print("VIOLATION", options.name, "row " .. n .. " comes within another transaction")
		end
		last, count, transaction, within = n, count + 1, change.transaction, not change.last
		if change.after.text == "the end" then
			io.print("complete", options.name, count)
		end
		if options.pause then
			time.sleep(options.pause)
		end
	end
end

local function main(options)
	known(options.name)
	while true do
		local stream, err = cdc.stream("app:cdc", {
			snapshot = options.snapshot == true, buffer = options.buffer, max_bytes = options.max_bytes,
		})
		local changes
		if stream then
			changes, err = stream:channel()
		end
		if changes then
			io.print("open", options.name)
			check(options, changes)
			stream:close()
		elseif not err:retryable() then
			io.print("VIOLATION", options.name, "cannot open a stream", err:kind(), err:message())
			error(err)
		end
		time.sleep("1ms")
	end
end

return { main = main }
