-- Watches app:cdc and prints each committed change as one line of JSON, until the order that ends the example.
local cdc, io, json = require("cdc"), require("io"), require("json")

local function main()
	local stream = assert(cdc.stream("app:cdc"))
	local changes = assert(stream:channel())
	assert(process.spawn("app:writer", "app:processes"))

	while true do
		local change, ok = changes:receive()
		if not ok then
			return
		end
		if errors.is(change) then
			error(change)
		end
		io.print(json.encode({
			op = change.op,
			table = change.relation, -- with the schema, on Postgres
			key = change.key,
			before = change.before, -- what the table's REPLICA IDENTITY gives; here the key, if it has changed
			after = change.after,
			last = change.last,
		}))
		if change.table == "orders" and change.op == "delete" then
			stream:close()
			return
		end
	end
end

return { main = main }
