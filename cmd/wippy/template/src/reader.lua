local cdc, io = require("cdc"), require("io")

local function main()
	-- The consumer has a name: its first stream begins with the rows that there are, the next ones go on behind what it
	-- has acknowledged.
	cdc.follow("app:cdc", { consumer = "reader", tables = { "visits" }, snapshot = true }, function(change)
		local row = change.after or change.before
		io.print(change.op, change.table, row and row.id)
	end)
end

return { main = main }
