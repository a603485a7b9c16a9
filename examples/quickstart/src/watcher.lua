-- Watches app:cdc and prints each committed change as one line of JSON.
local cdc = require("cdc")
local io = require("io")
local json = require("json")

local function main(input)
	-- A stream says what it wants; without options it gets everything that the source captures.
	local stream = assert(cdc.stream("app:cdc", { ops = { "insert", "update", "delete" } }))

	-- From here on the stream observes every transaction that commits. So the writer starts now and not earlier.
	local changes = assert(stream:channel())
	assert(process.spawn("app:writer", "app:processes", input.keep ~= ""))

	while true do
		-- Waits until there is a change. ok is false when the stream has ended.
		local change, ok = changes:receive()
		if not ok then
			return
		end
		-- A stream that ends for a reason of its own, for instance because it fell behind, delivers the error first.
		if errors.is(change) then
			error(change)
		end

		-- A change has more fields than these; see the README for all of them.
		io.print(json.encode({
			lsn = change.lsn, -- the transaction, in commit order
			op = change.op,
			table = change.table,
			before = change.before, -- the whole old row, on update and delete
			after = change.after, -- the whole new row, on insert and update
			last = change.last, -- true on the last change of a transaction
		}))

		-- The writer's last words.
		if change.table == "runs" and change.op == "update" and input.keep == "" then
			stream:close()
			return
		end
	end
end

return { main = main }
