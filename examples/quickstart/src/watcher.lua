local cdc, io, json = require("cdc"), require("io"), require("json")

local function main(input)
	local stream = assert(cdc.stream("app:cdc", { ops = { "insert", "update", "delete" } }))
	local changes = assert(stream:channel()) -- from here on the stream misses nothing, so the writer may start
	assert(process.spawn("app:writer", "app:terminal", input.keep ~= ""))
	while true do
		local change, ok = changes:receive()
		if not ok then return end
		if errors.is(change) then error(change) end -- why the stream has ended
		io.print(json.encode({
			lsn = change.lsn, op = change.op, table = change.table, last = change.last,
			before = change.before, after = change.after,
		}))
		if change.table == "runs" and change.op == "update" and input.keep == "" then return end
	end
end

return { main = main }
