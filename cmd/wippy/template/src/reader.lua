local cdc, io = require("cdc"), require("io")

local function main()
	-- The consumer has a name: its next stream goes on behind what it has acknowledged.
	cdc.follow("app:cdc", { consumer = "reader", tables = { "visits" } }, function(change)
		local row = change.after or change.before
		io.print(change.op, change.table, row and row.id)
	end)
end

return { main = main }
